"""Flags from signatures."""

import shlex
import subprocess
import sys

import pytest

from magenta_lite.command import guard, parse, usage
from magenta_lite.errors import UserError


def main(out: str, n: int = 3, share: float = 0.5, items: list[int] | None = None, overwrite: bool = False) -> None:
    """Does it."""


def other(temperature: tuple[float, ...] = (0.5,)) -> None:
    """Does more."""


def test_values_take_the_types_of_the_parameters():
    words = ["--out=a=b", "--n", "4", "--items=1,2", "--overwrite", "--temperature=0.1,1", "--share=1e-1"]
    assert parse(words, main, other) == {
        "out": "a=b",
        "n": 4,
        "items": [1, 2],
        "overwrite": True,
        "temperature": (0.1, 1.0),
        "share": 0.1,
    }
    assert parse(["--out=x", "--overwrite=false"], main)["overwrite"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ot=x"], "unknown flag --ot: did you mean 'out'"),
        (["--out=x", "--n=two"], "--n=two: expected int"),
        (["--out=x", "--items=1,b"], "--items=b: expected int"),
        (["--out=x", "--overwrite=perhaps"], "--overwrite=perhaps: expected true or false"),
        (["--n=2"], "--out=... is required"),
        (["--out"], "--out needs a value"),
        (["x"], "unexpected argument 'x'"),
    ],
)
def test_a_mistake_names_the_flag(words, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(".", r"\.")):
        parse(words, main)


def test_usage_lists_every_flag():
    text = usage(main, other)
    for flag in ("--out", "--n", "--share", "--items", "--overwrite", "--temperature"):
        assert flag in text


def test_a_reader_that_goes_away_is_no_traceback():
    program = "from magenta_lite.command import guard\nguard(lambda: print('line\\n' * 100_000))"
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} | head -1"],
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr, run.returncode) == ("line\n", "", 141)


def test_a_name_longer_than_files_have_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        guard(lambda: open("x" * 5000).close())
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("a name is longer than any file can have\n")
