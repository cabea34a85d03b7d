"""Samples from ``.wav`` files, by the description of the inputs (``[[input]]`` with ``kind = "audio"``)."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.description import AudioInput, Description
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import audio
from edgekit.samples import folders
from edgekit.samples.content import Raw
from edgekit.samples.place import Place

SUFFIXES = frozenset({".wav"})

MOST_BYTES = 1 << 30
"""The most bytes of one recording: three hours of stereo."""


def read(path: Path, signature: Signature, description: Description, place: Place) -> Raw:
    """Waveforms as ``[N, *source_shape]``, made into tensors by `edgekit.processing.audio`.

    Args:
        path: one recording, or a folder of them (see `edgekit.samples.folders.read`).
        signature: of the source.
        description: of the inputs.
        place: where they are put, one after another.

    Raises:
        InputError: a recording is damaged or of another sample rate, or the input is not described as audio.
    """

    def stack(files: list[Path], spec: TensorSpec) -> folders.Stack:
        """Recordings as ``[N, *source_shape]`` in float32.

        Raises:
            InputError: the input is not described as audio, or a file is no recording of its rate.
        """
        told = description.input(spec.source_name)
        if not isinstance(told, AudioInput):
            raise InputError(
                f"The samples of {spec.source_name} are recordings, and edgekit.toml does not describe it as audio.",
                place=f"edgekit.toml: [[input]] {spec.source_name}",
                fix='add [[input]] with kind = "audio" and its sample_rate, or give the samples as .npz',
            )
        stacked = place.empty((len(files), *spec.source_shape), np.float32)
        for i, file in enumerate(files):
            stacked[i] = audio.tensor(decode(file, told.sample_rate), told, spec.source_shape)
        return folders.Stack(stacked)

    return folders.read(path, signature, SUFFIXES, stack)


def decode(file: Path, sample_rate: int) -> NDArray[np.float32]:
    """A recording as one channel ``[n]``, its full scale being -1..1: the mean of its channels.

    Raises:
        InputError: it is no PCM ``.wav`` file of 8 to 32 bits, or of another sample rate.
    """
    if file.stat().st_size > MOST_BYTES:
        raise InputError(f"{file.name} is larger than 1 GiB.", place=str(file), fix="cut it into shorter ones")
    try:
        with wave.open(str(file), "rb") as opened:
            rate, width, channels = opened.getframerate(), opened.getsampwidth(), opened.getnchannels()
            content = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{file.name} is no recording that can be read: {error}.", place=str(file), fix="save it as PCM in a .wav"
        ) from error
    if rate != sample_rate:
        raise InputError(
            f"{file.name} has {rate} samples a second, and the input takes {sample_rate}.",
            place=str(file),
            fix=f"resample it to {sample_rate} Hz, or correct sample_rate",
        )
    values = audio.from_pcm(content[: len(content) // (width * channels) * width * channels], width)
    return audio.mono(values.reshape(-1, channels))
