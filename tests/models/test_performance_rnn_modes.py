"""generate, continue, score and gallery of performances: what they write, what they keep, and mistakes in one line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from frame import ONE_DEVICE, ROOT, run
from PIL import Image

from magenta_lite.errors import UserError
from magenta_lite.models.performance_rnn import events, modes
from magenta_lite.music import audio, midi, midi_writing
from magenta_lite.music.notes import Notes
from magenta_lite.pipeline import collate
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile")

TINY = {
    "num_steps": 3,
    "batch_size": 4,
    "model.layers": "12,12",
    "codec.crop": 32,
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, toy_performances):
    folder = tmp_path_factory.mktemp("runs") / "performances"
    fields = TINY | {"data.dir": str(toy_performances)}
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    done = run(
        "train.py",
        f"--config={ROOT / 'configs/performance_rnn.py'}:optional_both",
        f"--workdir={folder}",
        *overrides,
        env=ONE_DEVICE,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sampler(workdir):
    return Sampler(workdir)


def read(path):
    return midi.read(path).notes()


def test_generate_is_found_before_the_generic_mode_and_writes_everything(workdir, tmp_path):
    asked = ["--notes_per_second=2,30", "--pitch_class_histogram=1,0,0,0,1,0,0,1,0,0,0,0;0,0,1,0,0,1,0,0,0,1,0,0"]
    arguments = ["--n=2", "--seconds=3", "--temperature=0.8,1", "--top_k=200", "--top_p=0.98", "--min_p=0.001", *asked]
    for name in ("a", "b"):
        done = run("sample.py", f"--workdir={workdir}", *arguments, f"--out={tmp_path / name}", env=ONE_DEVICE)
        assert done.returncode == 0, done.stderr
    names = [f"{number:03d}.{kind}" for number in range(4) for kind in ("mid", "png", "wav")]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [*names, "rolls.png"]
    for name in (*names, "rolls.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    notes = read(tmp_path / "a" / "000.mid")
    assert notes.duration <= 3.01
    samples, rate = audio.read_wav(tmp_path / "a" / "000.wav")
    assert rate == 44100
    # What is heard is where the notes are: nothing before the first, and something from then on.
    first = int(notes.start[0] * rate)
    assert np.abs(samples[: max(first - rate // 100, 0)]).max(initial=0) < 1e-3
    assert np.abs(samples[first : first + rate]).max() > 1e-3
    with Image.open(tmp_path / "a" / "rolls.png") as picture:
        assert picture.width > 500


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seconds=3", "--events=5"], "give one of them"),
        (["--seconds=0"], "--seconds=0: expected above 0, at most 3600"),
        (["--mode=continue", "--with-primer=maybe"], "--with_primer=maybe: expected true or false"),
        (["--mode=scroe"], "did you mean 'score'?"),
        (["--mode=reconstruct"], "decoder-only"),
        (["--mode=score", "--input={folder}/text.mid"], "text.mid: no MIDI file"),
        (["--mode=continue", "--input={folder}/text.mid"], "text.mid: no MIDI file"),
    ],
)
def test_a_mistake_is_one_line(workdir, arguments, expected, tmp_path):
    (tmp_path / "text.mid").write_text("no music")
    arguments = [one.format(folder=tmp_path) for one in arguments]
    done = run("sample.py", f"--workdir={workdir}", f"--out={tmp_path / 'out'}", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.mid"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"n": 0}, "--n=0: expected 1 to 4096"),
        ({"n": 4097}, "--n=4097"),
        ({"n": 100, "beam_size": 50}, "5000 performances at once"),
        ({"events": 0}, "--events=0"),
        ({"seconds": float("nan")}, "--seconds=nan"),
        ({"seconds": 3601.0}, "--seconds=3601"),
        ({"top_p": 0.0}, "--top_p=0"),
        ({"top_p": 1.5}, "--top_p=1.5"),
        ({"min_p": -0.1}, "--min_p=-0.1"),
        ({"top_k": -1}, "--top_k=-1"),
        ({"branch_factor": 0}, "--branch_factor=0"),
        ({"sample_rate": 1}, "--sample_rate=1"),
        ({"soundfont": "none.sf2"}, "--soundfont=none.sf2"),
        ({"notes_per_second": [-1.0]}, "--notes_per_second=-1"),
        ({"notes_per_second": []}, "0 values"),
        ({"pitch_class_histogram": "1,2,3"}, "expected 12 weights"),
        ({"pitch_class_histogram": "C"}, "expected lists of 12 numbers"),
        ({"pitch_class_histogram": ",".join("0" * 12)}, "not all 0"),
        ({"pitch_class_histogram": ",".join(["nan"] * 12)}, "expected 12 weights"),
        ({"told": False, "notes_per_second": [1.0]}, "--told=false"),
    ],
)
def test_limits_of_flags(sampler, tmp_path, flags, expected):
    with pytest.raises(UserError) as raised:
        modes.generate(sampler, folder=tmp_path, **flags)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_controls_are_refused_by_a_model_without(sampler):
    codec = type(sampler.codec)()
    with pytest.raises(UserError, match=r"--notes_per_second: the model was not told of it"):
        codec.condition(notes_per_second=[3.0])
    assert codec.condition() == {}
    condition = sampler.codec.condition(notes_per_second=[0.5, 3, 100], pitch_class_histogram=[[1e308] * 12])
    np.testing.assert_array_equal(condition["density"], [0, 2, 7])
    np.testing.assert_allclose(condition["histogram"], 1 / 12, rtol=1e-6)
    assert condition["told"] == 1


def test_continuations_keep_the_primer_and_may_leave_it_out(sampler, tmp_path):
    options = {"n": 3, "seconds": 4.0, "seed": 3, "items": [0, 1], "primer_seconds": 2.5, "audio": False}
    for name, with_primer in (("with", True), ("without", False)):
        modes.continue_(sampler, folder=tmp_path / name, with_primer=with_primer, **options)
        names = sorted(path.name for path in (tmp_path / name).iterdir())
        assert names == [*(f"{number:03d}.{kind}" for number in range(6) for kind in ("mid", "png")), "rolls.png"]
    found = sampler.starting_examples(input=None, items=[0, 1], data_dir=None, split="test", count=1)
    seen = set()
    for number in range(6):
        _, encoded = found[number // 3]
        whole = sampler.codec.decode({**encoded, "length": len(encoded["tokens"])})
        given = whole.select(whole.start < 2.5)
        both, new = (read(tmp_path / name / f"{number:03d}.mid") for name in ("with", "without"))
        beginning = both.select(both.start < 2.4995)
        np.testing.assert_allclose(beginning.start, given.start, atol=1e-3)
        np.testing.assert_array_equal(beginning.pitch, given.pitch)
        np.testing.assert_array_equal(beginning.velocity, given.velocity)
        # Notes that had ended by then have the lengths that were given.
        over = given.end < 2.5
        np.testing.assert_allclose(beginning.end[over], given.end[over], atol=1e-3)
        rest = both.select(both.start >= 2.4995)
        np.testing.assert_allclose(rest.start - 2.5, new.start, atol=1e-3)
        np.testing.assert_array_equal(rest.pitch, new.pitch)
        assert both.duration <= 6.5 + 1e-3
        seen.add(new.start.tobytes() + new.pitch.tobytes())
    assert len(seen) == 6


def test_a_whole_file_is_the_primer_of_events(sampler, tmp_path):
    piece = Notes(start=[0.0, 0.5, 1.0], end=[0.4, 0.9, 1.7], pitch=[60, 64, 67], velocity=80)
    path = midi_writing.write(piece, tmp_path / "primer.mid")
    modes.continue_(sampler, folder=tmp_path / "out", n=2, events=40, input=str(path), audio=False)
    for number in range(2):
        notes = read(tmp_path / "out" / f"{number:03d}.mid")
        np.testing.assert_allclose(notes.start[:3], piece.start, atol=1e-3)
        np.testing.assert_allclose(notes.end[:3], piece.end, atol=1e-3)
        np.testing.assert_array_equal(notes.pitch[:3], piece.pitch)


@pytest.mark.parametrize("seconds", [0.01, 0.37, 2.0, 5.0, 1000.0])
def test_a_primer_is_cut_at_its_time(sampler, seconds):
    ((_, encoded),) = sampler.starting_examples(input=None, items=[0], data_dir=None, split="test", count=1)
    cut = modes._beginning(sampler, encoded, seconds)
    total, whole = modes._seconds(sampler, cut), modes._seconds(sampler, encoded)
    assert total == pytest.approx(min(seconds, whole), abs=1e-9)
    assert all(len(value) == len(cut["tokens"]) for value in cut.values() if np.ndim(value))
    np.testing.assert_array_equal(cut["tokens"][:-1], encoded["tokens"][: len(cut["tokens"]) - 1])


def test_chunks_do_not_change_samples(sampler, monkeypatch):
    condition = {name: np.repeat(v[None], 9, axis=0) for name, v in sampler.codec.condition(told=False).items()}
    options = {"seed": 1, "temperature": 1.0, "condition": condition, "steps": np.full(9, 200, np.int32)}
    whole = sampler.sample(9, max_length=512, top_p=np.full(9, 0.9, np.float32), **options)
    chunked = sampler.sample(9, max_length=512, top_p=np.full(9, 0.9, np.float32), at_once=4, **options)
    for one, other in zip(whole, chunked, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)
        assert events.steps_of(one["tokens"][: one["length"]], sampler.codec.vocabulary).sum() == 200


def test_scores_are_the_loss_of_the_model(sampler, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(modes, "SCORED_CHUNK", 100)
    rng = np.random.default_rng(0)
    paths = []
    for number, count in enumerate((120, 7)):
        start = np.sort(rng.uniform(0, count / 5, count))
        notes = Notes(start=start, end=start + 0.3, pitch=rng.permutation(count) % 128, velocity=64)
        paths.append(str(midi_writing.write(notes, tmp_path / f"{number}.mid")))
    modes.score(sampler, folder=tmp_path, input=paths)
    content = json.loads((tmp_path / "score.json").read_text())
    assert "nats/note" in capsys.readouterr().out
    assert [piece["piece"] for piece in content["pieces"]] == paths
    totals = np.zeros(4)
    for path, piece in zip(paths, content["pieces"], strict=True):
        ((_, example),) = sampler.codec.read(path)
        encoded = sampler.codec.encode(example)
        batch = jax.tree.map(jnp.asarray, collate([encoded], len(encoded["tokens"])))
        metrics = sampler.model(batch, keys=jax.random.split(jax.random.key(0), 1), step=0, train=False)
        for ours, theirs in (("event", "loss"), ("note", "nats_per_note"), ("second", "nats_per_second")):
            total, weight = (float(value[0]) for value in metrics[theirs])
            assert piece[f"nats_per_{ours}"] == pytest.approx(total / weight, rel=1e-4)
        assert piece["perplexity"] == pytest.approx(np.exp(piece["nats_per_event"]))
        totals += [piece[name] for name in ("nats", "scored_events", "notes", "seconds")]
    total = content["total"]
    for name, value in zip(("nats", "scored_events", "notes", "seconds"), totals, strict=True):
        assert total[name] == pytest.approx(value)
    assert total["nats_per_note"] == pytest.approx(totals[0] / totals[2])


def test_the_gallery_can_be_heard(sampler, tmp_path):
    modes.gallery(sampler, folder=tmp_path, seconds=2.0, sample_rate=8000)
    page = (tmp_path / "gallery.html").read_text()
    for title in ("New performances", "Temperature", "Continuations", "Controls"):
        assert title in page
    assert page.count("<audio") == len(list(tmp_path.glob("*.wav"))) == len(list(tmp_path.glob("*.mid"))) == 12
