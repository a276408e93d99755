"""MusicVAE (Roberts et al. 2018; grooves: Gillick et al. 2019).

    python -m data.midi --source=FOLDER --kind=melodies --out=prepared/melodies
    python train.py --config=configs/music_vae.py:cat-mel_2bar_small --workdir=runs/melodies

Variants are the original's named configs, with its names: cat-mel_2bar_small (the default), cat-mel_2bar_big,
cat-mel_2bar_med_chords, cat-drums_2bar_small, cat-drums_2bar_big, nade-drums_2bar_reduced, nade-drums_2bar_full,
flat-mel_16bar, hierdec-mel_16bar, hier-mel_16bar, flat-trio_16bar, hierdec-trio_16bar, hier-trio_16bar,
groovae_2bar_humanize, groovae_2bar_tap_fixed_velocity, groovae_2bar_tap_fixed_velocity_note_dropout,
groovae_2bar_add_closed_hh, groovae_2bar_hits_control, groovae_4bar. Beside them, for an hour of two cores or less:
cat-mel_2bar_hour, cat-drums_2bar_hour, flat-mel_16bar_hour and hier-mel_16bar_hour; and tiny (learns the built-in
melodies in minutes).
"""

from ml_collections import ConfigDict

_MELODIES = {
    "data.dir": "prepared/melodies",
    "data.build": "python -m data.midi --kind=melodies --source=... --out={dir}",
}
_DRUMS = {"data.dir": "prepared/groove-drums", "data.build": "python -m data.groove --kind=drums --out={dir}"}
_TRIOS = {"data.dir": "prepared/trios", "data.build": "python -m data.midi --kind=trios --source=... --out={dir}"}
_GROOVES = {"data.dir": "prepared/groove", "data.build": "python -m data.groove --out={dir}"}

_SAMPLED = {"model.sampling_schedule": "inverse_sigmoid", "model.sampling_rate": 1000.0}
_SMALL = {"model.latent_size": 256, "model.encoder_layers": (512,), "model.decoder_layers": (256, 256)}
_BIG = {"model.latent_size": 512, "model.encoder_layers": (2048,), "model.decoder_layers": (2048, 2048, 2048)}
_DRUM_BITS = {"model.free_bits": 48.0, "model.beta": 0.2, "model.beta_rate": 0.0}

_MELODY = {**_MELODIES, "codec.transpose": 5, "model.beta_rate": 0.99999, **_SAMPLED}
_DRUM = {**_DRUMS, "codec.kind": "drums", **_DRUM_BITS, **_SAMPLED}
_NADE = {
    **_DRUM,
    "codec.kind": "drum_roll",
    "model.latent_size": 256,
    "model.encoder_layers": (1024,),
    "model.decoder_layers": (512, 512),
}
_LONG = {
    "codec.bars": 16,
    "model.latent_size": 512,
    "model.encoder_layers": (2048, 2048),
    "model.free_bits": 256.0,
    "model.beta": 0.2,
}
_FLAT = {**_LONG, "model.decoder_layers": (2048, 2048, 2048)}
_HIERDEC = {**_LONG, "model.decoder": "hierarchical", "model.decoder_layers": (1024, 1024)}
_HIER = {**_HIERDEC, "model.encoder": "hierarchical", "model.encoder_layers": (1024,)}
_LONG_MELODY = _MELODIES
_TRIO = {**_TRIOS, "codec.kind": "trio", "batch_size": 256}
_GROOVE = {**_GROOVES, "codec.kind": "groove", **_SMALL, **_DRUM_BITS, "model.keep": 0.3}
_HOUR = {
    "num_steps": 4000,
    "batch_size": 64,
    "evaluate_every": 250,
    "save_every": 250,
    "model.beta": 0.2,
    "model.beta_rate": 0.999,
    "model.sampling_schedule": "constant",
    "model.sampling_rate": 0.0,
    "optimizer.learning_rate": 2e-3,
    "optimizer.min_learning_rate": 1e-4,
    "optimizer.decay_rate": 0.999,
}
_SHORT = {**_HOUR, "model.encoder_layers": (256,), "model.decoder_layers": (256, 256)}
# Decoders of about as many parameters, behind the same encoder.
_SIXTEEN = {
    **_HOUR,
    "num_steps": 800,
    "evaluate_every": 200,
    "save_every": 200,
    "batch_size": 32,
    "codec.bars": 16,
    "model.latent_size": 128,
    "model.encoder": "hierarchical",
    "model.encoder_layers": (192,),
    "model.free_bits": 64.0,
    "optimizer.decay_rate": 0.998,
}

VARIANTS = {
    "cat-mel_2bar_small": {**_MELODY, **_SMALL, "model.beta": 0.2},
    "cat-mel_2bar_big": {**_MELODY, **_BIG, "model.beta": 0.5},
    "cat-mel_2bar_med_chords": {
        **_MELODIES,
        "data.build": "python -m data.midi --kind=melodies --chords=infer --source=... --out={dir}",
        "codec.transpose": 3,
        "codec.chords": True,
        "model.latent_size": 256,
        "model.encoder_layers": (1024,),
        "model.decoder_layers": (512, 512, 512),
    },
    "cat-drums_2bar_small": {**_DRUM, **_SMALL},
    "cat-drums_2bar_big": {**_DRUM, **_BIG},
    "nade-drums_2bar_reduced": _NADE,
    "nade-drums_2bar_full": {**_NADE, "codec.drum_classes": 61},
    "flat-mel_16bar": {**_LONG_MELODY, **_FLAT},
    "hierdec-mel_16bar": {**_LONG_MELODY, **_HIERDEC},
    "hier-mel_16bar": {**_LONG_MELODY, **_HIER},
    "flat-trio_16bar": {**_FLAT, **_TRIO, "model.free_bits": 0.0, "model.beta": 1.0},
    "hierdec-trio_16bar": {**_HIERDEC, **_TRIO},
    "hier-trio_16bar": {**_HIER, **_TRIO},
    "groovae_2bar_humanize": {**_GROOVE, "codec.groove_input": "humanize"},
    "groovae_2bar_tap_fixed_velocity": {**_GROOVE, "codec.groove_input": "tap_fixed_velocity"},
    "groovae_2bar_tap_fixed_velocity_note_dropout": {
        **_GROOVE,
        "codec.groove_input": "tap_fixed_velocity_note_dropout",
    },
    "groovae_2bar_add_closed_hh": {**_GROOVE, "codec.groove_input": "add_closed_hh"},
    "groovae_2bar_hits_control": {**_GROOVE, "codec.groove_input": "hits_control"},
    "groovae_4bar": {**_GROOVE, "codec.bars": 4},
    "cat-mel_2bar_hour": {**_MELODY, **_SMALL, **_SHORT},
    "cat-drums_2bar_hour": {**_DRUM, **_SMALL, **_SHORT, "model.free_bits": 16.0},
    "flat-mel_16bar_hour": {**_LONG_MELODY, **_SIXTEEN, "model.decoder_layers": (384, 384)},
    "hier-mel_16bar_hour": {
        **_LONG_MELODY,
        **_SIXTEEN,
        "model.decoder": "hierarchical",
        "model.decoder_layers": (256, 256),
    },
    "tiny": {
        "data.dir": "prepared/toy-melodies",
        "data.build": "python -m data.toy --kind=melodies --out={dir}",
        "batch_size": 64,
        "num_steps": 1500,
        "evaluate_every": 500,
        "save_every": 500,
        "codec.transpose": 3,
        "model.latent_size": 32,
        "model.encoder_layers": (128,),
        "model.decoder_layers": (128,),
        "model.beta": 0.2,
        "model.beta_rate": 0.998,
        "optimizer.learning_rate": 4e-3,
        "optimizer.min_learning_rate": 4e-4,
        "optimizer.decay_rate": 0.998,
    },
}


def get_config(variant: str = "cat-mel_2bar_small") -> ConfigDict:
    """A runnable recipe. Fields left alone are the original's defaults."""
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; valid: {', '.join(VARIANTS)}")
    config = ConfigDict()
    config.family = "music_vae"
    config.seed = 0
    config.num_steps = 200_000
    config.batch_size = 512  # over all devices
    config.buckets = 1  # all slices are of one length
    config.log_every = 20
    config.evaluate_every = 1000  # on one slice of each passage of the valid split, always the same
    config.save_every = 1000
    config.keep_checkpoints = 3  # the last ones; the best one is kept beside them
    config.on_nan = "stop"  # or skip: a step whose loss or gradient is not finite changes nothing
    config.nan_limit = 10  # skipped steps in a row: as many end the run

    config.data = ConfigDict()
    config.data.dir = ""
    config.data.build = ""

    config.codec = ConfigDict()
    config.codec.kind = "melody"  # drums, drum_roll, trio, groove
    config.codec.bars = 2
    config.codec.transpose = 0  # up to so many semitones up and down
    config.codec.chords = False  # the model is told the chord of every step
    config.codec.drum_classes = 9  # of a drum_roll; or 61
    config.codec.groove_input = "groove"  # what the encoder is given: humanize, tap_fixed_velocity, ...

    config.model = ConfigDict()
    config.model.encoder = "flat"  # or hierarchical
    config.model.decoder = "flat"  # or hierarchical
    config.model.levels = ()  # of the hierarchy; default: bars, steps of a bar
    config.model.conductor_input = "none"  # state, reencoded
    config.model.latent_size = 32
    config.model.encoder_layers = (256,)  # units of each, in each direction
    config.model.decoder_layers = (512,)  # of the conductor and of each core, where it is hierarchical
    config.model.nade_hidden = 128  # of a drum_roll
    config.model.encoder_residual = False
    config.model.decoder_residual = False
    config.model.keep = 1.0  # share of each layer's inputs kept by dropout
    config.model.free_bits = 0.0  # of a slice's KL that cost nothing
    config.model.beta = 1.0  # the KL's weight beyond them
    config.model.beta_rate = 0.0  # it grows as 1 - beta_rate**step
    config.model.sampling_schedule = "constant"  # exponential, inverse_sigmoid: share of inputs drawn in training
    config.model.sampling_rate = 0.0
    config.model.compute_dtype = "float32"  # or bfloat16: operands of matrix products

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-3
    config.optimizer.min_learning_rate = 1e-5
    config.optimizer.decay_rate = 0.9999  # a step
    config.optimizer.clip_value = 0.0  # each component of the gradient; 0: off
    config.optimizer.clip_norm = 1.0  # the whole gradient's norm; 0: off
    config.optimizer.zero_norm = 10_000.0  # gradients of a larger norm count as zeros; 0: off

    config.update_from_flattened_dict(VARIANTS[variant])
    return config
