"""Modes of sample.py for slices of melodies, drums, trios and grooves. Their keyword parameters are flags.

temperature: >= 0, several are compared with the same noise; 0 is greedy. chords: what a model that is told chords is
told, each for an equal part of the slice (--chords=C,Am,F,G); else what the examples say. Where to start: input, MIDI
files, and slice, which of their slices, by the numbers that are listed where there are several; or items, examples that
the workdir keeps, or that data_dir, prepared data, has in a split. qpm: quarter notes a minute; else the tempo of
what is given, or 120. audio: WAV files too, by the built-in synthesizer or a soundfont.

--chords with given slices re-harmonises them: the encoder hears each with its own chords, those of the example or those
inferred in the file, and the decoder is told the chords asked for.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from magenta_lite import logs
from magenta_lite.errors import UserError, nearest
from magenta_lite.models.music_vae import attributes, flags, output, starting
from magenta_lite.models.music_vae.model import CONTINUES_NOT
from magenta_lite.models.music_vae.sheets import Maker, title
from magenta_lite.music.notes import Notes
from magenta_lite.sampler import Sampler
from magenta_lite.sheet import Item, Sheet


def generate(
    sampler: Sampler,
    *,
    folder: Path,
    n: int = 10,
    temperature: tuple[float, ...] = (0.5,),
    seed: int = 0,
    chords: list[str] | None = None,
    input: list[str] | None = None,
    slice: list[int] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """n new slices from the prior, at each temperature.

    A model that is told the hits of a groove gets those of one that is given (input or items), or of a kept example.
    """
    flags.check(**locals())
    flags.at_most(slices=n, temperatures=len(temperature))
    found = None
    if "hits" in sampler.conditions:
        found = starting.start(sampler, 1, input, slice, items, data_dir, split)
    elif any(value is not None for value in (input, items, data_dir)):
        raise UserError("nothing is given to new slices, unless a model is told hits: reconstruct or interpolate it")
    make = Maker(sampler, seed, starting.tempo(found, qpm), chords)
    given = [] if found is None else [make.given(found[0][1], f"the hits of {found[0][0]['name']}")]
    told = make.told(n, None if found is None else [found[0][1]])
    rows = [[*given, *make.draw(n, None, told, t)] for t in temperature]
    sheet = Sheet(rows, row_titles=list(map(title, temperature)))
    _write(sampler, sheet, folder, "New slices", audio, soundfont, sample_rate)


def reconstruct(
    sampler: Sampler,
    *,
    folder: Path,
    n: int = 10,
    temperature: tuple[float, ...] = (0.1, 0.5),
    seed: int = 0,
    posterior: str = "mean",
    chords: list[str] | None = None,
    input: list[str] | None = None,
    slice: list[int] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """Slices that are given, n kept examples where none are named, and what the model makes of each; one to a row.

    posterior: z is its mean, or a sample of it.
    """
    flags.check(**locals())
    found = starting.start(sampler, n, input, slice, items, data_dir, split)
    flags.at_most(slices=len(found), temperatures=len(temperature))
    make = Maker(sampler, seed, starting.tempo(found, qpm), chords)
    rows = make.reconstructions(found, temperature, posterior)
    sheet = Sheet(rows, row_titles=[str(example["name"]) for example, _ in found])
    _write(sampler, sheet, folder, "Reconstructions", audio, soundfont, sample_rate)


def interpolate(
    sampler: Sampler,
    *,
    folder: Path,
    steps: int = 9,
    way: str = "slerp",
    corners: int | None = None,
    temperature: tuple[float, ...] = (0.1,),
    seed: int = 0,
    chords: list[str] | None = None,
    input: list[str] | None = None,
    slice: list[int] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """The way from one slice to another in `steps`, ends included, and way.mid: all of it, one step after the other.

    Between two MIDI files (--input=a.mid,b.mid), slices of one (--slice=0,7) or examples (--items=3,17); where nothing
    is given, between two samples of the prior, or, with corners=4, four. Four slices make a grid of steps x steps, each
    row of it a way. way: slerp, along the sphere, or lerp, straight.
    """
    flags.check(**locals())
    found, count = None, corners or 2
    if any(value is not None for value in (input, items, data_dir)):
        found = starting.start(sampler, count, input, slice, items, data_dir, split)
        count = len(found)
        if count not in (2, 4):
            raise UserError(f"interpolation goes between 2 slices or 4, not {count}")
        if corners not in (None, count):
            raise UserError(f"--corners={corners}, but {count} slices are given: leave it out, or give {corners}")
    flags.at_most(steps=steps, rows=steps if count == 4 else 1, temperatures=len(temperature))
    make = Maker(sampler, seed, starting.tempo(found, qpm), chords)
    rows: list[list[Item]] = []
    titles: list[str] = []
    ways: dict[int, Notes] = {}
    for t in temperature:
        lines, wholes = make.way(found, count, steps, way, t)
        ways |= dict(enumerate(wholes, len(rows)))
        rows += lines
        titles += [title(t), *[""] * (len(lines) - 1)]
    sheet = Sheet(rows, row_titles=titles)
    _write(sampler, sheet, folder, "From one slice to another", audio, soundfont, sample_rate, ways=ways)


def arithmetic(
    sampler: Sampler,
    *,
    folder: Path,
    n: int = 4,
    temperature: tuple[float, ...] = (0.1,),
    seed: int = 0,
    chords: list[str] | None = None,
    input: list[str] | None = None,
    slice: list[int] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """a - b + c: the difference of two slices added to a third in latent space, and n samples of the result."""
    flags.check(**locals())
    flags.at_most(slices=n, temperatures=len(temperature))
    found = starting.start(sampler, 3, input, slice, items, data_dir, split)
    if len(found) != 3:
        raise UserError(f"a - b + c takes 3 slices, not {len(found)}: name them by --items=3,17,5")
    make = Maker(sampler, seed, starting.tempo(found, qpm), chords)
    a, b, c = make.points(found, 3)
    told = make.told(n, [found[2][1]])
    given = [make.given(encoded, name) for name, (_, encoded) in zip("abc", found, strict=True)]
    rows = [[*given, *make.draw(n, np.repeat((a - b + c)[None], n, axis=0), told, t)] for t in temperature]
    titles = [f"a - b + c, {title(t)}" for t in temperature]
    _write(sampler, Sheet(rows, row_titles=titles), folder, "Arithmetic", audio, soundfont, sample_rate)


def attribute(
    sampler: Sampler,
    *,
    folder: Path,
    attribute: str = "note_density",
    amount: tuple[float, ...] = (-1.0, 0.0, 1.0, 2.0),
    n: int = 4,
    examples: int = 4096,
    temperature: tuple[float, ...] = (0.5,),
    seed: int = 0,
    chords: list[str] | None = None,
    input: list[str] | None = None,
    slice: list[int] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    training_dir: str | None = None,
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """More or less of an attribute: amount x its vector added to z of given slices, or of n samples of the prior.

    attribute: note_density, sixteenth_syncopation, eighth_syncopation; of melodies also average_interval, c_diatonic,
    best_diatonic; of trios bass_density and drum_density, too. What is measured is written beside each slice. The
    vector is found in so many `examples` of the data that the model was trained on (training_dir, where it has moved).
    """
    flags.check(**locals())
    known = attributes.measures(sampler.codec)
    if attribute not in known:
        raise UserError(f"--attribute={attribute}: {nearest(attribute, known)}")
    found = None
    if any(value is not None for value in (input, items, data_dir)):
        found = starting.start(sampler, n, input, slice, items, data_dir, split)
    count = n if found is None else len(found)
    flags.at_most(slices=count, amounts=len(amount), temperatures=len(temperature))
    make, measure = Maker(sampler, seed, starting.tempo(found, qpm), chords), known[attribute]
    z = make.points(found, n)
    told = make.told(len(z), None if found is None else [encoded for _, encoded in found])
    training = _training(sampler, training_dir, examples)
    vectors = attributes.vectors(sampler, training)
    if attribute not in vectors:
        raise UserError(f"--attribute={attribute}: all {len(training)} slices of the training data have the same")
    rows, titles = [], []
    if found:
        rows.append([make.given(one, f"{measure(one):.3g}") for _, one in found])
        titles.append(f"given, with its {attribute}")
    for t in temperature:
        for times in amount:
            moved = (z + np.float32(times) * vectors[attribute]).astype(np.float32)
            drawn = make.sample(len(z), moved, told, t)
            values = [measure(one) for one in drawn]
            rows.append([Item(make.decode(one), f"{value:.3g}") for one, value in zip(drawn, values, strict=True)])
            titles.append(f"{times:+g} x {attribute}, {title(t)}: {np.mean(values):.3g} on average")
            print(titles[-1])
    _write(sampler, Sheet(rows, row_titles=titles), folder, f"Attribute {attribute}", audio, soundfont, sample_rate)


def humanize(
    sampler: Sampler,
    *,
    folder: Path,
    input: str,
    hits: str = "given",
    n: int = 1,
    temperature: tuple[float, ...] = (0.0,),
    seed: int = 0,
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """A beat (input, a MIDI file) as a drummer would play it: how loud each hit is, and how far from the grid.

    hits: given, exactly those of the beat, which is what one wants who wrote it; or model, drawn by the model, too, as
    the original does, which adds and leaves out some. n: ways to play it, the first from the posterior's mean, others
    from samples of it. Longer beats are played slice by slice, at the file's tempo, or at qpm.
    """
    flags.check(**locals())
    starting.need_groove_input(sampler.codec, "humanize", ("humanize",))
    beat = starting.beat(sampler.codec, input)
    sheet = _performances(sampler, input, beat, hits == "given", n, temperature, seed, qpm)
    _write(sampler, sheet, folder, "A beat, performed", audio, soundfont, sample_rate)


def tap(
    sampler: Sampler,
    *,
    folder: Path,
    input: str,
    n: int = 1,
    temperature: tuple[float, ...] = (0.0,),
    seed: int = 0,
    qpm: float | None = None,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """A whole beat from a tapped rhythm (input, a MIDI file): what is tapped when counts, not on which drum or key.

    A file without drums is taken for taps on a keyboard. n, and longer files, as for humanize.
    """
    flags.check(**locals())
    starting.need_groove_input(sampler.codec, "tap", ("tap_fixed_velocity", "tap_fixed_velocity_note_dropout"))
    beat = starting.beat(sampler.codec, input, tapped=True)
    sheet = _performances(sampler, input, beat, False, n, temperature, seed, qpm)
    _write(sampler, sheet, folder, "A beat from taps", audio, soundfont, sample_rate)


def continue_(
    sampler: Sampler,
    *,
    n: int = 1,
    temperature: tuple[float, ...] = (0.5,),
    seed: int = 0,
    items: list[int] | None = None,
    input: str | None = None,
) -> None:
    """Not for slices: says why, and what to do instead."""
    raise UserError(CONTINUES_NOT)


def gallery(
    sampler: Sampler,
    *,
    folder: Path,
    temperature: tuple[float, ...] = (0.2, 0.5, 1.0),
    seed: int = 0,
    chords: list[str] | None = None,
    qpm: float | None = None,
    sample_rate: int = 44100,
) -> None:
    """One page to see and hear, gallery.html: new slices, reconstructions, and the way from one slice to another."""
    flags.check(**locals())
    given = sampler.keeps_examples or "hits" in sampler.conditions
    found = starting.start(sampler, 3, None, None, None, None, "test") if given else []
    make = Maker(sampler, seed, starting.tempo(found, qpm), chords)
    told = make.told(3, [encoded for _, encoded in found[:1]] or None)
    rows = [make.draw(3, None, told, t) for t in temperature]
    titles = [f"New slices, {title(t)}" for t in temperature]
    texts = {0: "Drawn from the prior, with the same noise at each temperature."}
    if "hits" in sampler.conditions:
        texts[0] += f" The hits are those of {found[0][0]['name']}."
    if found:
        texts[len(rows)] = "Slices that the model has never seen, read into one vector, and made again from it."
        rows += make.reconstructions(found, temperature[:1], "mean")
        titles += [f"Again: {example['name']}" for example, _ in found]
    ways = {}
    if len(found) > 1:
        lines, wholes = make.way(found[:2], 2, 7, "slerp", temperature[0])
        ways = {len(rows): wholes[0]}
        texts[len(rows)] = "From one slice to another, in even steps through the latent space."
        rows += lines
        titles.append(f"A way, {title(temperature[0])}")
    sheet = Sheet(rows, row_titles=titles)
    more = {"ways": ways, "texts": texts, "name": "gallery.html"}
    _write(sampler, sheet, folder, "What the model plays", True, None, sample_rate, **more)


def _performances(
    sampler: Sampler,
    path: str,
    beat: starting.Beat,
    keep_hits: bool,
    n: int,
    temperature: Sequence[float],
    seed: int,
    qpm: float | None,
) -> Sheet:
    flags.at_most(performances=n, temperatures=len(temperature))
    make = Maker(sampler, seed, beat.qpm if qpm is None else qpm)
    rows = []
    for t in temperature:
        items, missing = make.performances(beat, keep_hits, n, t)
        rows.append(items)
        if keep_hits and missing:
            print(f"{title(t)}: {missing} of {n * int((beat.velocity > 0).sum())} hits are kept, left out by the model")
    return Sheet(rows, row_titles=[f"{Path(path).name}, {title(t)}" for t in temperature])


def _training(sampler: Sampler, folder: str | None, count: int) -> list[dict[str, Any]]:
    """Slices of the data that the model was trained on, or of other data, and that it is said."""
    folder = folder or str(sampler.config.data.dir)
    if not Path(folder).is_dir():
        raise UserError(f"{folder}, the data of this run, is not there: say where it is by --training_dir")
    found = sampler.starting_examples(input=None, items=None, data_dir=folder, split="train", count=count)
    sources = [json.loads(Path(place, "source.json").read_text()) for place in (sampler.workdir, folder)]
    if sources[0].get("digest") != sources[1].get("digest"):
        print(f"{folder} is other data than {sampler.workdir} was trained on: the vectors are found in it all the same")
    return attributes.training_slices(sampler.codec, [example for example, _ in found], count)


def _write(
    sampler: Sampler,
    sheet: Sheet,
    folder: Path,
    title: str,
    audio: bool,
    soundfont: str | None,
    sample_rate: int,
    **more: Any,
) -> None:
    made = f"{sampler.config.family} after {sampler.step:,} steps on {sampler.config.data.dir}"
    losses = [value for _, value in logs.read(sampler.workdir, "valid", "loss")]
    made += f"; at best a loss of {min(losses):.3f} in validation" if losses else ""
    output.write(
        sheet,
        folder,
        steps_per_bar=sampler.codec.steps_per_bar,
        bars=sampler.codec.bars,
        sound=audio,
        soundfont=soundfont,
        sample_rate=sample_rate,
        title=title,
        made=made,
        **more,
    )
