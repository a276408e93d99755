"""Toy passages: what the rules mean is what is taken from their scores, and the records are as all passages are."""

import json
import zlib

import numpy as np
import pytest

from data.toy import beats, melodies, trios
from data.toy.__main__ import main
from data.toy.passages import CLASSES, passage
from data.toy.scores import Note, Part, played
from magenta_lite.errors import UserError
from magenta_lite.music import bars, chords, drums, grooves
from magenta_lite.music.melodies import FIRST_NOTE, MIN_PITCH
from magenta_lite.pipeline import PreparedData

SCALES = {"major": {0, 2, 4, 5, 7, 9, 11}, "minor": {0, 2, 3, 5, 7, 8, 10, 11}}


def streams(style, count):
    return [np.random.default_rng([7, zlib.crc32(style.encode()), number]) for number in range(count)]


def passages(kind, style, count):
    return [passage(kind, style, stream) for stream in streams(style, count)]


def pitches(events):
    """MIDI numbers of the notes among a melody's events."""
    return events[events >= FIRST_NOTE].astype(int) - FIRST_NOTE + MIN_PITCH


def key_of(title):
    """Pitch classes of the scale in a title such as "folk in D minor, AABA"."""
    tonic, mode = title.split(" in ")[1].split(",")[0].split()
    return chords.ROOTS.index(tonic), {(chords.ROOTS.index(tonic) + tone) % 12 for tone in SCALES[mode]}


def test_hands_are_never_so_far_off_that_the_step_is_lost():
    meant = [Note(step + off, 2, 60, 80) for step in range(0, 4000, 4) for off in (0.0, -0.35, 0.35)]
    score = played([Part("piano", 0, meant)], 120, np.random.default_rng(1), looseness=0.3)
    (section,) = bars.sections(score)
    assert section.start.tolist() == [step for step in range(0, 4000, 4) for _ in range(3)]
    assert set((section.end - section.start).tolist()) == {2}
    assert np.abs(section.offset).max() > 0.3
    assert section.velocity.std() > 2


@pytest.mark.parametrize("style", melodies.STYLES)
def test_melodies_are_in_their_key_over_their_chords(style):
    made = passages("melodies", style, 30)
    lengths = {len(record["melody"]) // 16 for record in made}
    assert lengths <= {2, 4, 8, 16, 32}
    assert len(lengths) > 1
    assert len({record["title"] for record in made}) > 10
    for record in made:
        melody, chord = record["melody"], record["chord"]
        tonic, scale = key_of(record["title"])
        assert record["title"].startswith(f"{style} in ")
        assert set((pitches(melody) % 12).tolist()) <= scale
        assert 50 <= pitches(melody).min() <= pitches(melody).max() <= 98
        assert (chord.min() > 0, chord.max() < chords.CLASSES) == (True, True)
        assert (chord.reshape(-1, 16) == chord[::16, None]).all()
        assert (pitches(melody)[-1] - tonic) % 12 == (int(chord[-1]) - 1 - tonic) % 12 == 0


def test_chords_of_arpeggios_are_what_they_break():
    for record in passages("melodies", "arpeggio", 20):
        for events, number in zip(record["melody"].reshape(-1, 16), record["chord"][::16].tolist(), strict=True):
            kind, root = divmod(number - 1, 12)
            triad = {root, (root + (4, 3, 4, 3)[kind]) % 12, (root + (7, 7, 8, 6)[kind]) % 12}
            assert set((pitches(events) % 12).tolist()) <= triad


def test_tunes_repeat_themselves():
    for record in passages("melodies", "folk", 30):
        tune = record["melody"]
        if len(tune) > 8 * 16:
            first, again, other, last = tune.reshape(4, -1)
            assert (first[:-16] == again[:-16]).all()
            assert (again == last).all()
            assert (first != other).any()
    for record in passages("melodies", "riff", 10):
        rhythm = record["melody"].reshape(-1, 16) >= FIRST_NOTE
        assert (rhythm[1:3] == rhythm[0]).all()


@pytest.mark.parametrize("style", beats.STYLES)
def test_drums_and_grooves_are_of_one_beat(style):
    tracks, played_by_hand = passages("drums", style, 12), passages("grooves", style, 12)
    assert len({record["title"] for record in tracks}) > 4
    for track, groove in zip(tracks, played_by_hand, strict=True):
        assert track["title"] == groove["title"]
        assert len(track["drums"]) // 16 in (4, 8, 16)
        bits = drums.reduced(track["drums"])[:, None] >> np.arange(9) & 1
        assert (bits == grooves.hits(groove["velocity"])).all()
        assert bits.reshape(-1, 16, 9).any(axis=(1, 2)).all()
        assert groove["velocity"][groove["velocity"] > 0].std() > 8
        assert (np.abs(groove["offset"]) <= 0.4 + 1e-6).all()


def test_each_style_has_a_feel_of_its_own():
    def offsets(style, instrument):
        made = passages("grooves", style, 20)
        return np.concatenate(
            [record["offset"][:, instrument][record["velocity"][:, instrument] > 0] for record in made]
        )

    assert offsets("funk", 1).mean() > 0.03  # a snare that is late
    assert np.abs(offsets("house", 0)).mean() < 0.02  # a machine
    assert (offsets("shuffle", 8) < -0.25).mean() > 0.3  # second eighths of a triplet's length


def test_beats_repeat_and_end_in_fills():
    for record in passages("drums", "rock", 12):
        track = record["drums"].reshape(-1, 16)
        assert (track[0] == track[2]).all()
        assert (track[-1][8:] != track[1][8:]).any()


@pytest.mark.parametrize("style", trios.STYLES)
def test_trios_have_three_parts_and_a_form(style):
    for record in passages("trios", style, 8):
        lead, bass, drummer = record["melody"], record["bass"], record["drums"]
        _, scale = key_of(record["title"])
        form = record["title"].split(", ")[1]
        assert form in trios.FORMS
        assert len(lead) == len(bass) == len(drummer)
        assert len(lead) in (len(form) * 4 * 16, len(form) * 8 * 16)
        for part in (lead, bass):
            assert set((pitches(part) % 12).tolist()) <= scale
            assert (part.reshape(-1, 32) >= FIRST_NOTE).any(axis=1).all()
        assert drummer.reshape(-1, 32).any(axis=1).all()
        assert pitches(bass).mean() < pitches(lead).mean() - 8
        sections = np.stack([lead, bass]).reshape(2, len(form), -1)
        for number, letter in enumerate(form[:-1]):
            earlier = form.index(letter)
            # A note that lasts into a section may be let go in it.
            np.testing.assert_array_equal(sections[:, number, 1:], sections[:, earlier, 1:])


@pytest.mark.parametrize("kind", CLASSES)
def test_records_are_what_the_rules_gave(kind, request):
    data = PreparedData(request.getfixturevalue(f"toy_{kind}"))
    assert {split: len(lengths) for split, lengths in data.lengths.items()} == {"train": 24, "valid": 2, "test": 2}
    about = json.loads((request.getfixturevalue(f"toy_{kind}") / "source.json").read_text())
    assert about["options"] == {"classes": list(data.labels), "count": 12, "seed": 0, "kind": kind, "steps_per_bar": 16}
    assert about["command"].startswith(f"python -m data.toy --kind={kind} --count=12")
    assert about["rejected"] == {"train": {}, "valid": {}, "test": {}}
    for number, record in enumerate(data.examples("train")):
        style, index = data.labels[number // 12], number % 12
        expected = passage(kind, style, np.random.default_rng([0, 0, zlib.crc32(style.encode()), index]))
        assert (record["label"], record["name"]) == (style, f"{style}/train/{index}")
        assert (record["title"], record["steps_per_bar"]) == (expected["title"], 16)
        assert record["qpm"] == np.float32(expected["qpm"])
        for name in expected.keys() - {"qpm", "title"}:
            np.testing.assert_array_equal(record[name], expected[name])
            assert len(record[name]) == data.lengths["train"][number]


def test_another_seed_gives_others_and_a_wrong_style_is_named(toy_drums, tmp_path, capsys):
    main(kind="drums", count=1, seed=1, classes=["rock"], out=str(tmp_path / "other"))
    assert "--config=configs/music_vae.py" in capsys.readouterr().out
    other, first = PreparedData(tmp_path / "other").example("train", 0), PreparedData(toy_drums).example("train", 0)
    assert other["drums"].tobytes() != first["drums"].tobytes()
    with pytest.raises(UserError, match="kind was drums, now grooves"):
        main(kind="grooves", count=12, classes=["rock", "shuffle"], out=str(toy_drums))
    with pytest.raises(UserError, match="no rules for 'polka': valid: bossa, funk"):
        main(kind="trios", classes=["polka"], out=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="expected one of arpeggio, folk"):
        passage("melodies", "rock", np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected one of melodies, drums"):
        passage("songs", "rock", np.random.default_rng(0))
