"""What all cards of a family say: what it is, what it is for, what it cannot do, whom to name, what numbers mean."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Words:
    """Of one family. sheet: the options of its mode `generate` for the card's picture, and the file that shows all."""

    title: str
    what: str
    use: tuple[str, ...]
    limits: tuple[str, ...]
    commands: tuple[str, ...]
    metrics: Mapping[str, str]
    papers: tuple[str, ...]
    options: Mapping[str, object]
    sheet: str


_SKETCH = Words(
    title="SketchRNN",
    what="A recurrent network that draws: it reads and writes pen strokes, point by point. Offsets come from a mixture "
    "of Gaussian densities, and the pen's states (down, up, end) from a categorical distribution.",
    use=(
        "to draw new sketches of the classes that it was trained on, to continue beginnings, and, where it has a "
        "latent space, to reconstruct and to interpolate",
        "to begin from, for other drawings",
        "to study, and to teach with",
    ),
    limits=(
        "It knows the classes of its data and no other, as they were drawn there.",
        "It draws lines without width, colour or fill.",
        "Long sketches with many details come out worse than short ones, and a sketch may be cut off at the longest "
        "length.",
        "It may repeat drawings of its data closely; `python evaluate.py` holds samples against the training data.",
    ),
    commands=("--mode=generate --temperature=0.2,0.5", "--mode=continue --input=beginning.svg"),
    metrics={
        "loss": "what training minimises: reconstruction and weighted KL; lower is better",
        "negative_elbo": "nats_per_sketch + KL_nats: an upper bound of -ln p(sketch), nats; lower is better",
        "nats_per_sketch": "negative log-likelihood of all points and pen states of a sketch, nats; lower is better",
        "nats_per_point": "the same for each position up to the end, nats; lower is better",
        "pen_accuracy": "share of positions whose pen state the model holds for the likeliest, 0 to 1",
        "L_R": "the paper's reconstruction loss, per position of the longest sketch; lower is better",
        "L_s": "its part of the offsets",
        "L_p": "its part of the pen",
        "N_max": "points of the longest sketch, by which these are divided",
        "L_KL": "the paper's KL loss, a mean over the dimensions of z",
        "KL_nats": "nats of the sketch that z holds",
        "scale": "what offsets were divided by, in the data's units",
    },
    papers=(
        "David Ha, Douglas Eck. A Neural Representation of Sketch Drawings. 2017. https://arxiv.org/abs/1704.03477",
    ),
    options={"n": 8, "temperature": (0.25, 0.5)},
    sheet="grid.png",
)

_PERFORMANCE = Words(
    title="Performance RNN",
    what="A recurrent network that plays the piano: it writes notes on and off, velocities and the time between them, "
    "event by event, on a grid of hundredths of a second.",
    use=(
        "to play new pieces with expressive timing and dynamics, to continue beginnings, and, where it was trained so, "
        "with as many notes a second and such pitch classes as are asked for",
        "to begin from, for other music",
        "to study, and to teach with",
    ),
    limits=(
        "It remembers some seconds: pieces have texture and phrases, and no form beyond that.",
        "It plays the style of its data, on one instrument, and knows no metre and no bars.",
        "It may repeat passages of its data closely; `python evaluate.py` counts them.",
    ),
    commands=("--mode=generate --seconds=30", "--mode=continue --input=beginning.mid"),
    metrics={
        "loss": "nats of an event, a mean over all events but the first of each piece; lower is better",
        "nats_per_event": "negative log-likelihood of an event, nats; log(388) = 5.96 is guessing; lower is better",
        "perplexity": "its exponential: among how many events the model wavers",
        "nats_per_note": "the same sum for each note; lower is better",
        "nats_per_second": "the same sum for each second of music; lower is better",
        "nats_per_step": "the same sum for each step of the time grid; lower is better",
        "accuracy": "share of events that the model holds for the likeliest, 0 to 1",
        "accuracy_note_on": "the same of note-ons alone",
        "accuracy_note_off": "the same of note-offs",
        "accuracy_time_shift": "the same of the time between events",
        "accuracy_velocity": "the same of velocities",
    },
    papers=(
        "Ian Simon, Sageev Oore. Performance RNN: Generating Music with Expressive Timing and Dynamics. 2017. "
        "https://magenta.tensorflow.org/performance-rnn",
        "Sageev Oore, Ian Simon, Sander Dieleman, Douglas Eck, Karen Simonyan. This Time with Feeling: Learning "
        "Expressive Musical Performance. 2018. https://arxiv.org/abs/1808.03715",
    ),
    options={"n": 4, "seconds": 15.0, "temperature": (1.0,), "audio": False},
    sheet="rolls.png",
)

_MUSIC_VAE = Words(
    title="MusicVAE",
    what="A variational autoencoder of short pieces of music: slices of a few bars on a grid of sixteenths become "
    "points of a latent space, and points become slices.",
    use=(
        "to make new slices, to reconstruct and vary given ones, to interpolate between two, and for grooves to give a "
        "stiff beat a feel",
        "to begin from, for other music",
        "to study, and to teach with",
    ),
    limits=(
        "A slice has the length that it was trained for; what came before it is not known.",
        "Time is a grid of sixteenths (but for grooves), in the metre of the data.",
        "Slices that are unlike its data are reconstructed badly, the longer the worse.",
        "It may repeat slices of its data closely; `python evaluate.py` counts them.",
    ),
    commands=("--mode=generate --temperature=0.5", "--mode=interpolate"),
    metrics={
        "loss": "what training minimises: reconstruction and weighted KL beyond the free bits; lower is better",
        "reconstruction_nats": "negative log-likelihood of all steps of a slice, given its z, nats; lower is better",
        "KL_nats": "nats of the slice that z holds",
        "KL_bits": "the same in bits",
        "elbo_nats": "their sum: an upper bound of -ln p(slice), but for grooves, nats; lower is better",
        "accuracy": "share of steps that the model holds for the likeliest, those before them given, 0 to 1",
    },
    papers=(
        "Adam Roberts, Jesse Engel, Colin Raffel, Curtis Hawthorne, Douglas Eck. A Hierarchical Latent Vector Model "
        "for Learning Long-Term Structure in Music. 2018. https://arxiv.org/abs/1803.05428",
    ),
    options={"n": 8, "temperature": (0.5,), "audio": False},
    sheet="rolls.png",
)

GROOVES = (
    "Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, David Bamman. Learning to Groove with Inverse Sequence "
    "Transformations. 2019. https://arxiv.org/abs/1905.06118"
)

FAMILIES = {"sketch_rnn": _SKETCH, "performance_rnn": _PERFORMANCE, "music_vae": _MUSIC_VAE}

DATA_PAPERS = {
    "QuickDraw": "The Quick, Draw! Dataset, Google Creative Lab. https://github.com/googlecreativelab/quickdraw-dataset",
    "MAESTRO": "Curtis Hawthorne, Andriy Stasyuk, Adam Roberts, Ian Simon, Cheng-Zhi Anna Huang, Sander Dieleman, "
    "Erich Elsen, Jesse Engel, Douglas Eck. Enabling Factorized Piano Music Modeling and Generation with the MAESTRO "
    "Dataset. 2019. https://magenta.tensorflow.org/datasets/maestro",
    "Groove": "The Groove MIDI Dataset. https://magenta.tensorflow.org/datasets/groove; " + GROOVES,
    "aaron_sheep": "The Sheep Market, Aaron Koblin. https://github.com/hardmaru/sketch-rnn-datasets",
}
"""Whom to name for the data, by a word of its name."""
