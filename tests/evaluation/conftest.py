"""Small models that the tests of evaluation share."""

import pytest
from frame import ONE_DEVICE, ROOT, flags, run


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, toy):
    """A trained model with a latent space and labels."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    done = run("train.py", *flags(folder, toy, num_steps=4), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def decoder_only(tmp_path_factory, toy):
    """Of a limit that refuses some of the drawings."""
    folder = tmp_path_factory.mktemp("runs") / "decoder"
    options = {"model.conditional": False, "model.label_size": 0, "codec.max_points": 25, "num_steps": 2}
    done = run("train.py", *flags(folder, toy, **options), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def playing(tmp_path_factory, toy_performances):
    """A workdir of performances: a small model, hardly trained."""
    folder = tmp_path_factory.mktemp("runs") / "playing"
    options = {"data.dir": toy_performances, "num_steps": 2, "batch_size": 4, "codec.crop": 24, "model.layers": "(8,)"}
    overrides = [f"--config.{name}={value}" for name, value in options.items()]
    recipe = f"--config={ROOT / 'configs/performance_rnn.py'}:tiny"
    done = run("train.py", recipe, f"--workdir={folder}", *overrides, env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder
