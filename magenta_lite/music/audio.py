"""Notes as sound: through FluidSynth with a soundfont, or through the built-in synthesizer, and WAV files."""

import os
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.files import writing
from magenta_lite.music import midi_writing, synthesizer
from magenta_lite.music.notes import Notes

LONGEST = 4 * 3600.0
"""Seconds that are rendered at most: more would not fit a machine's memory."""

_PATIENCE = 600.0  # seconds that FluidSynth may take


def render(
    notes: Notes, *, soundfont: str | os.PathLike[str] | None = None, sample_rate: int = 44100
) -> NDArray[np.float32]:
    """The sound of a piece: float32 [samples, 2], left and right, -1 to 1.

    It begins at the piece's time 0 and ends about two seconds after the last note; without notes it has no samples.

    Args:
      notes: the sustain pedal is heard.
      soundfont: an .sf2 or .sf3 file, played by the program fluidsynth; without one, the built-in synthesizer plays.
      sample_rate: samples a second, 8,000 to 96,000.

    Raises:
      UserError: the soundfont or fluidsynth is missing, or fails; the rate is outside its range; the piece is too long.
    """
    if not 8000 <= sample_rate <= 96000:
        raise UserError(f"sample_rate={sample_rate}: expected 8000 to 96000")
    if notes.duration > LONGEST:
        raise UserError(f"the piece lasts {notes.duration / 3600:.1f} hours: at most {LONGEST / 3600:g} are rendered")
    if soundfont is not None:
        return _fluidsynth(notes, Path(soundfont), sample_rate)
    return synthesizer.render(notes, sample_rate)


def write_wav(samples: NDArray, path: str | os.PathLike[str], rate: int = 44100) -> None:
    """Writes samples, float [N] or [N, channels], -1 to 1, as a WAV of 16 bits, whole or not at all.

    What lies outside of -1 to 1 is cut.

    Raises:
      UserError: the file cannot be written.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise ValueError(f"samples have the shape {samples.shape}: expected [N] or [N, channels]")
    channels = samples.shape[1] if samples.ndim == 2 else 1
    with writing(path) as file, wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.setnframes(len(samples))
        for start in range(0, len(samples), 1 << 20):
            part = np.clip(samples[start : start + (1 << 20)], -1, 1)
            sound.writeframes(np.rint(part * 32767).astype("<i2").tobytes())


def read_wav(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], int]:
    """The samples of a WAV of 16 bits, float32 [N, channels], -1 to 1, and its rate.

    Raises:
      UserError: the file is missing, or no WAV of 16 bits.
    """
    try:
        with wave.open(str(path), "rb") as sound:
            if sound.getsampwidth() != 2:
                raise UserError(f"{path} has {8 * sound.getsampwidth()} bits a sample: expected 16")
            whole: NDArray[np.int16] = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
            return whole.reshape(-1, sound.getnchannels()).astype(np.float32) / np.float32(32767), sound.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def check(soundfont: str | None, wanted: bool) -> None:
    """Raises UserError where a soundfont was asked for that could not play once all is made.

    soundfont: of the flag --soundfont. wanted: whether sound is, by --audio.
    """
    if soundfont is None:
        return
    if not wanted:
        raise UserError("--soundfont is for sound: leave out --audio=false")
    if not Path(soundfont).is_file():
        raise UserError(f"--soundfont={soundfont}: no such file")
    need_fluidsynth()


def need_fluidsynth() -> str:
    """Path of the program fluidsynth; raises UserError where it is not installed."""
    program = shutil.which("fluidsynth")
    if program is None:
        raise UserError("a soundfont needs FluidSynth: install the program fluidsynth, or leave the soundfont out")
    return program


def _fluidsynth(notes: Notes, soundfont: Path, sample_rate: int) -> NDArray[np.float32]:
    if not soundfont.is_file():
        raise UserError(f"no soundfont {soundfont}: expected an .sf2 or .sf3 file")
    program = need_fluidsynth()
    if not len(notes):
        return np.zeros((0, 2), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        piece, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        midi_writing.write(notes, piece)
        command = [program, "-ni", "-q", "-g", "0.5", "-r", str(sample_rate), "-O", "s16", "-T", "wav"]
        try:
            run = subprocess.run(
                [*command, "-F", str(sound), str(soundfont), str(piece)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"fluidsynth took longer than {_PATIENCE:g} s") from None
        # It ends well even if it could not load the soundfont, and says so on stderr.
        if run.returncode or not sound.is_file() or "ailed to load" in run.stderr:
            words = (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[-1]
            raise UserError(f"fluidsynth cannot play with {soundfont}: {words}")
        samples, _ = read_wav(sound)
    if samples.shape[1] == 1:
        samples = np.repeat(samples, 2, axis=1)
    return samples[:, :2]
