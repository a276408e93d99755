"""Modes of sample.py that only drawings have. Their keyword parameters are flags."""

from pathlib import Path

from magenta_lite import logs, modes
from magenta_lite.models.sketch_rnn import pictures
from magenta_lite.sampler import Sampler
from magenta_lite.sheet import Sheet
from magenta_lite.sketch.gallery import Section, write_page


def gallery(
    sampler: Sampler, *, folder: Path, temperature: tuple[float, ...] = (0.1, 0.3, 0.6, 1.0), seed: int = 0
) -> None:
    """One page to look at, gallery.html: new drawings, reconstructions, an interpolation, endings, the loss curve."""
    labelled = "label" in sampler.conditions
    sections = []
    if labelled:
        sheet = modes.generate(sampler, n=8, temperature=(0.3,), seed=seed)
        text = "Every class that the model was told, at T = 0.3: nothing is given but the name."
        sections.append(_section("New drawings by class", text, sheet, titles=sampler.codec.labels))
    sheet = modes.generate(
        sampler, n=8, temperature=temperature, seed=seed, label=[sampler.codec.labels[0]] if labelled else None
    )
    text = "The same noise at rising temperature: careful at first, then bold, then wild."
    sections.append(_section("Temperature", text, sheet))
    if sampler.has_latent and sampler.keeps_examples:
        sheet = modes.reconstruct(sampler, n=10, temperature=(0.0, 0.2, 0.5), seed=seed)
        text = "Drawings the model has never seen, read into one vector, and drawn again from it."
        sections.append(_section("Reconstructions", text, sheet))
        if len(sampler.starting_examples(input=None, items=None, data_dir=None, split="test", count=2)) > 1:
            sheet = modes.interpolate(sampler, steps=9, temperature=(0.0,), seed=seed)
            text = "From the drawing on the left to the one on the right, in even steps through the latent space."
            text += " The class that the model is told changes half way." if labelled else ""
            sections.append(_section("Interpolation", text, sheet))
    if sampler.keeps_examples:
        sheet = modes.continue_(sampler, n=9, items=[0], share=0.4, temperature=(0.4, 0.8), seed=seed)
        text = "The coloured lines are given; the model finishes the drawing, nine times."
        sections.append(_section("Endings of one beginning", text, sheet))
    made = (
        f"{sampler.config.family} after {sampler.step:,} steps on {sampler.config.data.dir}, "
        f"{len(sampler.codec.labels)} classes: {', '.join(sampler.codec.labels[:20])}"
    )
    curve = {
        name: logs.read(sampler.workdir, split, "loss") for name, split in (("training", "train"), ("valid", "valid"))
    }
    write_page(folder / "gallery.html", "What the model draws", sections, curve, made=made)


def _section(title: str, text: str, sheet: Sheet, titles: tuple[str, ...] | None = None) -> Section:
    return Section(
        title,
        text,
        pictures.cells(sheet),
        column_titles=sheet.column_titles,
        row_titles=sheet.row_titles if titles is None else titles,
    )
