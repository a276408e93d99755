"""A synthesizer that needs nothing but numpy: a piano first of all, plain voices for other programs, and drums.

A tone is a sum of damped partials. Those of strings are stretched by the strings' stiffness (Fletcher & Rossing, "The
Physics of Musical Instruments", chapter 12; its size by pitch after Rauhala & Valimaki 2007), die the faster the higher
they are, and in two stages, since the two or three strings of a note are never quite in tune (Weinreich 1977). A soft
and a hard stroke of each pitch are made once; a note is a mixture of the two by its velocity, from its start on, damped
when it ends. A small room is added to all.
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.notes import Notes
from magenta_lite.music.transforms import sustain

TAIL = 2.0
"""Seconds of sound behind the last note."""

PEDAL = 8.0
"""Seconds that a pedal holds notes behind the last of a piece, at most."""

REFERENCE = 0.17
"""The strength of a note of velocity 127, half its peak: pieces keep their loudness to each other."""

_DAMPERS_END = 89  # pitches from here on have no damper on a piano
_KNEE = 0.7  # below, the limit changes nothing
_LOUDEST = 1.5  # a piece with higher peaks is turned down as a whole, before the limit
_ROOM = 0.9  # seconds
_WET = 0.10  # of the room's sound, in energy and for a steady one
_BLOCK = 1 << 17  # samples that the room and the limit treat at once
_CHUNK = 1 << 20  # samples of a sustained tone at most: memory, not music


@dataclasses.dataclass(frozen=True)
class Voice:
    """What tells a family of instruments from another.

    lasting: seconds that middle C takes to fall to 1/e; 0: it lasts as long as it is held. stiffness: of strings, over
    a piano's. soft, hard: above about this frequency (Hz) partials fade, at the softest and the hardest stroke. slope:
    the n-th partial has 1 / n ** slope. even: of the even partials. attack, release: seconds. hammer: its noise.
    beating: how far the strings of a note are out of tune, over a piano's.
    """

    lasting: float = 1.6
    stiffness: float = 1.0
    soft: float = 500.0
    hard: float = 2600.0
    slope: float = 0.55
    even: float = 1.0
    attack: float = 0.002
    release: float = 0.07
    hammer: float = 1.0
    beating: float = 1.0


PIANO = Voice()
# By program // 8: mallets, organ, guitar, bass, strings, ensemble, brass, reed, pipe, lead, pad.
_FAMILIES = {
    1: Voice(lasting=1.2, stiffness=0.2, soft=900, hard=4000, slope=1.4, attack=0.001, hammer=0.3, beating=0),
    2: Voice(lasting=0, stiffness=0, soft=1200, hard=1600, slope=0.9, attack=0.012, release=0.05, hammer=0),
    3: Voice(lasting=0.9, stiffness=0.3, soft=900, hard=3000, slope=0.8, release=0.05, hammer=0.4),
    4: Voice(lasting=0.8, stiffness=0.3, soft=350, hard=1100, slope=0.5, release=0.06, hammer=0.3, beating=0),
    5: Voice(lasting=0, stiffness=0, soft=1200, hard=2600, slope=1.0, attack=0.08, release=0.15, hammer=0, beating=4),
    6: Voice(lasting=0, stiffness=0, soft=900, hard=1900, slope=0.9, attack=0.14, release=0.25, hammer=0, beating=4),
    7: Voice(lasting=0, stiffness=0, soft=700, hard=2600, slope=0.5, attack=0.035, release=0.08, hammer=0),
    8: Voice(lasting=0, stiffness=0, soft=900, hard=2200, slope=0.8, even=0.35, attack=0.03, release=0.06, hammer=0),
    9: Voice(lasting=0, stiffness=0, soft=500, hard=1200, slope=1.6, attack=0.04, release=0.08, hammer=0),
    10: Voice(lasting=0, stiffness=0, soft=1200, hard=3000, slope=1.0, attack=0.008, release=0.06, hammer=0),
    11: Voice(lasting=0, stiffness=0, soft=600, hard=1500, slope=1.1, attack=0.25, release=0.5, hammer=0, beating=5),
}


def render(notes: Notes, sample_rate: int = 44100) -> NDArray[np.float32]:
    """The sound of a piece: float32 [samples, 2], left and right, -1 to 1; TAIL seconds longer than the last note.

    Silent before the first note. The same notes give the same samples. A piece is as loud as it is played; only one
    whose peaks would lie above 1 is turned down.
    """
    if not len(notes):
        return np.zeros((0, 2), np.float32)
    # The pedal may go up long after all is silent.
    longest = notes.duration + PEDAL
    notes = sustain(notes)
    ends = np.minimum(notes.end, longest)
    out = np.zeros((int(np.ceil((ends.max() + TAIL) * sample_rate)), 2), np.float32)
    first = np.rint(notes.start * sample_rate).astype(np.int64)
    for index, begin in enumerate(first.tolist()):
        pitch, strength = int(notes.pitch[index]), float(notes.velocity[index]) / 127
        length = max(float(ends[index] - notes.start[index]), 0.02)
        if notes.is_drum[index]:
            sound, place = drum(pitch, sample_rate) * np.float32(0.6 * strength**1.5), _PLACES.get(pitch, 0.0)
        else:
            voice = _FAMILIES.get(int(notes.program[index]) // 8, PIANO)
            sound, place = _note(pitch, strength, length, voice, sample_rate), (pitch - 64) / 90
        sound = sound[: len(out) - begin]
        angle = (np.clip(place, -0.6, 0.6) + 1) * np.pi / 4
        out[begin : begin + len(sound), 0] += sound * np.float32(np.cos(angle) * np.sqrt(2))
        out[begin : begin + len(sound), 1] += sound * np.float32(np.sin(angle) * np.sqrt(2))
    _add_room(out, sample_rate)
    out[: first.min()] = 0  # the room's transforms round
    _limit(out)
    return out


def frequency(pitch: float) -> float:
    """In Hz, of a MIDI number; 69 is A4, 440 Hz."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def _note(pitch: int, strength: float, seconds: float, voice: Voice, rate: int) -> NDArray[np.float32]:
    """One note [samples], damped after some seconds."""
    release = voice.release * (1.5 if pitch < 45 else 1.0)
    wanted = int((seconds + 7 * release) * rate)
    if voice.lasting:
        soft, hard = tone(pitch, voice, rate)
    else:
        soft, hard = _partials(pitch, voice, rate, min(wanted, _CHUNK))
    bright, loud = strength**1.2, REFERENCE * strength**1.7
    free = voice is PIANO and pitch >= _DAMPERS_END
    length = len(soft) if free else min(wanted, len(soft))
    sound = soft[:length] * np.float32(loud * (1 - bright))
    sound += hard[:length] * np.float32(loud * bright)
    end = int(seconds * rate)
    if not free and end < length:
        sound[end:] *= _damping(release, rate, length - end)
    return sound


@functools.lru_cache(maxsize=64)
def _damping_table(release: float, rate: int) -> NDArray[np.float32]:
    count = int(7 * release * rate) + 1
    # Nothing at the end, so that cutting there is not heard.
    return ((np.exp(-np.arange(count) / (release * rate)) - np.exp(-7)) / (1 - np.exp(-7))).astype(np.float32)


def _damping(release: float, rate: int, count: int) -> NDArray[np.float32]:
    table = _damping_table(release, rate)
    return np.pad(table[:count], (0, max(0, count - len(table))))


@functools.lru_cache(maxsize=128)
def tone(pitch: int, voice: Voice, rate: int) -> NDArray[np.float32]:
    """A soft and a hard stroke [2, samples] of a voice that dies away, until little is left; not to be changed.

    The 88 of a piano take about 180 MB.
    """
    slowest = _fade(np.array([frequency(pitch)]), pitch, voice)[0] * 0.45
    sound = _partials(pitch, voice, rate, int(min(6.0 / slowest, 6.5) * rate))
    fade = min(len(sound[0]), rate // 4)
    sound[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    sound.flags.writeable = False
    return sound


def _fade(frequencies: NDArray, pitch: int, voice: Voice) -> NDArray:
    """How fast partials die [n], 1/s."""
    slow = 2.0 ** ((pitch - 60) / 17)  # an octave up, a tone lasts 0.6 times as long
    return (slow + 1e-3 * frequencies) / voice.lasting


def _partials(pitch: int, voice: Voice, rate: int, count: int) -> NDArray[np.float32]:
    """The two strokes [2, count], without damping: a product of matrices, which is far faster than so many sines."""
    base = frequency(pitch)
    stiff = voice.stiffness * (np.exp(0.0926 * pitch - 13.64) + np.exp(-0.0847 * pitch - 5.82))
    number = np.arange(1, 61)
    frequencies = number * base * np.sqrt((1 + stiff * number**2) / (1 + stiff))
    number = number[frequencies < min(0.45 * rate, 12000.0)]
    frequencies = frequencies[: len(number)]
    if not len(number):
        return np.zeros((2, count), np.float32)
    shape = np.where(number % 2, 1.0, voice.even) / number**voice.slope
    if voice.lasting:
        shape = shape * (0.25 + np.abs(np.sin(np.pi * number / 8.3)))  # where the hammer strikes
        shape = shape * frequencies**2 / (frequencies**2 + 70.0**2)  # too low for a soundboard
    random = np.random.default_rng(pitch)
    phases = random.uniform(0, 2 * np.pi, len(number)) if len(number) > 1 else np.zeros(1)
    fade = _fade(frequencies, pitch, voice) if voice.lasting else np.zeros(len(number))
    apart = voice.beating * (0.12 + 2.2e-4 * frequencies) * random.uniform(0.5, 1, len(number))  # Hz
    # Two stages: what the strings do together fades fast, what they do against each other slowly.
    poles = np.concatenate([2j * np.pi * frequencies - 1.9 * fade, 2j * np.pi * (frequencies + apart) - 0.45 * fade])
    turn = np.concatenate([np.exp(1j * phases) * 0.72, np.exp(1j * phases) * 0.28])
    strokes = []
    for cutoff in (voice.soft, voice.hard):
        weight = shape * np.exp(-(frequencies - base) / (cutoff + base))
        weight /= np.sqrt((weight**2).sum())
        strokes.append(np.concatenate([weight, weight]) * turn)
    side = int(np.ceil(np.sqrt(count)))
    coarse = np.exp(np.outer(np.arange(-(-count // side)) * (side / rate), poles))
    fine = np.exp(np.outer(poles, np.arange(side) / rate)).astype(np.complex64)
    sound = np.stack([((coarse * one).astype(np.complex64) @ fine).real.ravel()[:count] for one in strokes])
    sound = np.ascontiguousarray(sound, np.float32)
    # A hammer stays longer on a string that is slow.
    slower = 1 + 1.5 * 2.0 ** ((48 - pitch) / 12) if voice.lasting else 1.0
    attack = min(max(2, int(rate * voice.attack * slower)), count)
    rise = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, attack))
    sound[:, :attack] *= rise.astype(np.float32)
    if voice.hammer:
        for stroke, noise in zip(sound, _hammer(pitch, rate, random), strict=True):
            stroke[: len(noise)] += voice.hammer * noise[:count]
    return sound


def _hammer(pitch: int, rate: int, random: np.random.Generator) -> NDArray[np.float32]:
    """The knock of a key and its hammer [2, samples], soft and hard: noise of some hundred Hz for 60 ms."""
    count = rate * 60 // 1000
    spectrum = np.fft.rfft(random.normal(size=count))
    axis = np.fft.rfftfreq(count, 1 / rate)
    knocks = []
    for size, middle in ((0.05, 250.0), (0.16, 500.0 + 6 * pitch)):
        noise = np.fft.irfft(spectrum * np.exp(-0.5 * (np.log((axis + 1) / middle) / 0.7) ** 2), count)
        noise *= np.exp(-np.arange(count) / (0.009 * rate)) * np.minimum(np.arange(count) / (0.0015 * rate), 1)
        knocks.append(size * noise / np.abs(noise).max())
    return np.array(knocks, np.float32)


_PLACES = {42: 0.25, 44: 0.25, 46: 0.25, 49: -0.4, 51: 0.4, 53: 0.4, 57: 0.45, 50: -0.3, 48: -0.2, 45: 0.15, 43: 0.3}
_TOMS = {41: 78.0, 43: 95.0, 45: 115.0, 47: 135.0, 48: 160.0, 50: 190.0}
_METAL = {42: 0.035, 44: 0.03, 46: 0.22, 49: 0.7, 52: 0.6, 55: 0.35, 57: 0.7, 51: 0.45, 53: 0.5, 59: 0.45}


@functools.lru_cache(maxsize=128)
def drum(pitch: int, rate: int) -> NDArray[np.float32]:
    """The sound of a General MIDI drum [samples], struck hard; not to be changed.

    Kick, snare, toms, hats and cymbals by their kind; whatever else there is, is a short click.
    """
    random = np.random.default_rng(1000 + pitch)
    seconds = 6 * _METAL.get(pitch, 0.12)
    time = np.arange(int(max(seconds, 0.6) * rate)) / rate
    noise = random.normal(size=len(time))
    if pitch in (35, 36):
        sound = np.sin(2 * np.pi * (48 * time + 110 * 0.03 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.13)
        sound += 0.12 * _band(noise, 2500, rate) * np.exp(-time / 0.004)
    elif pitch in (38, 40):
        sound = 0.5 * np.sin(2 * np.pi * 185 * time) * np.exp(-time / 0.06)
        sound += 0.55 * _band(noise, 3500, rate) * np.exp(-time / 0.075)
    elif pitch in _TOMS:
        base = _TOMS[pitch]
        sound = np.sin(2 * np.pi * (base * time + base * 0.02 * (1 - np.exp(-time / 0.05)))) * np.exp(-time / 0.16)
        sound += 0.1 * _band(noise, 1500, rate) * np.exp(-time / 0.02)
    elif pitch in _METAL:
        ring = sum(np.sin(2 * np.pi * base * time) for base in 3150.0 * np.array([1, 1.342, 1.523, 1.893, 2.071, 2.47]))
        sound = (0.32 * _band(noise, 8500, rate) + 0.03 * ring) * np.exp(-time / _METAL[pitch])
        sound *= 0.8
    elif pitch == 39:
        sound = 0.5 * _band(noise, 1400, rate) * np.exp(-time / 0.08)
    else:
        sound = 0.5 * np.sin(2 * np.pi * (600 + 12 * pitch) * time) * np.exp(-time / 0.03)
    sound[-rate // 50 :] *= np.linspace(1, 0, len(sound[-rate // 50 :]))
    sound = (0.6 * sound).astype(np.float32)
    sound.flags.writeable = False
    return sound


def _band(noise: NDArray, middle: float, rate: int) -> NDArray:
    """Noise of about an octave and a half around a frequency, of standard deviation 1."""
    axis = np.fft.rfftfreq(len(noise), 1 / rate)
    shaped = np.fft.irfft(np.fft.rfft(noise) * np.exp(-0.5 * (np.log((axis + 1) / middle) / 0.6) ** 2), len(noise))
    return shaped / shaped.std()


@functools.lru_cache(maxsize=4)
def _room(rate: int) -> NDArray[np.float32]:
    """What a small room answers to a click [samples, 2]: noise that dies away, the high of it first."""
    count = int(_ROOM * rate)
    time = np.arange(count) / rate
    random = np.random.default_rng(7)
    spectrum = np.fft.rfft(random.normal(size=(count, 2)), axis=0)
    axis = np.fft.rfftfreq(count, 1 / rate)[:, None]
    dark = np.fft.irfft(spectrum / (1 + (axis / 1800) ** 2), count, axis=0) * np.exp(-time / 0.16)[:, None]
    light = np.fft.irfft(spectrum / (1 + (axis / 6000) ** 2), count, axis=0) * np.exp(-time / 0.05)[:, None]
    answer = (dark + 0.5 * light) * np.minimum(np.maximum(time - 0.008, 0) / 0.01, 1)[:, None]
    return (answer * np.sqrt(_WET / (answer**2).sum(axis=0))).astype(np.float32)


def _add_room(out: NDArray[np.float32], rate: int) -> None:
    """Adds the room's answer to [samples, 2] in place, block by block from the last to the first.

    So that what is added to a block never answers again.
    """
    answer = _room(rate)
    size = 1 << int(np.ceil(np.log2(min(_BLOCK, len(out)) + len(answer))))
    filters = [np.fft.rfft(answer[:, channel], size) for channel in range(2)]
    for start in reversed(range(0, len(out), _BLOCK)):
        for channel in range(2):
            block = out[start : start + _BLOCK, channel]
            if block.any():
                wet = np.fft.irfft(np.fft.rfft(block, size) * filters[channel], size)
                stop = min(start + len(block) + len(answer) - 1, len(out))
                out[start:stop, channel] += wet[: stop - start].astype(np.float32)


def _limit(out: NDArray[np.float32]) -> None:
    """Keeps samples [samples, 2] within -1 to 1, in place: peaks are bent, very high ones turned down first."""
    peak = max(float(out.max()), -float(out.min()))
    gain = np.float32(min(1.0, _LOUDEST / peak)) if peak else np.float32(1)
    if gain * peak <= _KNEE:
        return
    room = np.float32(0.985 - _KNEE)
    for start in range(0, len(out), _BLOCK):
        block = out[start : start + _BLOCK]
        block *= gain
        over = np.abs(block) - np.float32(_KNEE)
        bent = np.sign(block) * (np.float32(_KNEE) + room * np.tanh(over / room))
        np.copyto(block, bent, where=over > 0)
