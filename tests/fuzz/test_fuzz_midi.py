"""MIDI of strangers: whatever is in it, it is read or refused, soon, in little memory, and nothing else happens.

The long form is 20,000 mutated files each for the parser, for what sample.py --input does with a file, and for what
data.midi does with one.
"""

import functools
import itertools
from pathlib import Path

import midi_seeds
import numpy as np
import pytest
from harness import Reader, survive
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_mutations import END, OF_MIDI, header_of, joined, variable
from mutations import mutated

from data.midi import reading
from data.midi.options import wanted
from magenta_lite.errors import Rejected
from magenta_lite.models import music_vae, performance_rnn
from magenta_lite.music import midi

SLICES = 20  # of a piece that are encoded; all are found


@pytest.fixture(scope="module")
def seeds(shared):
    try:
        folder = shared("data")
    except pytest.skip.Exception:
        folder = None
    return {**midi_seeds.made(), **midi_seeds.worst(), **midi_seeds.real(folder)}


def parse(content):
    """All that a Score is asked for."""
    score = midi.parse(content)
    if isinstance(score, Rejected):
        return score
    score.notes()
    return type(score).unpack(score.pack()).notes()


CODECS = (
    performance_rnn.Codec(),
    performance_rnn.Codec(encoding="notes", max_shift=999),
    performance_rnn.Codec(controls=("notes_per_second", "pitch_class_histogram"), optional_controls=True),
    music_vae.Codec(transpose=5),
    music_vae.Codec(chords=True, bars=16),
    music_vae.Codec(kind="drums"),
    music_vae.Codec(kind="drum_roll", drum_classes=61),
    music_vae.Codec(kind="trio", bars=1),
    music_vae.Codec(kind="groove", groove_input="hits_control"),
)


def read_input(folder, task):
    """What sample.py --input does with a file before a model sees it, and what training does with an example."""
    number, content = task
    path = Path(folder) / "input.mid"
    path.write_bytes(content)
    codec = CODECS[number]
    found = [example for _, example in codec.read(path)]
    for example in itertools.islice(found, SLICES):
        if isinstance(example, Rejected):
            return example
        for arrays in (codec.encode(example), codec.excerpt(example), codec.encode(example, np.random.default_rng(0))):
            if isinstance(arrays, Rejected):
                return arrays
    return None


WANTED = [
    wanted(kind, metres, ["0-127"] if kind == "melodies" else None, None, chords)
    for kind, metres, chords in (
        ("melodies", None, "infer"),
        ("melodies", ["3/4", "6/8"], "none"),
        ("drums", None, "none"),
        ("trios", None, "none"),
        ("grooves", None, "none"),
    )
]


def read_for_training(task):
    """What a reading process of data.midi does with a file."""
    number, content = task
    file = ("", "", content)
    found = reading.read_piece(10, file) if number < 0 else reading.read_passages(10, WANTED[number], "none", file)
    return Rejected(found.why) if isinstance(found, reading.Read) and found.why else found


def check(outcome, inputs, least=0.05):
    """All were survived; and a share was taken, or what is tested is not what it seems."""
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.inputs == inputs and outcome.taken >= least * inputs, str(outcome)


def test_the_parser(seeds, times):
    count = times(300, 20_000)
    check(survive(parse, mutated(seeds, count, 0, OF_MIDI)), count)


def test_what_is_given_to_sample(seeds, times, tmp_path):
    count = times(200, 20_000)
    inputs = _for_each(range(len(CODECS)), mutated(seeds, count, 1, OF_MIDI))
    check(survive(functools.partial(read_input, str(tmp_path)), inputs, out=tmp_path), count)


def test_what_is_prepared(seeds, times):
    count = times(200, 20_000)
    inputs = _for_each(range(-1, len(WANTED)), mutated(seeds, count, 2, OF_MIDI))
    check(survive(read_for_training, inputs), count)


WORST = {
    "beyond_the_last_tick": "more than 268435455 ticks",
    "chunk_longer_than_the_file": "cut short",
    "ends_at_the_last_tick": "longer than 24 hours",
    "header_longer_than_the_file": "a broken header",
    "longest_number": "more than 268435455 ticks",
    "metre_of_an_enormous_denominator": "a metre that cannot be",
    "metre_of_zero": "a metre that cannot be",
    "more_tracks_than_chunks": "more than 1024 tracks",
    "name_of_escapes": None,
    "no_end_of_track": None,
    "no_time_at_all": "time is not in ticks of a quarter note",
    "notes_never_ended": "no notes",
    "riff_that_lies": None,
    "running_status_of_nothing": "broken events",
    "system_exclusive_without_end": "broken events",
    "tempo_of_no_bytes": None,
    "tempo_of_zero": "a tempo of zero",
    "text_longer_than_the_track": "broken events",
    "time_in_frames": "time is not in ticks of a quarter note",
    "weeks": "longer than 24 hours",
}
"""Small files of worst/midi, and why they are refused; None: they are read."""


def test_the_worst_small_files():
    files = {Path(name).stem: content for name, content in midi_seeds.worst().items()}
    assert files.keys() == WORST.keys()
    with Reader(parse) as reader:
        assert {name: reader.check(content, name).refused for name, content in files.items()} == WORST


def _costly():
    """Files as large as they may be, of what costs each reader most."""
    note, overlap = b"\0\x90\x3c\x40\1\x80\x3c\0", b"\0\x90\x3c\x40\0\x90\x3c\x40\1\x80\x3c\0"
    metres = [b"\1\xff\x58\4" + bytes([1 + number % 13, number % 4, 24, 8]) for number in range(20_000)]
    half = midi.MAX_MIDO_BYTES // 2 // len(overlap)
    return {
        "many notes": joined(header_of(1, 1, 480), [note * (midi.MAX_BYTES // len(note) - 9) + END]),
        "many notes that overlap": joined(header_of(1, 1, 480), [overlap * 2 * (half - 9) + END]),
        "many tracks": joined(header_of(1, 1, 480), [note + END] * midi.MAX_TRACKS),
        "many tracks that overlap": joined(header_of(1, 1, 480), [overlap * 30 + END] * midi.MAX_TRACKS),
        "many tempos": joined(header_of(1, 1, 480), [b"\1\xff\x51\3\1\2\3\1\xff\x51\3\2\1\3" * 30_000 + note + END]),
        "many metres": joined(header_of(1, 1, 4), [b"".join(metres) + note * 9 + END, note * 20_000 + END]),
        "as many metres as may be": joined(header_of(1, 1, 4), [b"".join(metres[:1024]) + END, note * 20_000 + END]),
        "many pedals": joined(header_of(1, 1, 480), [note + b"\1\xb0\x40\x7f\1\xb0\x40\0" * 32_000 + END]),
        "long and empty": joined(header_of(1, 1, 1), [note + b"\x81\x80\x00" + note + END]),
        "all at once": joined(header_of(1, 1, 480), [note[:4] * 20_000 + b"\1\x80\x3c\0" + END]),
    }


def test_what_costs_most(times, tmp_path):
    files = _costly().items()
    codecs, kinds = times((4, 5), range(len(CODECS))), times((-1, 0), range(-1, len(WANTED)))
    for outcome in (
        survive(parse, files),
        survive(
            functools.partial(read_input, str(tmp_path)),
            [(f"{name}, codec {number}", (number, content)) for name, content in files for number in codecs],
            out=tmp_path,
        ),
        survive(
            read_for_training,
            [(f"{name}, kind {number}", (number, content)) for name, content in files for number in kinds],
        ),
    ):
        print(outcome)
        assert not outcome.failures, str(outcome)


def _for_each(ways, inputs):
    """Each input for one of the ways in turn."""
    return ((name, (way, content)) for way, (name, content) in zip(itertools.cycle(ways), inputs))


DATA, CHANNELS = st.integers(0, 127), st.sampled_from([0, 1, 9, 15])
TICKS = st.one_of(st.integers(0, 3), st.integers(0, 3), st.integers(0, 200), st.integers(0, 2**28 - 1))
SOUND = (
    st.builds(
        lambda channel, pitch, velocity, length: (
            bytes([0x90 + channel, pitch, velocity]) + variable(length) + bytes([0x80 + channel, pitch, 0])
        ),
        *(CHANNELS, st.integers(36, 60), DATA, TICKS),
    ),
    st.builds(lambda channel, *data: bytes([0x90 + channel, *data]), CHANNELS, DATA, DATA),
    st.builds(lambda channel, *data: bytes([0x80 + channel, *data]), CHANNELS, DATA, DATA),
    st.builds(lambda channel, value: bytes([0xB0 + channel, 64, value]), CHANNELS, DATA),
    st.builds(lambda channel, value: bytes([0xC0 + channel, value]), CHANNELS, DATA),
    st.builds(lambda a, b: bytes([0xFF, 0x58, 4, a, b, 24, 8]), st.integers(0, 255), st.integers(0, 8)),
    st.builds(lambda value: b"\xff\x51\x03" + value.to_bytes(3, "big"), st.integers(0, 2**24 - 1)),
    st.builds(lambda text: b"\xff\x03" + variable(len(text)) + text, st.binary(max_size=300)),
)
STRANGE = (
    *SOUND,
    st.builds(lambda kind, *data: bytes([kind, *data]), st.integers(0x80, 0xEF), DATA, DATA),
    st.builds(lambda *data: bytes(data), DATA, DATA),
    st.builds(lambda kind, text: bytes([0xFF, kind]) + variable(len(text)) + text, DATA, st.binary(max_size=9)),
    st.builds(lambda text: b"\xf0" + variable(len(text)) + text, st.binary(max_size=9)),
    st.binary(max_size=5),
)


def files(events, divisions):
    """Files of tracks of such events."""
    track = st.builds(
        lambda events, end: b"".join(variable(ticks) + event for ticks, event in events) + end,
        st.lists(st.tuples(TICKS, events), max_size=40),
        st.sampled_from([END, END, b""]),
    )
    header = st.builds(header_of, st.sampled_from([1, 1, 1, 0, 2]), st.just(0), divisions)
    return st.builds(joined, header, st.lists(track, max_size=4))


FILES = st.one_of(
    files(st.one_of(*SOUND), st.just(480)),
    files(st.one_of(*SOUND), st.integers(1, 2**15 - 1)),
    files(st.one_of(*STRANGE), st.integers(0, 2**16 - 1)),
)


def test_files_made_of_events(times, tmp_path):
    taken = []
    parser, given_to_sample, prepared = (
        Reader(parse),
        Reader(functools.partial(read_input, str(tmp_path)), out=tmp_path),
        Reader(read_for_training),
    )
    with parser, given_to_sample, prepared:

        @settings(max_examples=times(60, 5_000), deadline=None, database=None, derandomize=True)
        @given(FILES, st.sampled_from(range(len(CODECS))), st.sampled_from(range(-1, len(WANTED))))
        def try_one(content, codec, kind):
            taken.append(parser.check(content).refused is None)
            given_to_sample.check((codec, content))
            prepared.check((kind, content))

        try_one()
    assert sum(taken) > 0.1 * len(taken)
