"""What happens to voices on their way to a microphone: a room, noise, a telephone line."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

TELEPHONE_BAND_HZ: Final = (300.0, 3400.0)
"""Narrow-band telephony, ITU-T G.711 / G.712."""


@dataclass(frozen=True, slots=True)
class Room:
    """A room by its reverberation time (seconds to fall by 60 dB) and direct-to-reverberant ratio (dB)."""

    rt60: float
    direct_to_reverberant_db: float


CONSULTING_ROOM: Final = Room(rt60=0.35, direct_to_reverberant_db=8.0)
TILED_ROOM: Final = Room(rt60=0.6, direct_to_reverberant_db=4.0)


def reverberate(samples: Samples, rate: int, room: Room, random: np.random.Generator) -> Samples:
    """Return ``samples`` as heard in ``room``, same length, the direct sound unmoved.

    The tail is exponentially decaying noise (Polack's model of late reverberation, 1988).
    """
    length = int(room.rt60 * rate)
    decay = np.exp(-np.log(1000.0) * np.arange(length) / length)
    tail = random.standard_normal(length) * decay
    tail[: int(0.004 * rate)] = 0.0  # the first reflection comes about 1.4 m of path later
    tail *= 10 ** (-room.direct_to_reverberant_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = len(samples) + length - 1
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return np.asarray(heard[: len(samples)], np.float32)


def pink_noise(count: int, random: np.random.Generator) -> Samples:
    """Return ``count`` samples of 1/f noise with a root mean square of one."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)


def telephone(samples: Samples, rate: int) -> Samples:
    """Return ``samples`` cut to the telephone band by raised-cosine edges in the spectrum, without delay."""
    low, high = TELEPHONE_BAND_HZ
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    edge_low = np.clip((frequency - low * 0.7) / (low * 0.3), 0, 1)
    edge_high = np.clip((high * 1.12 - frequency) / (high * 0.12), 0, 1)
    gain = np.sin(edge_low * np.pi / 2) ** 2 * np.sin(edge_high * np.pi / 2) ** 2
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)
