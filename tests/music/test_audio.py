import sys
import wave

import numpy as np
import pytest

from magenta_lite.errors import UserError
from magenta_lite.files import writing
from magenta_lite.music import audio
from magenta_lite.music.notes import Notes

EMPTY = Notes([], [], [], [])
ONE = Notes([0.25], [0.75], [69], [80], pedal_time=[0.3], pedal_down=[True], pedal_instrument=[0])


def test_wav_holds_the_samples(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32)
    audio.write_wav(samples, tmp_path / "a.wav", 22050)
    with wave.open(str(tmp_path / "a.wav")) as sound:
        assert sound.getparams()[:4] == (2, 2, 22050, 5000)
    again, rate = audio.read_wav(tmp_path / "a.wav")
    assert rate == 22050
    np.testing.assert_allclose(again, samples, atol=0.51 / 32767)


@pytest.mark.parametrize("count", [0, 1, (1 << 20) + 3])
def test_wav_of_one_channel_is_cut_at_the_ends_of_its_range(count, tmp_path):
    audio.write_wav(np.full(count, -3.0, np.float32), tmp_path / "a.wav")
    samples, _ = audio.read_wav(tmp_path / "a.wav")
    assert samples.shape == (count, 1)
    assert (samples == -1).all()


def test_a_wav_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    audio.write_wav(np.zeros(10), tmp_path / "a.wav")
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(ValueError, match="shape"):
        audio.write_wav(np.zeros((2, 2, 2)), tmp_path / "a.wav")
    with pytest.raises(RuntimeError), writing(tmp_path / "a.wav") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    with pytest.raises(UserError, match="cannot write"):
        audio.write_wav(np.zeros(10), tmp_path / "a.wav" / "b.wav")


def test_without_a_soundfont_the_synthesizer_plays():
    samples = audio.render(ONE, sample_rate=16000)
    assert samples.dtype == np.float32
    assert samples.shape[1] == 2
    assert 0.02 < np.abs(samples).max() <= 1
    assert audio.render(EMPTY).shape == (0, 2)


@pytest.mark.parametrize(
    ("notes", "options", "words"),
    [
        (ONE, {"sample_rate": 100}, "8000 to 96000"),
        (ONE, {"soundfont": "/nowhere/piano.sf2"}, "no soundfont /nowhere/piano.sf2"),
        (Notes([1e6], [1e6], [60], [60]), {}, "hours"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_a_line(notes, options, words):
    with pytest.raises(UserError, match=words) as caught:
        audio.render(notes, **options)
    assert "\n" not in str(caught.value)


def test_a_soundfont_needs_fluidsynth(tmp_path, monkeypatch):
    (tmp_path / "piano.sf2").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="install the program fluidsynth"):
        audio.render(ONE, soundfont=tmp_path / "piano.sf2")


STAND_IN = """#!{python}
import sys, wave
import pretty_midi

given = sys.argv
piece = pretty_midi.PrettyMIDI(given[-1])
if open(given[-2], "rb").read() != b"good":
    sys.exit("fluidsynth: error: Failed to load SoundFont")
(track,) = piece.instruments
(note,) = track.notes
(control,) = track.control_changes
assert (note.pitch, note.velocity, control.number, control.value) == (69, 80, 64, 127)
with wave.open(given[given.index("-F") + 1], "wb") as sound:
    sound.setparams((2, 2, int(given[given.index("-r") + 1]), 0, "NONE", ""))
    sound.writeframes(b"\\x00\\x40\\x00\\xc0" * round(note.end * 1000))
"""


def test_fluidsynth_is_given_the_piece(tmp_path, monkeypatch):
    """A stand-in for the program, which is not installed where tests run, checks what it is told."""
    program = tmp_path / "fluidsynth"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    font = tmp_path / "piano.sf2"
    font.write_bytes(b"good")
    monkeypatch.setenv("PATH", str(tmp_path))
    samples = audio.render(ONE, soundfont=font, sample_rate=16000)
    assert samples.shape == (750, 2)
    np.testing.assert_allclose(samples, np.tile([0.5, -0.5], (750, 1)), atol=1e-4)
    assert audio.render(EMPTY, soundfont=font).shape == (0, 2)
    font.write_bytes(b"bad")
    with pytest.raises(UserError, match="Failed to load"):
        audio.render(ONE, soundfont=font)
