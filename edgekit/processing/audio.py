"""From a recording to an input's tensor: its length, then its scale."""

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import AudioInput

Waveform = NDArray[np.float32]
"""``[n]``, full scale -1..1"""


def from_pcm(content: bytes, width: int) -> Waveform:
    """Stored samples of ``width`` bytes as parts of full scale: n bits hold ``value / 2**(n - 1)``, exact to 24 bits.

    Stored as in ``.wav`` files: little-endian and signed, but for 8 bits, which are 128 for silence.
    """
    raw = np.frombuffer(content, np.uint8).reshape(-1, width)
    if width == 1:
        whole = raw[:, 0].astype(np.int64) - 128
    else:
        shifts = 8 * np.arange(width)
        whole = (raw.astype(np.int64) << shifts).sum(1)
        whole -= (whole >> (8 * width - 1)) << (8 * width)
    return whole.astype(np.float32) / np.float32(2.0 ** (8 * width - 1))


def mono(samples: NDArray[np.float32]) -> Waveform:
    """The mean of channels ``[n, channels]``, added up from the first to the last."""
    total = samples[:, 0]
    for channel in range(1, samples.shape[1]):
        total = total + samples[:, channel]
    return total / np.float32(samples.shape[1])


def fitted(waveform: Waveform, length: int, audio: AudioInput) -> Waveform:
    """As many samples as the input takes: of a longer recording a part, behind a shorter one silence."""
    start = max(0, len(waveform) - length) // 2 if audio.fit == "middle" else 0
    part = waveform[start : start + length]
    return np.concatenate([part, np.zeros(length - len(part), np.float32)])


def tensor(waveform: Waveform, audio: AudioInput, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A waveform as the input's tensor of a shape."""
    values: NDArray[np.float32] = fitted(waveform, math.prod(shape), audio) * np.float32(audio.full_scale)
    return values.reshape(shape)
