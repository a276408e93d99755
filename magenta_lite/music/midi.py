"""MIDI files in. Files of strangers: whatever a file holds, it is read or rejected, and soon.

symusic reads what it reads just as pretty_midi would: tracks of one instrument whose notes of one pitch follow each
other. Where the two would differ, mido reads the events, a hundred times slower, and pretty_midi's rules pair them:

- One note-off ends all notes of its pitch and channel that began at an earlier tick. Notes that never end are dropped,
  and so are those that end where they begin.
- An instrument is a track, a channel and a program; they are numbered as their first notes end. A note has the program
  that is set when it ends.
- Tempo and metre are those of the first track.

In two things we differ from it: a channel's pedal holds the notes of all of its programs, and names may be UTF-8.
"""

import collections
import io
import os
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import symusic
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.music.score import Score

SUSTAIN = 64
"""Number of the sustain pedal's control changes; 64 and above is down."""

DRUMS = 9
"""The channel of the drums, which people call the tenth."""

MAX_BYTES = 2 << 20
"""The longest performance of MAESTRO takes 416 kB. Symusic reads a file of this size in a tenth of a second."""

MAX_MIDO_BYTES = 448 << 10
"""As much as mido reads in about a second."""

MAX_TRACKS = 1024
"""Orchestras have fewer; each costs symusic about 50 microseconds."""

MAX_CHANGES = 1 << 16
"""Of tempo, of metre, and of all pedals; a performance of an hour has some thousands. Those of a channel's pedal count
for each of its instruments."""

MAX_METRES = 1 << 10
"""Times that the metre becomes another: each begins a section, which costs its readers about a millisecond."""

MAX_TICKS = 2**28 - 1
"""The longest time that can be written between two events. Symusic counts ticks in 32 bits, without a look at them."""

MAX_SECONDS = 24 * 60 * 60
"""A day. What lasts longer is a mistake, and would cost every reader memory."""

_NAME, _END = b"\xff\x03", b"\xff\x2f\x00"
_ALL_OFF = b"".join(bytes([0, 0x80 + channel, pitch, 0]) for channel in range(16) for pitch in range(128))
_CLOSING = b"\xff\x01\x00" + b"\xff\xff\xff\x7f" + _ALL_OFF[1:] + b"\x00" + _END
"""What stands in the place of a track's end: an empty text, and MAX_TICKS later a note-off for each pitch. Symusic does
not tell of notes that are never ended; with this it makes of them notes of MAX_TICKS and more."""

_PROGRAM = re.compile(rb"[\x00-\x7f][\xc0-\xcf][\x00-\x7f]")
_LONG_DELTA = re.compile(rb"[\x80-\xff]{3}")


class _Instrument(NamedTuple):
    program: int
    is_drum: bool
    name: str
    notes: NDArray[np.int64]  # [N, 4]: start, end, pitch, velocity
    pedal: NDArray[np.int64]  # [P, 2]: tick, 1 where it is down; as _changes leaves it


class _Content(NamedTuple):
    instruments: list[_Instrument]
    tempo: NDArray[np.int64]  # [M, 2], as in Score
    metre: NDArray[np.int64]  # [K, 3], as in Score


def read(path: str | os.PathLike[str]) -> Score | Rejected:
    """The music of a MIDI file, as `parse` has it. Raises UserError where the file cannot be opened."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    return parse(content)


def parse(content: bytes) -> Score | Rejected:
    """The music of a MIDI file's content: types 0 and 1, also within RIFF. Rejected is what is broken or too long."""
    if len(content) > MAX_BYTES:
        return Rejected(f"more than {MAX_BYTES >> 20} MB")
    chunks = _chunks(content)
    if isinstance(chunks, Rejected):
        return chunks
    ticks_per_quarter, tracks = chunks
    found = _through_symusic(ticks_per_quarter, tracks) or _through_mido(ticks_per_quarter, tracks)
    return found if isinstance(found, Rejected) else _score(ticks_per_quarter, found)


def _chunks(content: bytes) -> tuple[int, list[bytes]] | Rejected:
    """Ticks in a quarter note, and what is in each track."""
    if content[:4] == b"RIFF" and content[8:16] == b"RMIDdata":
        content = content[20:]
    if content[:4] != b"MThd" or len(content) < 14:
        return Rejected("no MIDI file")
    size, kind, count, division = struct.unpack(">IHHH", content[4:14])
    if size < 6 or size > len(content) - 8:
        return Rejected("a broken header")
    if kind > 1:
        return Rejected(f"MIDI of type {kind}: expected 0 or 1" if kind == 2 else "a broken header")
    if division == 0 or division & 0x8000:
        return Rejected("time is not in ticks of a quarter note")
    if count > MAX_TRACKS:
        return Rejected(f"more than {MAX_TRACKS} tracks")
    at = 8 + size
    tracks: list[bytes] = []
    while len(tracks) < count:
        if at + 8 > len(content):
            return Rejected("cut short")
        name, (size,) = content[at : at + 4], struct.unpack(">I", content[at + 4 : at + 8])
        if at + 8 + size > len(content):
            return Rejected("cut short")
        if name == b"MTrk":
            tracks.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    return division, tracks


def _file(ticks_per_quarter: int, tracks: list[bytes]) -> bytes:
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), ticks_per_quarter)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def _through_symusic(ticks_per_quarter: int, tracks: list[bytes]) -> _Content | None:
    """What symusic reads, or None where this is not for certain what mido and pretty_midi would have read."""
    content = _Content([], np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64))
    for number, track in enumerate(tracks):
        plain = track.endswith(_END) and not _LONG_DELTA.search(track)
        if not plain or track.count(_NAME) > 1 or len(_PROGRAM.findall(track)) > 1:
            return None
        try:
            score: Any = symusic.Score.from_midi(_file(ticks_per_quarter, [track.removesuffix(_END) + _CLOSING]))
        except (RuntimeError, ValueError):
            return None
        if number == 0:
            tempo = score.tempos.numpy()
            metre = [(m.time, m.numerator, m.denominator) for m in score.time_signatures]
            content = content._replace(
                tempo=np.column_stack([tempo["time"], tempo["mspq"]]).astype(np.int64),
                metre=np.array(metre, np.int64).reshape(-1, 3),
            )
            if (content.metre[:, 2] == 0).any():
                return None
        parts = [part for part in score.tracks if part.note_num()]
        if len(parts) > 1:
            return None
        for part in parts:
            notes = part.notes.numpy()
            start, pitch = notes["time"].astype(np.int64), notes["pitch"].astype(np.int64)
            rows = np.column_stack([start, start + notes["duration"], pitch, notes["velocity"]])
            rows = rows[np.lexsort((rows[:, 0], rows[:, 2]))]
            overlaps = (rows[1:, 2] == rows[:-1, 2]) & (rows[1:, 0] < rows[:-1, 1])
            lengths = rows[:, 1] - rows[:, 0]
            if overlaps.any() or (lengths <= 0).any() or (lengths >= MAX_TICKS).any() or not part.name.isascii():
                return None
            controls = part.controls.numpy()
            pedal = controls["number"] == SUSTAIN
            pedal = np.column_stack([controls["time"], controls["value"] >= 64])[pedal].astype(np.int64)
            content.instruments.append(_Instrument(part.program, part.is_drum, part.name, rows, _changes(pedal)))
    return content


def _through_mido(ticks_per_quarter: int, tracks: list[bytes]) -> _Content | Rejected:
    """What mido reads, by the rules of pretty_midi."""
    if sum(len(track) for track in tracks) > MAX_MIDO_BYTES:
        return Rejected(f"a file of more than {MAX_MIDO_BYTES >> 10} kB in which notes or instruments overlap")
    try:
        file = mido.MidiFile(file=io.BytesIO(_file(ticks_per_quarter, tracks)), charset="latin1")
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError, mido.midifiles.meta.KeySignatureError):
        return Rejected("broken events")
    tempo: list[tuple[int, int]] = []
    metre: list[tuple[int, int, int]] = []
    instruments: list[_Instrument] = []
    for number, track in enumerate(file.tracks):
        tick, name = 0, ""
        programs = [0] * 16
        sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}
        notes: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
        names: dict[tuple[int, int], str] = {}
        pedals: dict[int, list[tuple[int, bool]]] = collections.defaultdict(list)
        for event in track:
            tick += event.time
            kind = event.type
            if kind == "note_on" and event.velocity:
                sounding.setdefault((event.channel, event.note), []).append((tick, event.velocity))
            elif kind in ("note_on", "note_off"):
                begun = sounding.pop((event.channel, event.note), [])
                ended = [(start, tick, event.note, velocity) for start, velocity in begun if start < tick]
                if ended:
                    instrument = event.channel, programs[event.channel]
                    notes.setdefault(instrument, []).extend(ended)
                    names.setdefault(instrument, name)
                    if kept := begun[len(ended) :]:
                        sounding[event.channel, event.note] = kept
            elif kind == "program_change":
                programs[event.channel] = event.program
            elif kind == "control_change" and event.control == SUSTAIN:
                pedals[event.channel].append((tick, event.value >= 64))
            elif kind == "track_name":
                name = _name(event.name)
            elif kind == "set_tempo" and number == 0:
                tempo.append((tick, event.tempo))
            elif kind == "time_signature" and number == 0:
                metre.append((tick, event.numerator, event.denominator))
        if tick > MAX_TICKS:
            return Rejected(f"more than {MAX_TICKS} ticks")
        if any(max(row) > MAX_TICKS for row in metre):
            return Rejected("a metre that cannot be")
        changes = {channel: _changes(np.array(pedal, np.int64)) for channel, pedal in pedals.items()}
        for (channel, program), rows in notes.items():
            pedal = changes.get(channel, np.zeros((0, 2), np.int64))
            name = names[channel, program]
            instruments.append(_Instrument(program, channel == DRUMS, name, np.array(rows, np.int64), pedal))
    return _Content(instruments, np.array(tempo, np.int64).reshape(-1, 2), np.array(metre, np.int64).reshape(-1, 3))


def _name(name: str) -> str:
    """A name of which each byte was taken for a letter: UTF-8, where it can be."""
    try:
        return name.encode("latin1").decode()
    except UnicodeDecodeError:
        return name


def _changes(pedal: NDArray[np.int64]) -> NDArray[np.int64]:
    """A pedal's events [P, 2] without those that change nothing.

    Kept are also the last, up to which notes last that are never let go, and ticks in which it goes up and down, with
    the event behind them: whoever sorts events by their kind ends such a tick with the pedal up.
    """
    tick, down = pedal[:, 0], pedal[:, 1]
    keep = np.diff(down, prepend=0) != 0
    keep[-1:] = True
    mixed = np.isin(tick, np.intersect1d(tick[down == 0], tick[down == 1]))
    keep |= mixed
    keep[1:] |= mixed[:-1]
    return pedal[keep]


def _score(ticks_per_quarter: int, content: _Content) -> Score | Rejected:
    """Columns of the instruments' notes, where they are within limits."""
    instruments, tempo, metre = content
    if not instruments:
        return Rejected("no notes")
    if len(instruments) > np.iinfo(np.int16).max:
        return Rejected("too many instruments")
    if (tempo[:, 1] <= 0).any():
        return Rejected("a tempo of zero")
    if ((metre[:, 1:] <= 0) | (metre[:, 1:] >= 2**15)).any():
        return Rejected("a metre that cannot be")
    pedals = [instrument.pedal for instrument in instruments]
    if max(len(tempo), len(metre), sum(map(len, pedals))) > MAX_CHANGES:
        return Rejected(f"more than {MAX_CHANGES} changes of tempo, metre or pedal")
    if (metre[1:, 1:] != metre[:-1, 1:]).any(axis=1).sum() > MAX_METRES:
        return Rejected(f"more than {MAX_METRES} changes of the metre")
    counts = [len(instrument.notes) for instrument in instruments]
    numbers = np.arange(len(instruments))
    pedal = np.insert(np.concatenate(pedals), 1, np.repeat(numbers, [len(changes) for changes in pedals]), axis=1)
    notes = np.concatenate([instrument.notes for instrument in instruments])
    instrument = np.repeat(numbers, counts)
    order = np.lexsort((notes[:, 2], notes[:, 0]))
    notes, instrument = notes[order], instrument[order]
    score = Score(
        ticks_per_quarter=ticks_per_quarter,
        start=notes[:, 0],
        end=notes[:, 1],
        pitch=notes[:, 2].astype(np.int16),
        velocity=notes[:, 3].astype(np.int16),
        program=np.array([one.program for one in instruments], np.int16)[instrument],
        is_drum=np.array([one.is_drum for one in instruments], np.bool_)[instrument],
        instrument=instrument.astype(np.int16),
        tempo=tempo,
        metre=metre,
        pedal=pedal[np.argsort(pedal[:, 0], kind="stable")],
        names=tuple(one.name for one in instruments),
    )
    ticks = [notes[:, :2].ravel(), tempo[:, 0], metre[:, 0], pedal[:, 0]]
    if min(column.min(initial=0) for column in ticks) < 0 or max(column.max(initial=0) for column in ticks) > MAX_TICKS:
        return Rejected(f"more than {MAX_TICKS} ticks")
    if score.seconds(np.array([max(column.max(initial=0) for column in ticks)]))[0] > MAX_SECONDS:
        return Rejected(f"longer than {MAX_SECONDS // 3600} hours")
    return score
