"""Trios: their windows are those of the original's converter, followed step by step with note_seq's own extractors."""

import collections
import dataclasses
import itertools
import math

import numpy as np
import pytest
from grids import keep_notes, original_drums, original_melodies, quantised_parts, score_of
from note_seq.melody_encoder_decoder import MelodyOneHotEncoding
from note_seq.sequences_lib import steps_per_bar_in_quantized_sequence

from magenta_lite.music import bars, drums, melodies, midi, trios

ENCODING = MelodyOneHotEncoding(21, 109)
KNOWN = [pitch for pitches in drums.PITCHES for pitch in pitches]


def original_windows(quantised, window_bars, gap_bars):
    """(first step, melody, bass, sets of drums) of each window, as a counter: naively, bar by bar."""
    steps_per_bar = int(steps_per_bar_in_quantized_sequence(quantised))
    kinds, covered = collections.defaultdict(set), collections.defaultdict(set)
    total = min(math.ceil(max(note.quantized_end_step for note in quantised.notes) / steps_per_bar), 1024)
    for note in quantised.notes:
        kind = "drums" if note.is_drum else "melody" if note.program < 32 else "bass" if note.program < 40 else "none"
        kinds[note.instrument].add(kind)
        ends = math.ceil(note.quantized_end_step / steps_per_bar)
        covered[note.instrument].update(range(note.quantized_start_step // steps_per_bar, min(ends, total)))
    parts = collections.defaultdict(dict)
    for instrument, own in kinds.items():
        alone = keep_notes(quantised, lambda note, instrument=instrument: note.instrument == instrument)
        if own == {"drums"}:
            for start, events in original_drums(alone, KNOWN, gap_bars=math.inf):
                steps = [frozenset()] * start + [
                    {drums.ROLAND.get(pitch, pitch) for pitch in event} for event in events
                ]
                parts["drums"][instrument] = steps + [frozenset()] * (total * steps_per_bar)
        elif own in ({"melody"}, {"bass"}):
            for _, start, events in original_melodies(alone, gap_bars=math.inf):
                # What Melody.set_length adds where it makes a melody longer.
                last = [event for event in events if event != -2][-1]
                steps = [-2] * start + events + [-1 if last >= 0 else -2] + [-2] * (total * steps_per_bar)
                parts[own.pop()][instrument] = [ENCODING.encode_event(event) for event in steps]
    filled = {
        instrument: [any(bar + shift in own for shift in range(-gap_bars, gap_bars + 1)) for bar in range(total)]
        for instrument, own in covered.items()
    }
    found = collections.Counter()
    for group in itertools.product(parts["melody"], parts["bass"], parts["drums"]):
        together = [all(filled[instrument][bar] for instrument in group) for bar in range(total)]
        for edge in (range(total)[:gap_bars], range(total)[max(total - gap_bars, 0) :]):
            any_of_them = any(filled[instrument][bar] for instrument in group for bar in edge)
            for bar in edge:
                together[bar] = any_of_them
        for bar in range(total - window_bars + 1):
            if all(together[bar : bar + window_bars]):
                here = slice(bar * steps_per_bar, (bar + window_bars) * steps_per_bar)
                melody, bass, drum = (
                    parts[kind][one][here] for kind, one in zip(("melody", "bass", "drums"), group, strict=True)
                )
                found[here.start, tuple(melody), tuple(bass), tuple(map(frozenset, drum))] += 1
    return found


def our_windows(section, window_bars, gap_bars):
    found = collections.Counter()
    length = window_bars * section.steps_per_bar
    for trio in trios.extract(section, gap_bars=gap_bars):
        assert len(trio.melody) == len(trio.bass) == len(trio.drums) > 0
        assert trio.start % section.steps_per_bar == len(trio.melody) % section.steps_per_bar == 0
        assert (trio.melody.dtype, trio.bass.dtype, trio.drums.dtype) == (np.uint8, np.uint8, np.uint64)
        for first in range(0, len(trio.melody) - length + 1, section.steps_per_bar):
            here = slice(first, first + length)
            sets = [
                frozenset(pitch for bit, pitch in enumerate(drums.ALL) if mask >> bit & 1)
                for mask in trio.drums[here].tolist()
            ]
            found[
                trio.start + first, tuple(trio.melody[here].tolist()), tuple(trio.bass[here].tolist()), tuple(sets)
            ] += 1
    return found


def random_score(seed, count=12):
    """Six instruments, among them one of two kinds and one of none, that come and go in stretches of bars."""
    rng = np.random.default_rng(seed)
    notes = []
    for instrument, programs in enumerate([(0,), (31,), (33,), (39,), (9, 9), (1, 35), (50,)]):
        is_drum = programs == (9, 9)
        for bar in rng.integers(0, 10, rng.integers(0, 9)).tolist():
            start = 96 * bar + rng.integers(0, 192, count)
            end = start + rng.integers(1, rng.choice([10, 150]), count)
            pitch = rng.choice([22, 36, 42, 51, 108], count) if is_drum else rng.choice([20, 40, 60, 61], count)
            program = rng.choice(programs, count)
            rows = [start, end, pitch, program, np.full(count, is_drum), np.full(count, instrument)]
            notes += np.column_stack(rows).tolist()
    notes.append((0, 10, 60, 60, 0, 9))
    return score_of(notes, metre=[(0, *[(4, 4), (3, 4)][seed % 2])], ticks_per_quarter=24)


@pytest.mark.parametrize("gap_bars", [0, 1, 2, 5])
def test_windows_of_notes_by_chance_are_the_original_s(gap_bars):
    compared = 0
    for seed in range(20):
        score = random_score(seed)
        (section,), (quantised,) = bars.sections(score), quantised_parts(score)
        for window_bars in (1, 3):
            expected = original_windows(quantised, window_bars, gap_bars)
            assert our_windows(section, window_bars, gap_bars) == expected
            compared += sum(expected.values())
    assert compared > 100


def test_windows_of_a_real_song_are_the_original_s(members):
    (content,) = members("note-seq-testdata.zip", containing="example_complex").values()
    score = midi.parse(content)
    compared = 0
    for section, quantised in zip(bars.sections(score), quantised_parts(score), strict=True):
        expected = original_windows(quantised, 4, 2)
        assert our_windows(section, 4, 2) == expected
        compared += sum(expected.values())
    assert compared > 20


def test_windows_of_real_tracks_in_other_roles_are_the_original_s(members):
    """POP909's songs, with the bridge as a bass and the piano as drums."""
    compared = 0
    for content in members("pop909.zip", step=300).values():
        score = midi.parse(content)
        roles = np.array([name == "BRIDGE" for name in score.names])[score.instrument]
        is_drum = np.array([name == "PIANO" for name in score.names])[score.instrument]
        metre = np.array([[0, 4, 4]])
        score = dataclasses.replace(score, program=np.where(roles, 33, 0), is_drum=is_drum, metre=metre)
        (section,), (quantised,) = bars.sections(score), quantised_parts(score)
        expected = original_windows(quantised, 16, 2)
        assert our_windows(section, 16, 2) == expected
        compared += sum(expected.values())
    assert compared > 20


def parts(*stretches):
    """A score of a melody, a bass and drums, each of a quarter note on every beat of some bars of 4/4."""
    notes = []
    for instrument, (own, (pitch, program, is_drum)) in enumerate(
        zip(stretches, [(60, 0, 0), (40, 33, 0), (36, 0, 1)], strict=True)
    ):
        for bar in own:
            ticks = [1920 * bar + 480 * beat for beat in range(4)]
            notes += [(tick, tick + 480, pitch, program, is_drum, instrument) for tick in ticks]
    return score_of(notes)


def runs(score, **options):
    (section,) = bars.sections(score)
    return [(trio.start // 16, len(trio.melody) // 16) for trio in trios.extract(section, **options)]


def test_a_trio_is_all_that_three_cover():
    score = parts(range(0, 40), [*range(3, 10), *range(20, 30)], range(5, 35))
    assert runs(score, gap_bars=0) == [(5, 5), (20, 10)]
    assert runs(score, gap_bars=1) == [(0, 1), (4, 7), (19, 12), (39, 1)]
    assert runs(score) == [(0, 2), (3, 9), (18, 14), (38, 2)]
    assert runs(score, gap_bars=5) == [(0, 40)]
    assert runs(score, gap_bars=99) == [(0, 40)]


def test_a_note_does_not_sound_on_where_its_part_has_ended():
    (section,) = bars.sections(parts(range(0, 8), range(0, 5), range(0, 8)))
    (trio,) = trios.extract(section)
    assert trio.bass[78:].tolist() == [0, 0, melodies.NOTE_OFF, *[0] * 47]
    assert trio.melody[-4:].tolist() == [41, 0, 0, 0]
    assert drums.reduced(trio.drums).tolist() == [1, 0, 0, 0] * 32


def test_no_trio_without_all_three():
    for silent in range(3):
        assert runs(parts(*([] if part == silent else range(8) for part in range(3)))) == []


def test_what_no_part_can_play_makes_none():
    score = parts(range(8), range(8), range(8))
    for pitch, kind in ((20, 60), (109, 40), (0, 36)):
        assert runs(dataclasses.replace(score, pitch=np.where(score.pitch == kind, pitch, score.pitch))) == []


def test_it_goes_on_where_the_tempo_changes_and_in_other_metres():
    score = parts(range(6), range(6), range(6))
    score = dataclasses.replace(score, tempo=np.array([[0, 500_000], [5000, 400_000]]), metre=np.array([[0, 3, 4]]))
    (section,) = bars.sections(score)
    (trio,) = trios.extract(section)
    assert trio.start == 0 and len(trio.drums) == 96


def test_it_is_looked_for_in_1024_bars():
    assert runs(parts(range(1030), range(1030), range(1030))) == [(0, 1024)]
    assert runs(parts(range(1026, 1030), range(1026, 1030), range(1026, 1030))) == []


def test_instruments_of_any_number_are_taken():
    score = parts(range(4), range(4), range(4))
    assert runs(dataclasses.replace(score, instrument=score.instrument + 300)) == [(0, 4)]


def test_a_gap_is_no_less_than_none():
    with pytest.raises(ValueError, match="expected at least 0"):
        runs(parts(range(4), range(4), range(4)), gap_bars=-1)
