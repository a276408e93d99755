"""What a stranger's file or folder is, and who reads it, by what is in it."""

import json
import os

import numpy as np
import pytest
import tensorflow_files as files

from magenta_lite.errors import UserError
from magenta_lite.interop import formats, magenta_js, safetensors_file, tensorflow_code


def test_a_safetensors_file_of_any_name(tmp_path):
    for name in ("model.weights", "model.safetensors", "model"):
        safetensors_file.write(tmp_path / name, {"a": np.ones(3)}, {})
        assert formats.reader(tmp_path / name) is safetensors_file.read


def test_what_is_no_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zeros.safetensors").symlink_to("/dev/zero")
    for name in ("pipe.json", "zeros.safetensors"):
        with pytest.raises(UserError, match=f"{name}: it is no regular file"):
            formats.reader(tmp_path / name)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (["config.json"], "is a folder of magenta.js whose weights_manifest.json is missing"),
        (["config.json", "group1-shard1of1.bin"], "is a folder of magenta.js whose weights_manifest.json is missing"),
        (["config.json", "codec.json"], "is a workdir of this project already"),
    ],
)
def test_a_folder_with_only_a_config(tmp_path, there, words):
    for name in there:
        (tmp_path / name).write_text(json.dumps({"type": "MusicVAE"}))
    with pytest.raises(UserError, match=words):
        formats.reader(tmp_path)


def test_a_config_beside_a_checkpoint_of_tensorflow(tmp_path):
    made = {"index": files.bundle("m", {"a": np.ones(3)}), "table": {"m": files.version1({"a": np.ones(3, "f4")})}}
    for name, content in made.items():
        files.write(tmp_path / name, content | {"config.json": b"{}"})
        assert formats.reader(tmp_path / name) is tensorflow_code.read
        (tmp_path / name / "weights_manifest.json").write_text("[]")
        assert formats.reader(tmp_path / name) is magenta_js.read
    (tmp_path / "empty").mkdir()
    assert formats.reader(tmp_path / "empty") is tensorflow_code.read  # which says what was expected
