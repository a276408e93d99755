"""SketchRNN (Ha & Eck 2017).

    python -m data.quickdraw --classes=aaron_sheep
    python train.py --config=configs/sketch_rnn.py --workdir=runs/sheep

On two CPU cores a step takes 0.6 to 1.3 s, as fast as they multiply: 4,000 steps, 40 to 90 minutes, reach L_R 0.385 and
L_KL 0.245 on the valid split (N_max 250), and draw recognisable sheep.

Variants: default (the original's defaults), layer_norm, paper (HyperLSTM 2048 / layer-norm 512), uncond (decoder-only),
labels (small, told one of three classes), tiny (learns the built-in drawings in two to five minutes).
"""

from ml_collections import ConfigDict

VARIANTS = {
    "default": {},
    "layer_norm": {"model.encoder_cell": "layer_norm", "model.decoder_cell": "layer_norm"},
    "paper": {
        "model.encoder_cell": "layer_norm",
        "model.encoder_size": 512,
        "model.decoder_cell": "hyper",
        "model.decoder_size": 2048,
        "model.kl_weight_rate": 0.99999,
        "codec.random_scale": 0.10,
        "codec.drop_points": 0.0,
    },
    "labels": {
        "data.dir": "prepared/quickdraw/pig+face+alarm_clock",
        "num_steps": 12_000,
        "model.encoder_size": 128,
        "model.decoder_size": 320,
        "model.latent_size": 64,
        "model.label_size": 16,
        "model.kl_weight_rate": 0.9995,
        "optimizer.learning_rate": 2e-3,
        "optimizer.decay_rate": 0.9997,
    },
    "uncond": {"model.conditional": False},
    "tiny": {
        "data.dir": "prepared/toy",
        "data.build": "python -m data.toy --out={dir}",
        "num_steps": 3500,
        "buckets": 4,
        "evaluate_every": 500,
        "save_every": 500,
        "model.encoder_size": 64,
        "model.decoder_size": 160,
        "model.latent_size": 24,
        "model.label_size": 12,
        "model.mixtures": 10,
        "model.kl_weight_rate": 0.999,
        "model.kl_min": 0.05,  # 1.2 nats: too few to say which of 14 classes, which the label says
        "codec.random_scale": 0.10,
        "optimizer.learning_rate": 3e-3,
        "optimizer.decay_rate": 0.9993,
    },
}


def get_config(variant: str = "default") -> ConfigDict:
    """A runnable recipe. Fields left alone are the original's defaults."""
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; valid: {', '.join(VARIANTS)}")
    config = ConfigDict()
    config.family = "sketch_rnn"
    config.seed = 0
    config.num_steps = 100_000  # the original never stops; its author: recognisable after 10,000 to 20,000
    config.batch_size = 100  # over all devices
    config.buckets = 6  # padded lengths, each compiled once
    config.log_every = 20
    config.evaluate_every = 500  # over the whole valid split
    config.save_every = 500
    config.keep_checkpoints = 3  # the last ones; the best one is kept beside them
    config.on_nan = "stop"  # or skip: a step whose loss or gradient is not finite changes nothing
    config.nan_limit = 10  # skipped steps in a row: as many end the run

    config.data = ConfigDict()
    config.data.dir = "prepared/quickdraw/aaron_sheep"
    config.data.build = "python -m data.quickdraw --classes={classes} --out={dir}"

    config.codec = ConfigDict()
    config.codec.max_points = 250  # longer drawings are refused, and counted
    config.codec.limit = 1000.0  # offsets are clipped to +-limit, in the data's units
    config.codec.random_scale = 0.15  # each axis by a factor in 0.85..1.15
    config.codec.drop_points = 0.10

    config.model = ConfigDict()
    config.model.conditional = True
    config.model.encoder_cell = "lstm"  # lstm, layer_norm or hyper
    config.model.encoder_size = 256  # units in each direction
    config.model.decoder_cell = "lstm"
    config.model.decoder_size = 512
    config.model.latent_size = 128
    config.model.mixtures = 20
    config.model.label_size = 0  # size of the class embedding; 0: no label conditioning
    config.model.recurrent_keep = 0.9
    config.model.input_keep = 1.0
    config.model.output_keep = 1.0
    config.model.dropout_mask = "step"  # or "sequence"
    config.model.kl_weight = 0.5  # w_KL
    config.model.kl_weight_start = 0.01
    config.model.kl_weight_rate = 0.99995  # half way at step 13,900
    config.model.kl_min = 0.2  # nats a dimension of z
    config.model.pen_positions = "sketch"  # or "all": also train the pen behind the end, as the original
    config.model.compute_dtype = "float32"  # or bfloat16: operands of matrix products

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-3
    config.optimizer.min_learning_rate = 1e-5
    config.optimizer.decay_rate = 0.9999  # a step
    config.optimizer.clip_value = 1.0  # each component of the gradient; 0: off
    config.optimizer.clip_norm = 0.0  # the whole gradient's norm; 0: off

    config.update_from_flattened_dict(VARIANTS[variant])
    return config
