"""Samples from recordings and from lines of tokens."""

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import samples
from edgekit.errors import InputError
from edgekit.nouns.description import AudioInput, Description, Input, TokensInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import audio


def signature(length: int, dtype: str) -> Signature:
    shape = (1, length)
    spec = TensorSpec(name="a", shape=shape, dtype=dtype, source_name="a", source_shape=shape, source_dtype=dtype)
    return Signature(inputs=(spec,), outputs=())


def loaded(path: Path, told: Input, length: int = 6, dtype: str = "float32") -> list[list[float]]:
    got = samples.load(str(path), signature(length, dtype), Description(inputs=(told,)))
    values: list[list[float]] = got.inputs["a"][:, 0].tolist()
    return values


def recorded(path: Path, values: list[int], width: int = 2, rate: int = 8000, channels: int = 1) -> Path:
    """A ``.wav`` of the upper 8 bits of its samples."""
    stored = [(value << (8 * (width - 1))) if width > 1 else value + 128 for value in values]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"".join(value.to_bytes(width, "little", signed=width > 1) for value in stored))
    return path


AUDIO = AudioInput(name="a", sample_rate=8000)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_full_scale_is_one_whatever_the_bits(tmp_path: Path, width: int) -> None:
    path = recorded(tmp_path / "a.wav", [0, 64, -128, 127], width)
    assert loaded(path, AUDIO) == [[0, 0.5, -1, 127 / 128, 0, 0]]
    sixteen = AudioInput(name="a", sample_rate=8000, full_scale=32768)
    assert loaded(path, sixteen) == [[0, 16384, -32768, 127 * 256, 0, 0]]


@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1))
def test_24_bits_are_exact(values: list[int]) -> None:
    content = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    assert (audio.from_pcm(content, 3).astype(np.float64) * 2**23).tolist() == values


def test_channels_are_averaged_and_long_recordings_cut(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.wav", [0, 64, 64, 0, -128, 0], channels=2)
    assert loaded(path, AUDIO, 3) == [[0.25, 0.25, -0.5]]
    path = recorded(tmp_path / "a.wav", [0, 16, 32, 64])
    assert loaded(path, AUDIO, 2) == [[0, 0.125]]
    assert loaded(path, AudioInput(name="a", sample_rate=8000, fit="middle"), 2) == [[0.125, 0.25]]


def test_folders_of_recordings_are_classes(tmp_path: Path) -> None:
    for i, name in enumerate(("no", "yes")):
        (tmp_path / name).mkdir()
        recorded(tmp_path / name / "a.wav", [i * 64])
    got = samples.load(str(tmp_path), signature(1, "float32"), Description(inputs=(AUDIO,)))
    assert got.labels is not None
    assert (got.labels.tolist(), got.inputs["a"].ravel().tolist()) == ([0, 1], [0, 0.5])


def test_recordings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.wav", [0], rate=44100)
    with pytest.raises(InputError, match="44100 samples a second, and the input takes 8000"):
        loaded(path, AUDIO)
    with pytest.raises(InputError, match="does not describe it as audio"):
        samples.load(str(path), signature(6, "float32"))
    for content in (b"", b"RIFF1234WAVEfmt ", path.read_bytes()[:30]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no recording that can be read"):
            loaded(path, AUDIO)


TOKENS = TokensInput(name="a", pad_id=9, vocabulary=("[CLS]", "the", "dog"))


def test_tokens_are_numbers_or_words_of_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("[CLS] the dog\n\n0, 1,2 1 2 1 2\n")
    assert loaded(path, TOKENS, 5, "int64") == [[0, 1, 2, 9, 9], [0, 1, 2, 1, 2]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[CLS] cat", "'cat', which is not in the vocabulary"), ("", "is empty"), ("-1", "not in the vocabulary"),
     ("9" * 40, "not in the vocabulary"), ("\u0663", "not in the vocabulary")],
)  # fmt: skip
def test_other_words_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "t.txt").write_text(text, encoding="utf8")
    with pytest.raises(InputError, match=problem):
        loaded(tmp_path / "t.txt", TOKENS, 5, "int64")


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe1")
    with pytest.raises(InputError, match="UTF-8"):
        loaded(tmp_path / "t.txt", TOKENS, 5, "int64")
