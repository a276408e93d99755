"""Performance RNN (Simon & Oore 2017; Oore et al. 2018).

    python -m data.maestro
    python train.py --config=configs/performance_rnn.py --workdir=runs/maestro

Variants: the original's nine, with its names shortened: dynamics (the default), plain (no velocities), compact (the
same model as dynamics: its files were smaller, here no one-hot is ever made), modulo, notes, density, histogram, both,
optional_both. Beside them paper (8 ms grid, 413 classes, transposed by up to 6), hour (settings for an hour of two
cores), tiny (learns the built-in performances in minutes).
"""

from ml_collections import ConfigDict

DENSITY, HISTOGRAM = "notes_per_second", "pitch_class_histogram"

VARIANTS = {
    "dynamics": {},
    "plain": {"codec.velocity_bins": 0},
    "compact": {},
    "modulo": {"model.inputs": "modulo"},
    "notes": {"codec.encoding": "notes", "codec.max_shift": 1000, "codec.crop": 192},
    "density": {"codec.controls": (DENSITY,)},
    "histogram": {"codec.controls": (HISTOGRAM,)},
    "both": {"codec.controls": (DENSITY, HISTOGRAM)},
    "optional_both": {"codec.controls": (DENSITY, HISTOGRAM), "codec.optional_controls": True},
    "paper": {"codec.steps_per_second": 125, "codec.max_shift": 125, "codec.transpose": 6},
    "hour": {
        "num_steps": 2400,
        "batch_size": 16,
        "codec.crop": 256,
        "evaluate_every": 200,
        "save_every": 200,
        "model.residual": True,  # without it the first hundreds of steps learn no more than how often events occur
        "optimizer.learning_rate": 2e-3,
        "optimizer.min_learning_rate": 1e-4,
        "optimizer.decay_rate": 0.9988,
        "optimizer.clip_norm": 1.0,
    },
    "tiny": {
        "data.dir": "prepared/toy-performances",
        "data.build": "python -m data.toy --kind=performances --out={dir}",
        "num_steps": 2000,
        "batch_size": 16,
        "codec.crop": 192,
        "evaluate_every": 500,
        "save_every": 500,
        "model.layers": (256,),
        "optimizer.learning_rate": 5e-3,
        "optimizer.min_learning_rate": 3e-4,
        "optimizer.decay_rate": 0.9985,
    },
}


def get_config(variant: str = "dynamics") -> ConfigDict:
    """A runnable recipe. Fields left alone are the original's defaults."""
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; valid: {', '.join(VARIANTS)}")
    config = ConfigDict()
    config.family = "performance_rnn"
    config.seed = 0
    config.num_steps = 100_000  # "many tens of thousands", says its author
    config.batch_size = 64  # over all devices
    config.buckets = 1  # all crops are of one length
    config.log_every = 20
    config.evaluate_every = 500  # on one crop of each piece of the valid split, always the same
    config.save_every = 500
    config.keep_checkpoints = 3  # the last ones; the best one is kept beside them
    config.on_nan = "stop"  # or skip: a step whose loss or gradient is not finite changes nothing
    config.nan_limit = 10  # skipped steps in a row: as many end the run

    config.data = ConfigDict()
    config.data.dir = "prepared/maestro"
    config.data.build = "python -m data.maestro --out={dir}"

    config.codec = ConfigDict()
    config.codec.encoding = "events"  # or "notes"
    config.codec.steps_per_second = 100
    config.codec.max_shift = 100  # steps
    config.codec.max_duration = 1000  # steps, with encoding "notes"
    config.codec.velocity_bins = 32  # 0: none
    config.codec.sustain = True  # notes are held as long as the pedal holds them
    config.codec.controls = ()  # "notes_per_second", "pitch_class_histogram"
    config.codec.optional_controls = False
    config.codec.crop = 512  # events
    config.codec.transpose = 3  # up to so many semitones up and down
    config.codec.stretch = 0.05  # times are multiplied by 0.95 to 1.05

    config.model = ConfigDict()
    config.model.layers = (512, 512, 512)  # units of each
    config.model.inputs = "one_hot"  # or "modulo"
    config.model.keep = 1.0  # share of each layer's outputs kept by dropout
    config.model.residual = False
    config.model.attention = 0  # last outputs of the first layer that it attends to
    config.model.compute_dtype = "float32"  # or bfloat16: operands of matrix products

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-3
    config.optimizer.min_learning_rate = 1e-3  # the original's stays
    config.optimizer.decay_rate = 1.0  # a step
    config.optimizer.clip_value = 0.0  # each component of the gradient; 0: off
    config.optimizer.clip_norm = 3.0  # the whole gradient's norm; 0: off

    config.update_from_flattened_dict(VARIANTS[variant])
    return config
