"""Chords: note_seq's numbers and its inference, the chord texts of POP909, and what transposing does."""

import dataclasses
import itertools
import zipfile

import numpy as np
import pytest
from note_seq import chord_inference, chord_symbols_lib, midi_io, sequences_lib
from note_seq.chords_encoder_decoder import ChordEncodingError, TriadChordOneHotEncoding
from note_seq.protobuf import music_pb2

from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import bars, chords, melodies, midi
from magenta_lite.music.chords import Changes
from magenta_lite.music.score import Score

ENCODING = TriadChordOneHotEncoding()
CHORD = music_pb2.NoteSequence.TextAnnotation.CHORD_SYMBOL


def score_of(notes, metre=((0, 4, 4),), tempo=(), quarter=480, **columns):
    """A score of (start, end, pitch) in sixteenths."""
    start, end, pitch = (np.array(column, float) for column in zip(*notes, strict=True))
    count = len(start)
    given = {
        "velocity": np.full(count, 80),
        "program": np.zeros(count, int),
        "is_drum": np.zeros(count, bool),
        "instrument": np.zeros(count, int),
    }
    return Score(
        ticks_per_quarter=quarter,
        start=np.rint(start * quarter / 4).astype(np.int64),
        end=np.rint(end * quarter / 4).astype(np.int64),
        pitch=pitch.astype(int),
        tempo=np.array(tempo, np.int64).reshape(-1, 2),
        metre=np.array(metre, np.int64).reshape(-1, 3),
        pedal=np.zeros((0, 3), np.int64),
        **{**given, **columns},
    )


def test_names_and_numbers_are_inverse_and_note_seqs():
    for number in range(chords.CLASSES):
        assert chords.name(number) == ENCODING.decode_event(number)
        assert chords.number(chords.name(number)) == number
    for number in (-1, 49):
        with pytest.raises(ValueError, match="from 0 to 48"):
            chords.name(number)


def test_every_symbol_note_seq_takes_has_its_number():
    kinds = [abbreviation for abbreviations, _ in chord_symbols_lib._CHORD_KINDS for abbreviation in abbreviations]
    changes = ["", "add3", "addb3", "(add9)", "no5", "no3", "no1", "b5", "(#5)", "b3", "#9b13", "no3add3", "(b5)(#9)"]
    roots, basses = ["C", "F##", "Gb", "Bbb", "A#"], ["", "/C", "/Eb"]
    taken = refused = 0
    for root, kind, change, bass in itertools.product(roots, kinds, changes, basses):
        symbol = root + kind + change + bass
        try:
            expected = ENCODING.encode_event(symbol)
        except ChordEncodingError:
            with pytest.raises(UserError, match="is no major, minor, augmented or diminished chord"):
                chords.number(symbol)
            refused += 1
        except chord_symbols_lib.ChordSymbolError:
            continue  # "C9add9" and the like: what we take, or refuse
        else:
            assert chords.number(symbol) == expected, symbol
            taken += 1
    assert taken > 3000
    assert refused > 2000


@pytest.mark.parametrize("symbol", ["", "H", "c", "Cmajor", "C/", "C/H", "C#b", "N", "A m"])
def test_what_is_no_chord_is_refused_in_one_line(symbol):
    with pytest.raises(UserError, match="is no chord: expected a root and a kind, like C"):
        chords.number(symbol)


def test_transposing_numbers_is_transposing_names():
    symbols = [chords.name(number) for number in range(chords.CLASSES)]
    for semitones in (-13, -5, 0, 3, 12):
        expected = [0] + [
            ENCODING.encode_event(chord_symbols_lib.transpose_chord_symbol(symbol, semitones)) for symbol in symbols[1:]
        ]
        moved = chords.transpose(np.arange(chords.CLASSES, dtype=np.uint8), semitones)
        assert moved.dtype == np.uint8
        assert moved.tolist() == expected


def expected_changes(sequence):
    """note_seq's inference, as (step, number) without repeats."""
    quantised = sequences_lib.quantize_note_sequence(sequence, 4)
    chord_inference.infer_chords_for_sequence(quantised)
    found = [(0, None)]
    for text in sorted(quantised.text_annotations, key=lambda text: text.quantized_step):
        assert text.annotation_type == CHORD
        if ENCODING.encode_event(text.text) != found[-1][1]:
            found.append((text.quantized_step, ENCODING.encode_event(text.text)))
    return found[1:]


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events found on non-zero tracks")
def test_chords_of_real_tunes_are_inferred_as_note_seq_does(members):
    compared = 0
    tunes = members("nottingham-midi.zip", step=1000) | members("pop909.zip", containing="POP909/179/179.mid")
    for content in tunes.values():
        score, sequence = midi.parse(content), midi_io.midi_to_note_sequence(content)
        try:
            expected = expected_changes(sequence)
        except (sequences_lib.MultipleTimeSignatureError, sequences_lib.MultipleTempoError):
            continue
        found = chords.infer(score)
        steps = found.time * 4 // score.ticks_per_quarter
        assert list(zip(steps.tolist(), found.number.tolist(), strict=True)) == expected
        compared += 1
    assert compared >= 2


TRIADS = [(60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67)]  # C, F, G, C


def test_parts_in_several_metres_and_tempos_are_inferred_each_by_itself():
    first = [(16 * bar, 16 * bar + 16, pitch) for bar, triad in enumerate(TRIADS) for pitch in triad]
    second = [(64 + 12 * bar, 76 + 12 * bar, pitch + 2) for bar, triad in enumerate(TRIADS) for pitch in triad]
    third = [(112, 120, 60), (112, 120, 63), (112, 120, 67)]
    score = score_of(
        first + second + third,
        metre=((0, 4, 4), (4 * 1920, 3, 4), (4 * 1920 + 4 * 1440, 5, 8)),
        tempo=((0, 500_000), (960, 400_000), (5000, 700_000)),
    )
    found = chords.infer(score)
    assert (found.time * 4 // 480).tolist() == [0, 16, 32, 48, 64, 76, 88, 100, 112]
    assert [chords.name(number) for number in found.number.tolist()] == ["C", "F", "G", "C", "D", "G", "A", "D", "N.C."]


def test_pieces_without_chords_are_rejected_with_a_reason():
    five = score_of([(0, 4, 60), (4, 8, 64)], metre=((0, 5, 4),))
    assert chords.infer(five) == Rejected("metre in which chords are not inferred")
    assert chords.infer(score_of([(0, 1, 60), (8020, 8030, 60)])) == Rejected("more than 1,000 chords to infer")
    odd = score_of([(0, 4, 60)], metre=((0, 1, 32),))
    assert "whose bars are not whole steps" in chords.infer(odd).reason


def test_drums_alone_have_no_chord():
    score = score_of([(0, 4, 36), (8, 40, 38)], is_drum=np.array([True, True]))
    found = chords.infer(score)
    assert (found.time.tolist(), found.number.tolist()) == ([0], [0])


def test_each_step_has_the_chord_that_began_last():
    score = score_of([(0, 64, 60)], quarter=100)
    (section,) = bars.sections(score)
    # Steps are 25 ticks: 12 is nearer to step 0, 13 to 1, and 62.5 would be the half between 2 and 3.
    changes = Changes(np.array([13, 62, 63, 200, 212]), np.array([5, 6, 7, 8, 9], np.uint8))
    steps = chords.per_step(changes, section, 100, start=0, steps=12)
    assert steps.dtype == np.uint8
    assert steps.tolist() == [0, 5, 6, 7, 7, 7, 7, 7, 9, 9, 9, 9]
    assert chords.per_step(changes, section, 100, start=6, steps=80).tolist() == [7, 7] + [9] * 78


def test_steps_are_counted_from_where_a_section_begins():
    notes = [(0, 16, 60), (16, 28, 60), (28, 40, 60)]
    score = score_of(notes, metre=((0, 4, 4), (1920, 6, 8)))
    _, section = bars.sections(score)
    changes = Changes(np.array([0, 1920 + 720, 1920 + 1440]), np.array([1, 2, 3], np.uint8))
    expected = [1] * 6 + [2] * 6 + [3] * 12
    assert chords.per_step(changes, section, 480, start=0, steps=24).tolist() == expected


def test_transposing_first_or_last_is_the_same(members):
    (content,) = members("nottingham-midi.zip", containing="MIDI/reelsa-c53").values()
    score = midi.parse(content)
    for semitones in (-4, 3):
        moved = dataclasses.replace(score, pitch=score.pitch + semitones)
        taken = []
        for piece in (score, moved):
            (section, *_) = bars.sections(piece)
            found, (melody, *_) = chords.infer(piece), melodies.extract(section)
            steps = len(melody.events)
            chord = chords.per_step(found, section, piece.ticks_per_quarter, start=melody.start, steps=steps)
            taken.append((melody.events, chord))
        (events, chord), (moved_events, moved_chord) = taken
        assert len(np.unique(chord)) > 2
        np.testing.assert_array_equal(np.where(events > 1, events.astype(int) + semitones, events), moved_events)
        np.testing.assert_array_equal(chords.transpose(chord, semitones), moved_chord)


def test_chord_texts_of_pop909():
    lines = ["0.5 1 N", "1 2 B:maj", "2 3.5 Bb:min7/b7", "", "3.5 4 F#:hdim7", "5 6 Eb:aug", "6 7 C:sus4(b7)"]
    found = chords.read_pop909("\n".join(lines))
    assert found.time.tolist() == [0, 0.5, 1, 2, 3.5, 4, 5, 6, 7]
    names = [chords.name(number) for number in found.number.tolist()]
    assert names == ["N.C.", "N.C.", "B", "Bbm", "F#dim", "N.C.", "Ebaug", "N.C.", "N.C."]
    around = chords.read_pop909("0 1 A:min\n1 2 A:sus2\n2 3 D:sus4\n3 4 D:7\n4 5 D:sus4/5\n5 6 D:min")
    assert [chords.name(number) for number in around.number.tolist()] == ["Am", "Am", "D", "D", "Dm", "Dm", "N.C."]


@pytest.mark.parametrize(
    "text", ["0 1", "0 x C:maj", "0 1 H:maj", "0 1 C:strange", "0 1 C:maj extra", "0 inf C:maj", "nan 1 C:maj"]
)
def test_texts_that_cannot_be_read(text):
    assert chords.read_pop909(text) == Rejected("chords that cannot be read")


def test_texts_that_run_backwards():
    assert chords.read_pop909("0 2 C:maj\n1 3 F:maj") == Rejected("chords out of order")


def test_all_texts_of_pop909_are_read_and_few_chords_are_unknown(shared):
    seconds = np.zeros(chords.CLASSES)
    with zipfile.ZipFile(shared("data", "pop909.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith("chord_midi.txt")]
        for name in names[::10]:
            found = chords.read_pop909(archive.read(name).decode())
            assert isinstance(found, Changes), name
            np.add.at(seconds, found.number[:-1], np.diff(found.time))
    assert len(names) == 909
    assert seconds[0] < 0.12 * seconds.sum()
    assert seconds[1:25].sum() > 0.97 * seconds[1:].sum()
