"""Modes of sample.py for performances: new ones, continuations, scores of MIDI files, and a page to see and hear.

Their keyword parameters are flags. temperature: >= 0, several are compared with the same noise; 0 is greedy. seconds or
events: how much is made; seconds are delivered in full. top_k, top_p, min_p: only the likeliest numbers are drawn, see
decoding.Choice. beam_size sequences are kept of each performance, each goes on in branch_factor copies, and after every
steps_per_iteration events the likeliest are kept. audio: WAV files too, by the built-in synthesizer or a soundfont.
"""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite import logs
from magenta_lite.errors import Rejected, UserError
from magenta_lite.files import writing
from magenta_lite.models.performance_rnn import events as event_numbers
from magenta_lite.models.performance_rnn import flags, output
from magenta_lite.models.performance_rnn.vocabulary import TIME_SHIFT, EventVocabulary
from magenta_lite.music import audio as sounds
from magenta_lite.music import transforms
from magenta_lite.music.notes import Notes
from magenta_lite.sampler import Sampler
from magenta_lite.sheet import Item, Sheet

PRIMER = 10.0
"""Seconds of an example that are continued, where nothing else is said."""

SCORED_TOGETHER, SCORED_CHUNK = 32, 2048

Arrays = dict[str, NDArray]


def generate(
    sampler: Sampler,
    *,
    folder: Path,
    n: int = 10,
    seconds: float | None = None,
    events: int | None = None,
    temperature: tuple[float, ...] = (1.0,),
    seed: int = 0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    beam_size: int = 1,
    branch_factor: int = 1,
    steps_per_iteration: int = 1,
    notes_per_second: list[float] | None = None,
    pitch_class_histogram: str | None = None,
    told: bool = True,
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """n new performances at each temperature, of so many seconds (30) or events.

    notes_per_second=2,8,4 and pitch_class_histogram="1,0,1,0,1,1,0,1,0,1,0,1;..." (12 weights from C to B, lists parted
    by semicolons): what a model with controls is told, each value for an equal part of the piece. told=false: a model
    that may go without is told nothing.
    """
    flags.check(**{name: value for name, value in locals().items() if name not in ("sampler", "folder")})
    how = flags.how(sampler.codec, seconds, events, top_k, top_p, min_p, beam_size, branch_factor, steps_per_iteration)
    asked = flags.asked(sampler.codec, notes_per_second, pitch_class_histogram, told)
    rows = []
    for t in temperature:
        drawn = _draw(sampler, n, how, seed, t, asked, None)
        rows.append([Item(sampler.codec.decode(one), f"{number:03d}") for number, one in enumerate(drawn)])
    sheet = Sheet(_numbered(rows), row_titles=[_title(t) for t in temperature])
    output.write(sheet, folder, sound=audio, soundfont=soundfont, sample_rate=sample_rate)


def continue_(
    sampler: Sampler,
    *,
    folder: Path,
    n: int = 4,
    primer_seconds: float | None = None,
    with_primer: bool = True,
    seconds: float | None = None,
    events: int | None = None,
    temperature: tuple[float, ...] = (1.0,),
    seed: int = 0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    beam_size: int = 1,
    branch_factor: int = 1,
    steps_per_iteration: int = 1,
    notes_per_second: list[float] | None = None,
    pitch_class_histogram: str | None = None,
    told: bool = True,
    items: list[int] | None = None,
    input: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    audio: bool = True,
    soundfont: str | None = None,
    sample_rate: int = 44100,
) -> None:
    """n continuations of a primer, which is kept: so many seconds (30) or events behind it.

    The primer is a MIDI file (input), or an example of the workdir or of prepared data (items, data_dir, split): its
    first primer_seconds (default 10, but all of an input). with_primer=false: only what is new is written, from its
    own 0 on. Controls as for generate; of the primer the model is told what is true.
    """
    given_names = ("sampler", "folder", "items", "input", "data_dir", "split", "with_primer")
    flags.check(**{name: value for name, value in locals().items() if name not in given_names})
    how = flags.how(sampler.codec, seconds, events, top_k, top_p, min_p, beam_size, branch_factor, steps_per_iteration)
    asked = flags.asked(sampler.codec, notes_per_second, pitch_class_histogram, told)
    found = sampler.starting_examples(
        input=input, items=[0] if input and items is None else items, data_dir=data_dir, split=split, count=1
    )
    longest = primer_seconds if primer_seconds is not None else None if input else PRIMER
    primers = [_beginning(sampler, encoded, longest) for _, encoded in found]
    flags.at_most(
        "n", n * len(primers) * beam_size * branch_factor, "performances at once, with all primers and branches"
    )
    rows, titles, given = [], [], []
    for t in temperature:
        drawn = _draw(sampler, n * len(primers), how, seed, t, asked, [one for one in primers for _ in range(n)])
        for number, (example, _) in enumerate(found):
            part = drawn[number * n : (number + 1) * n]
            cut = _seconds(sampler, primers[number])
            row = [Item(sampler.codec.decode(_whole(primers[number])), "given", sampled=False)]
            for one in part:
                notes = sampler.codec.decode(one)
                row.append(Item(notes if with_primer else transforms.slice_(notes, cut, max(notes.duration, cut))))
            rows.append(row)
            given.append(cut if with_primer else 0.0)
            titles.append(f"{example['name']}: the given {cut:.1f} s, and continuations at {_title(t)}")
    output.write(
        Sheet(_numbered(rows), row_titles=titles),
        folder,
        given_seconds=given,
        sound=audio,
        soundfont=soundfont,
        sample_rate=sample_rate,
    )


def score(
    sampler: Sampler,
    *,
    folder: Path,
    input: list[str] | None = None,
    items: list[int] | None = None,
    data_dir: str | None = None,
    split: str = "test",
    count: int = 64,
) -> None:
    """How likely the model holds MIDI files (input), or pieces of the workdir or of prepared data: score.json.

    Nats of each whole piece, from its second event on, since the first is only read: per event, with the perplexity,
    per note and per second of music. Pieces with fewer than two events have none.
    """
    from magenta_lite.models.performance_rnn import likelihood

    flags.between("count", count, 1, 1_000_000)
    if input is not None and (data_dir is not None or items is not None):
        raise UserError("--input names what to score: leave out --data_dir and --items")
    if input is not None and not input:
        raise UserError("--input= is empty: expected MIDI files, parted by commas")
    if input is None:
        found = sampler.starting_examples(input=None, items=items, data_dir=data_dir, split=split, count=count)
        pieces = [(str(example["name"]), encoded) for example, encoded in found]
    else:
        pieces = [(path, _encoded(sampler, path)) for path in input]
    order = sorted(range(len(pieces)), key=lambda number: -len(pieces[number][1]["tokens"]))
    sums = likelihood.score(
        sampler.model,
        ((number, pieces[number][1]) for number in order),
        len(pieces),
        rows=min(SCORED_TOGETHER, len(pieces)),
        chunk=min(SCORED_CHUNK, max(len(pieces[order[0]][1]["tokens"]) - 1, 1)),
    )
    of_type = list(sums.events.values())  # notes, or note-ons, come first
    scored, notes = np.sum(of_type, axis=0), of_type[0]
    rate = sampler.codec.steps_per_second
    columns = (sums.nats, scored, notes, sums.steps / rate)
    table = [
        {"piece": name, "events": len(arrays["tokens"]), **_shares(*(float(column[number]) for column in columns))}
        for number, (name, arrays) in enumerate(pieces)
    ]
    events = sum(len(arrays["tokens"]) for _, arrays in pieces)
    total = {"events": events, **_shares(*(float(column.sum()) for column in columns))}
    content = {"step": sampler.step, "pieces": table, "total": total}
    with writing(folder / "score.json") as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    _print_table([*table, {"piece": f"all {len(table)}", **total}])


def gallery(sampler: Sampler, *, folder: Path, seed: int = 0, seconds: float = 20.0, sample_rate: int = 44100) -> None:
    """One page to see and hear, gallery.html: new performances, temperatures, continuations, and controls."""
    from magenta_lite.music.page import Section, write_page

    flags.check(seconds=seconds, sample_rate=sample_rate)
    how = flags.how(sampler.codec, seconds, None, 0, 1.0, 0.0, 1, 1, 1)
    names = itertools.count()
    codec = sampler.codec

    def pieces(drawn: list[Arrays], captions: list[str], given: float = 0.0) -> list[Any]:
        return [
            _playable(folder, next(names), codec.decode(one), caption, given, sample_rate)
            for one, caption in zip(drawn, captions, strict=True)
        ]

    drawn = _draw(sampler, 4, how, seed, 1.0, {}, None)
    sections = [Section("New performances", "Nothing is given: at T = 1.", pieces(drawn, ["", "", "", ""]))]
    shown = [(t, _draw(sampler, 1, how, seed + 1, t, {}, None)[0]) for t in (0.7, 0.9, 1.1)]
    text = "The same noise at rising temperature."
    sections.append(Section("Temperature", text, pieces([one for _, one in shown], [_title(t) for t, _ in shown])))
    if sampler.keeps_examples:
        ((example, encoded),) = sampler.starting_examples(input=None, items=[0], data_dir=None, split="test", count=1)
        primer = _beginning(sampler, encoded, min(PRIMER, seconds))
        drawn = _draw(sampler, 3, how, seed, 1.0, {}, [primer] * 3)
        text = f"The shaded beginning is given: {example['name']}. The model goes on, three times."
        sections.append(Section("Continuations", text, pieces(drawn, ["", "", ""], _seconds(sampler, primer))))
    if codec.controls:
        asked, words = _shown_controls(codec.controls)
        drawn = _draw(sampler, 2, how, seed, 1.0, codec.condition(**asked), None)
        sections.append(Section("Controls", words, pieces(drawn, ["", ""])))
    made = f"{sampler.config.family} after {sampler.step:,} steps on {sampler.config.data.dir}"
    losses = [value for _, value in logs.read(sampler.workdir, "valid", "loss")]
    made += f"; at best {min(losses):.3f} nats {_unit(codec)} in validation" if losses else ""
    write_page(folder / "gallery.html", "What the model plays", sections, made=made)


def _shown_controls(known: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    asked: dict[str, Any] = {}
    words = []
    if "notes_per_second" in known:
        asked["notes_per_second"] = [2, 8, 24]
        words.append("2, then 8, then 24 notes a second")
    if "pitch_class_histogram" in known:
        asked["pitch_class_histogram"] = [[1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0]]
        words.append("first the white keys, then the black ones")
    return asked, f"The model is asked for {'; '.join(words)}."


def _playable(folder: Path, number: int, notes: Notes, caption: str, given: float, sample_rate: int) -> Any:
    from magenta_lite.music import midi_writing
    from magenta_lite.music.page import Piece

    stem = folder / f"{number:03d}"
    midi = midi_writing.write(notes, stem.with_suffix(".mid"))
    sounds.write_wav(sounds.render(notes, sample_rate=sample_rate), stem.with_suffix(".wav"), sample_rate)
    return Piece(notes, caption, audio=stem.with_suffix(".wav"), given_seconds=given, midi=midi)


def _draw(
    sampler: Sampler,
    count: int,
    how: dict[str, Any],
    seed: int,
    temperature: float,
    asked: Arrays,
    prime: list[Arrays] | None,
) -> list[Arrays]:
    """`count` performances; says so where the model had to be helped over the time."""
    for_each = {name: np.repeat(value[None], count, axis=0) for name, value in asked.items()}
    rows: dict[str, Any] = {
        name: np.full(count, value) if isinstance(value, np.generic) else value for name, value in how.items()
    }
    began = time.monotonic()
    drawn = sampler.sample(count, seed=seed, temperature=temperature, prime=prime, condition=for_each, **rows)
    made = sum(int(one["length"] - one["given"]) for one in drawn)
    took = time.monotonic() - began
    print(f"{_title(temperature)}: {made:,} events in {took:.1f} s, compiling included")
    if stuck := sum(not one["ended"] for one in drawn):
        print(f"{_title(temperature)}: {stuck} of {count} did not get on with the time: the rest of theirs is silence")
    return drawn


def _beginning(sampler: Sampler, encoded: Arrays, seconds: float | None) -> Arrays:
    """The events of the first seconds, or of all; the time-shift that goes beyond is cut."""
    vocabulary, tokens = sampler.codec.vocabulary, encoded["tokens"]
    if seconds is None:
        return encoded
    wanted = max(1, round(seconds * sampler.codec.steps_per_second))
    after = np.cumsum(event_numbers.steps_of(tokens, vocabulary))
    begins = np.concatenate([[0], after[:-1]])
    if not isinstance(vocabulary, EventVocabulary):
        begins = after  # a note begins behind its shift
        wanted = max(wanted, int(after[0]) + 1)
    count = int((begins < wanted).sum())
    cut = {name: value[:count] if np.ndim(value) else value for name, value in encoded.items()}
    beyond = int(after[count - 1]) - wanted
    if isinstance(vocabulary, EventVocabulary) and beyond > 0:
        value = int(tokens[count - 1, 0]) - vocabulary.offset(TIME_SHIFT) + 1 - beyond
        cut["tokens"] = tokens[:count].copy()
        cut["tokens"][-1, 0] = vocabulary.number(TIME_SHIFT, value)
    return cut


def _whole(encoded: Arrays) -> Arrays:
    return {**encoded, "length": np.array(len(encoded["tokens"]))}


def _seconds(sampler: Sampler, encoded: Arrays) -> float:
    """How long encoded events last."""
    steps = event_numbers.steps_of(encoded["tokens"], sampler.codec.vocabulary).sum()
    return float(steps / sampler.codec.steps_per_second)


def _encoded(sampler: Sampler, path: str) -> Arrays:
    ((_, example),) = sampler.codec.read(path)
    encoded = example if isinstance(example, Rejected) else sampler.codec.encode(example)
    if isinstance(encoded, Rejected):
        raise UserError(f"{path}: {encoded.reason}")
    return encoded


def _shares(nats: float, events: float, notes: float, seconds: float) -> dict[str, Any]:
    def share(of: float) -> float | None:
        return nats / of if of else None

    return {
        "scored_events": int(events),
        "notes": int(notes),
        "seconds": seconds,
        "nats": nats,
        "nats_per_event": share(events),
        "perplexity": float(np.exp(min(nats / events, 700.0))) if events else None,
        "nats_per_note": share(notes),
        "nats_per_second": share(seconds),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    columns = ("events", "notes", "seconds", "nats_per_event", "perplexity", "nats_per_note", "nats_per_second")
    heads = ("events", "notes", "seconds", "nats/event", "perplexity", "nats/note", "nats/second")
    names = [row["piece"] if len(row["piece"]) <= 40 else f"...{row['piece'][-37:]}" for row in rows]
    wide = max(map(len, names))
    print(" " * wide + "".join(f"{head:>13}" for head in heads))
    for name, row in zip(names, rows, strict=True):
        cells = [row[column] for column in columns]
        text = ["-" if cell is None else f"{cell:,}" if isinstance(cell, int) else f"{cell:,.3f}" for cell in cells]
        print(f"{name:{wide}}" + "".join(f"{cell:>13}" for cell in text))


def _numbered(rows: list[list[Item]]) -> list[list[Item]]:
    """Rows whose sampled pieces have their files' numbers as captions."""
    number = itertools.count()
    return [[Item(item.value, f"{next(number):03d}") if item.sampled else item for item in row] for row in rows]


def _unit(codec: Any) -> str:
    return "a note" if codec.encoding == "notes" else "an event"


def _title(temperature: float) -> str:
    return "greedy" if temperature == 0 else f"T = {temperature:g}"
