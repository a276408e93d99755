"""MIDI in: as pretty_midi reads it, note for note and bit for bit, and no harm by files that are broken."""

import io
import random
import struct
import time
import tracemalloc
import warnings

import numpy as np
import pretty_midi
import pytest
from pieces import ALL, columns, file_of, off, on, track_of, variable

from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import midi

NOTE = ((0, on(60)), (10, off(60)))
TEMPO = 0xFF, 0x51, 3


def reference(content):
    """pretty_midi's notes as rows of ALL, its instruments' names, its tempos and its metres."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of tempos on other tracks
        music = pretty_midi.PrettyMIDI(io.BytesIO(content))
    rows = [
        (n.start, n.end, n.pitch, n.velocity, part.program, part.is_drum, number)
        for number, part in enumerate(music.instruments)
        for n in part.notes
    ]
    rows = np.array(rows, np.float64).reshape(-1, 7)
    metres = [(m.time, m.numerator, m.denominator) for m in music.time_signature_changes]
    return rows[np.lexsort(rows.T)], [part.name for part in music.instruments], music.get_tempo_changes(), metres


def check(content):
    notes = midi.parse(content).notes()
    rows, names, (tempo_time, tempo_qpm), metres = reference(content)
    np.testing.assert_array_equal(columns(notes, *ALL), rows)
    assert list(notes.names) == names
    np.testing.assert_array_equal(notes.tempo_time, tempo_time)
    np.testing.assert_array_equal(notes.tempo_qpm, tempo_qpm)
    assert [(time, *metre) for time, metre in zip(notes.metre_time, notes.metre.tolist(), strict=True)] == metres
    return notes


@pytest.mark.parametrize(
    ("archive", "step"),
    [
        ("maestro-v3.0.0-midi.zip", 250),
        ("groove-v1.0.0-midionly.zip", 40),
        ("nottingham-midi.zip", 150),
        ("pop909.zip", 100),
        ("note-seq-testdata.zip", 1),
    ],
)
def test_real_files_are_as_pretty_midi_reads_them(members, archive, step):
    for content in members(archive, step).values():
        check(content)


def test_notes_of_maestro_that_one_note_off_ends(members):
    """The published count of 7,040,164 has a note here that symusic alone does not find."""
    (content,) = members("maestro-v3.0.0-midi.zip", containing="03_R1_2009_03_R1_2009_08_WAV").values()
    assert midi._through_symusic(*midi._chunks(content)) is None
    assert len(check(content)) == 4206


@pytest.mark.parametrize(
    "tracks",
    [
        [[(0, on(60, 1)), (10, on(60, 2)), (10, off(60)), (10, off(60))]],
        [[(0, on(60, 1)), (10, on(60, 2)), (10, off(60)), (10, on(60, 3)), (5, off(60))]],
        [[(0, on(60, 1)), (10, on(61, 2)), (10, off(61))]],
        [[(0, on(60, 1)), (10, on(60, 2)), (10, off(60))]],
        [[(0, on(60, 1)), (0, off(60)), (10, off(60)), (0, on(60, 2)), (4, off(60))]],
        [[(0, on(60, 1)), (10, on(60, 2)), (0, off(60)), (10, off(60))]],
        [[(0, on(60, 1)), (10, off(60)), (0, on(60, 2)), (10, off(60))]],
        [[(0, on(60, 1)), (10, on(60, 2)), (0, off(60)), (0, off(60)), (9, off(60))]],
        [[(0, (0xC0, 5)), (0, on(60, 1)), (10, (0xC0, 6)), (10, off(60)), (0, on(62, 1)), (10, off(62))]],
        [[(0, (0xC0, 5)), (0, on(60, 1)), (10, (0xC0, 6)), (10, off(60))]],
        [[(0, on(60)), (0, on(60, 2, 9)), (0, on(60, 3, 1)), (10, off(60)), (10, off(60, 9)), (1, off(60, 1))]],
        [[(0, (*TEMPO, 7, 0, 0)), *NOTE], [(0, (*TEMPO, 1, 0, 0)), *NOTE]],
        [[*NOTE, (7, (*TEMPO, 7, 0, 0)), (0, (*TEMPO, 8, 0, 0)), *NOTE, (3, (*TEMPO, 8, 0, 0)), *NOTE]],
        [[], NOTE, [(0, (0xFF, 3, 2, 65, 66)), *NOTE]],
        [[(0, (0xFF, 3, 1, 65)), *NOTE, (0, (0xFF, 3, 1, 66)), (0, (0xC0, 3)), *NOTE]],
        [[(0, (0xFF, 0x58, 4, 6, 3, 24, 8)), *NOTE, (10, (0xFF, 0x58, 4, 3, 2, 24, 8))]],
        [[(300_000, on(60)), (3_000_000, off(60))]],
    ],
)
def test_notes_that_symusic_reads_otherwise(tracks):
    check(file_of(*(track_of(*events) for events in tracks)))


@pytest.mark.parametrize("seed", range(150))
def test_random_events_are_as_pretty_midi_reads_them(seed):
    rng = random.Random(seed)
    choices = [
        lambda channel: on(rng.randrange(60, 63), rng.randrange(128), channel),
        lambda channel: off(rng.randrange(60, 63), channel),
        lambda channel: (0xB0 | channel, 64, rng.randrange(128)),
        lambda channel: (0xC0 | channel, rng.randrange(3)),
        lambda channel: (*TEMPO, rng.randrange(1, 9), 0, 0),
    ]
    weights = [4, 3, 1, rng.choice([0, 0.3]), 0.3]
    channels = rng.choice([[0], [9], [0, 1, 9]])
    tracks = []
    for _ in range(rng.randrange(1, 4)):
        events = rng.choices(choices, weights, k=rng.randrange(1, 60))
        tracks.append(track_of(*((rng.randrange(4), event(rng.choice(channels))) for event in events)))
    content = file_of(*tracks)
    if len(reference(content)[0]):
        check(content)
    else:
        assert midi.parse(content) == Rejected("no notes")


def test_the_pedal_holds_all_programs_of_its_channel():
    events = [(0, (0xC0, 1)), *NOTE, (0, (0xB0, 64, 127)), (5, (0xC0, 2)), *NOTE, (9, (0xB0, 64, 0))]
    score = midi.parse(file_of(track_of(*events)))
    assert score.pedal.tolist() == [[10, 0, 1], [10, 1, 1], [34, 0, 0], [34, 1, 0]]


def test_of_the_pedal_only_changes_are_kept():
    values = [(0, 0), (5, 64), (5, 80), (5, 63), (5, 10), (5, 127), (5, 126), (5, 125)]
    score = midi.parse(file_of(track_of(*NOTE, *((ticks, (0xB0, 64, value)) for ticks, value in values))))
    assert score.pedal.tolist() == [[15, 0, 1], [25, 0, 0], [35, 0, 1], [45, 0, 1]]


def test_up_and_down_in_one_tick_are_kept_with_what_follows():
    values = [(0, 127), (5, 0), (0, 127), (5, 126), (5, 125), (5, 0)]
    score = midi.parse(file_of(track_of(*NOTE, *((ticks, (0xB0, 64, value)) for ticks, value in values))))
    assert score.pedal[:, [0, 2]].tolist() == [[10, 1], [15, 0], [15, 1], [20, 1], [30, 0]]


@pytest.mark.parametrize(("name", "expected"), [("Flügel".encode(), "Flügel"), (b"Fl\xfcgel", "Flügel"), (b"A", "A")])
def test_names(name, expected):
    event = (0xFF, 3, len(name), *name)
    assert midi.parse(file_of(track_of((0, event), *NOTE))).names == (expected,)


def body_of(body, division=480):
    return b"MThd" + struct.pack(">IHHH", 6, 1, 1, division) + b"MTrk" + struct.pack(">I", len(body)) + body


GOOD = file_of(track_of(*NOTE))
END = b"\x00\xff\x2f\x00"
NOTES = b"\x00\x90\x3c\x40\x0a\x3c\x00"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no MIDI file"),
        (b"Ceci n'est pas une MIDI.", "no MIDI file"),
        (b"MThd", "no MIDI file"),
        (GOOD[:-5], "cut short"),
        (GOOD[:16], "cut short"),
        (body_of(NOTES)[:18] + b"\xff\xff\xff\xff" + NOTES, "cut short"),
        (b"MThd\xff\xff\xff\xff" + bytes(30), "a broken header"),
        (b"MThd\0\0\0\0" + bytes(30), "a broken header"),
        (file_of(track_of(*NOTE), division=0), "time is not in ticks of a quarter note"),
        (file_of(track_of(*NOTE), division=0xE728), "time is not in ticks of a quarter note"),
        (file_of(track_of(*NOTE), kind=2), "MIDI of type 2: expected 0 or 1"),
        (file_of(track_of(*NOTE), kind=9), "a broken header"),
        (file_of(), "no notes"),
        (file_of(b"MTrk\0\0\0\0"), "no notes"),
        (file_of(*[track_of()] * 5000), "more than 1024 tracks"),
        (file_of(track_of((0, (*TEMPO, 0, 0, 0)), *NOTE)), "a tempo of zero"),
        (file_of(track_of((0, (0xFF, 0x58, 4, 0, 2, 24, 8)), *NOTE)), "a metre that cannot be"),
        (file_of(track_of((0, (0xFF, 0x58, 4, 4, 255, 24, 8)), *NOTE)), "a metre that cannot be"),
        (file_of(track_of((0, (0xFF, 0x58, 4, 4, 20, 24, 8)), *NOTE)), "a metre that cannot be"),
        (file_of(track_of((0, on(60)), (2**28 - 1, off(60)))), "longer than 24 hours"),
        (file_of(track_of((0, on(60)), *[(2**28 - 1, off(1))] * 16, (20, off(60)))), "more than 268435455 ticks"),
        (file_of(track_of((0, (*TEMPO, 255, 255, 255)), (0, on(60)), (2**21 - 1, off(60)))), None),
        (
            file_of(track_of((0, (*TEMPO, 255, 255, 255)), (0, on(60)), *[(2**21 - 1, off(1))] * 2, (9, off(60)))),
            "longer than 24 hours",
        ),
        (body_of(b"\x00\x3c\x40" + END), "broken events"),
        (body_of(b"\x00\x90\x90\x40" + END), "broken events"),
        (body_of(b"\x00\x90\x3c" + END), "broken events"),
        (body_of(b"\x00\xff\x03\xff\xff\xff\x7f"), "broken events"),
        (body_of(b"\xff\xff\xff\xff\xff\xff\xff"), "broken events"),
        (body_of(b"\x00\xff\x59\x02\x7f\x7f" + NOTES + END), None),
        (body_of(NOTES), None),
        (body_of(NOTES + END + NOTES), None),
        (body_of(b"\x00\xf8" + NOTES + END), None),
        (body_of(b"\x00\xf0\x03\x01\x02\xf7" + NOTES + END), None),
        (file_of(b"XTRA\0\0\0\2ab" + track_of(*NOTE)), None),
        (b"RIFF" + struct.pack("<I", len(GOOD) + 12) + b"RMIDdata" + struct.pack("<I", len(GOOD)) + GOOD, None),
        (GOOD + b"rubbish", None),
    ],
)
def test_broken_files(content, reason):
    found = midi.parse(content)
    assert (found.reason if isinstance(found, Rejected) else None) == reason


@pytest.mark.parametrize(
    "content",
    [
        b"MThd" + bytes(midi.MAX_BYTES),
        body_of(b"\x00\x90\x3c\x40" + b"\x01\x3c\x00\x00\x3c\x40" * 340_000 + END),
        body_of(b"\x00\x90\x3c\x40" + b"\x01\x3c\x40" * 690_000 + END),
        body_of(b"\x00\x90\x3c\x40" + b"\x00\x3c\x40" * 70_000 + b"\x00\x3c\x00" * 70_000 + END),
        body_of(b"\x01\xff\x51\x03\x01\x00\x00" * 150_000 + NOTES + END),
        body_of(b"\x00\xff\x58\x04\x04\x02\x18\x08" * 60_000 + NOTES + END),
        body_of(b"\x00\xff\x06\x00" * 400_000 + NOTES + END),
        body_of(
            b"\x00\xb0\x40\x7f"
            + b"\x01\x40\x00\x01\x40\x7f" * 70_000
            + b"".join(bytes([0, 0xC0, p]) + NOTES for p in range(128))
            + END
        ),
        file_of(*[track_of(*NOTE)] * 1024),
        body_of(
            b"".join(bytes([0, 0xC0 | c, p, 0, 0x90 | c, 60, 64, 1, 60, 0]) for c in range(16) for p in range(128))
            + END
        ),
    ],
    ids=["bytes", "strikes", "open", "overlaps", "tempos", "metres", "markers", "pedals", "tracks", "instruments"],
)
def test_large_files_take_neither_long_nor_much(content):
    begun = time.process_time()
    found = midi.parse(content)
    if not isinstance(found, Rejected):
        found.notes()
    assert time.process_time() - begun < 3  # about one second, on a machine that has nothing else to do
    if len(content) < 50_000:
        tracemalloc.start()
        midi.parse(content)
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()


def mutated(content, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(14, len(content))
        match rng.randrange(5):
            case 0:
                content[at] = rng.choice((0, 0x7F, 0x80, 0x90, 0xFF, rng.randrange(256)))
            case 1:
                del content[at : at + rng.randrange(1, 9)]
            case 2:
                content[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            case 3:
                content[at:at] = variable(rng.choice((2**14, 2**21, 2**28 - 1)))
            case 4:
                content[at:at] = content[at // 2 : at // 2 + 40]
    if rng.random() < 0.8:  # else the length of the track is wrong, and the events are never seen
        tracks = bytes(content).split(b"MTrk")[1:]
        content = file_of(*(b"MTrk" + struct.pack(">I", len(track[4:])) + track[4:] for track in tracks))
    return bytes(content)


def test_mutations_are_read_or_rejected(members):
    """Tens of thousands were tried; these are a few, to see that the guards are still there."""
    contents = [content for content in members("nottingham-midi.zip", 400).values() if len(content) < 6000]
    reasons = set()
    rng = random.Random(1)
    for _ in range(400):
        found = midi.parse(mutated(rng.choice(contents), rng))
        if isinstance(found, Rejected):
            reasons.add(found.reason)
        else:
            found.unpack(found.pack()).notes()
    assert len(reasons) < 12


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"none\.mid cannot be read: no such file"):
        midi.read(tmp_path / "none.mid")
    (tmp_path / "one.mid").write_bytes(GOOD)
    assert len(midi.read(tmp_path / "one.mid").start) == 1
