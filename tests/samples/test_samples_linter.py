"""The linter warns of what would spoil calibration, and is silent about real data."""

import io
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgekit import samples
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.samples.linter import looks_random

Floats = NDArray[np.float32]


def signature(shape: tuple[int, ...], dtype: str = "float32") -> Signature:
    spec = TensorSpec(
        name="x", shape=shape, dtype=dtype, source_name="x", source_shape=shape, source_dtype=dtype
    )  # fmt: skip
    return Signature(inputs=(spec,), outputs=())


def of(values: np.ndarray, name: str = "x") -> samples.Samples:
    return samples.Samples.of({name: values}, None, origin="test")


@cache
def scenes(n: int = 128, size: int = 32) -> Floats:
    """Smooth coloured pictures ``[n, 1, size, size, 3]``, 0..255: sums of a few random waves."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = generator.normal(size=(n, 3, 4, 3))
    total = sum(np.sin(3 * waves[:, :, k, 0, None, None] * x + 3 * waves[:, :, k, 1, None, None] * y + waves[:, :, k, 2, None, None])
                for k in range(4))  # fmt: skip
    return np.asarray((total + 4) / 8 * 255, np.float32).transpose(0, 2, 3, 1)[:, None]


NHWC = signature((1, 32, 32, 3))


def test_real_looking_data_draws_no_warning() -> None:
    assert samples.lint(of(scenes()), NHWC) == ()


def test_few_samples() -> None:
    assert samples.lint(of(scenes(99)), NHWC) == ("only 99 samples: fewer than 100 make the activation ranges a guess",)


def test_inputs_that_no_sample_changes_are_known() -> None:
    """Of those whose values have a range: floats and integers of 8 bits, of two samples at least."""
    x, same = np.arange(12, dtype=np.float32).reshape(4, 3), np.tile(np.arange(3), (4, 1))
    kinds = {"float": np.float32, "uint8": np.uint8, "flag": bool, "index": np.int64}
    inputs = {"x": x} | {name: same.astype(kind) for name, kind in kinds.items()}
    assert samples.Samples.of(inputs, origin="test").kept.still == ("float", "uint8")
    alone = samples.Samples.of({name: values[:1] for name, values in inputs.items()}, origin="test")
    assert alone.kept.still == ()


def test_constant_values() -> None:
    (warning,) = samples.lint(of(np.full((128, 1, 4), 3, np.float32)), signature((1, 4)))[:1]
    assert warning == "x: every value is 3.0: constant data cannot calibrate"


def test_one_sample_repeated() -> None:
    repeated = np.repeat(scenes(1), 128, axis=0)
    assert samples.lint(of(repeated), NHWC) == (
        "x: all 128 samples are the same",
        "127 of 128 samples are duplicates of others",
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["uniform", "normal", "bytes"])
@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (1, 3, 32, 32), (1, 64), (1, 49, 10, 1)])
def test_noise_is_recognised(kind: str, shape: tuple[int, ...], seed: int) -> None:
    generator = np.random.default_rng(seed)
    size = (128, *shape)
    noise = {
        "uniform": lambda: generator.random(size),
        "normal": lambda: generator.normal(3, 2, size),
        "bytes": lambda: generator.integers(0, 256, size),
    }[kind]()
    warnings = samples.lint(of(noise.astype(np.float32)), signature(shape))
    assert warnings == ("x: the data looks like random noise: calibrate with real samples",)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_edgekits_own_random_samples_are_recognised(dtype: str) -> None:
    random = signature((1, 16, 16, 3), dtype=dtype)
    assert any("random noise" in warning for warning in samples.lint(samples.random(random, 128), random))


def test_class_indices_are_no_noise() -> None:
    tokens = signature((1, 64), dtype="int64")
    assert samples.lint(samples.random(tokens, 128), tokens) == ()


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_features_of_different_size_are_no_noise(seed: int) -> None:
    generator = np.random.default_rng(seed)
    offsets = generator.normal(0, 1, 32)
    assert not looks_random(generator.normal(offsets, 1, (200, 32)))


def test_neighbours_that_agree_are_no_noise() -> None:
    steps = np.random.default_rng(0).normal(size=(200, 64))
    assert not looks_random(np.cumsum(steps, axis=1))


@pytest.mark.parametrize(
    ("values", "image", "ranges", "suspicious"),
    [
        (scenes(), ImageInput(range=(0.0, 1.0)), None, True),
        (scenes() / 255, ImageInput(range=(0.0, 1.0)), None, False),
        (scenes() / 255, ImageInput(), None, True),
        (scenes(), ImageInput(), None, False),
        (scenes() / 127.5 - 1, ImageInput(mean=(127.5,), std=(127.5,)), None, False),
        (scenes() / 127.5 - 1, ImageInput(range=(0.0, 1.0)), None, True),
        (scenes() / 255, None, (0.0, 255.0), True),
        (scenes(), None, (0.0, 255.0), False),
        (scenes(), None, (0.0, 1.0), True),
        (scenes(), None, None, False),
    ],
)
def test_ranges_that_contradict_the_description_or_the_first_layer(
    values: Floats, image: ImageInput | None, ranges: tuple[float, float] | None, *, suspicious: bool
) -> None:
    described = Description(inputs=() if image is None else (msgspec.structs.replace(image, name="x"),))
    expected = None if ranges is None else {"x": ranges}
    warnings = samples.lint(of(values), signature((1, 32, 32, 3)), description=described, ranges=expected)
    assert len(warnings) == suspicious
    assert all("is expected: check the preprocessing" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("image", "contradicts"),
    [
        (ImageInput(name="x"), False),
        (ImageInput(name="x", range=(0.0, 1.0)), True),
        (ImageInput(name="x", range=(-1.0, 1.0)), True),
        (ImageInput(name="x", mean=(123.7, 116.3, 103.5), std=(1.0,)), True),
    ],
)
def test_a_description_that_contradicts_the_first_layer(image: ImageInput, *, contradicts: bool) -> None:
    described = Description(inputs=(image,))
    warnings = samples.lint(of(scenes()), signature((1, 32, 32, 3)), description=described, ranges={"x": (0.0, 255.0)})
    assert [w for w in warnings if "but the first layer expects 0..255" in w] == list(warnings)
    assert len(warnings) == contradicts


@pytest.mark.parametrize("size", [16, 32, 64])
def test_images_reshaped_instead_of_transposed(size: int) -> None:
    right = scenes(size=size)
    nhwc, nchw = (1, size, size, 3), (1, 3, size, size)
    turned = right.transpose(0, 1, 4, 2, 3)
    assert samples.lint(of(right), signature(nhwc)) == ()
    assert samples.lint(of(turned), signature(nchw)) == ()
    assert samples.lint(of(turned.reshape(right.shape)), signature(nhwc)) == (
        "x: the samples look like NCHW reshaped to NHWC: transpose them instead",
    )
    assert samples.lint(of(right.reshape(turned.shape)), signature(nchw)) == (
        "x: the samples look like NHWC reshaped to NCHW: transpose them instead",
    )


def test_duplicates_and_overlap_with_the_evaluation_set() -> None:
    pictures = scenes(140)
    calibration = np.concatenate([pictures[:110], pictures[:7]])
    warnings = samples.lint(of(calibration), NHWC, of(pictures[100:]))
    assert warnings == (
        "7 of 117 samples are duplicates of others",
        "10 samples also occur in the evaluation set: its result will be too good",
    )


def test_a_sample_is_a_duplicate_only_where_every_input_agrees() -> None:
    both = Signature(inputs=(*signature((1, 4)).inputs, TensorSpec(
        name="z", shape=(1,), dtype="float32", source_name="z", source_shape=(1,), source_dtype="float32")), outputs=())  # fmt: skip
    x = np.tile(np.arange(4, dtype=np.float32), (128, 1, 1))
    x[0, 0, 0] = 9
    z = np.arange(128, dtype=np.float32)[:, None]
    warnings = samples.lint(samples.Samples.of({"x": x, "z": z}, None, origin="test"), both)
    assert warnings == ()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_samples_do_not_break_it(n: int) -> None:
    for shape in [(1,), (1, 1), (1, 32, 32, 3), (1, 1, 64, 3), (1, 2, 9, 9)]:
        warnings = samples.lint(of(np.random.default_rng(0).random((n, *shape), np.float32)), signature(shape))
        assert warnings[0].startswith(f"only {n} samples")


def pictures(path: Path, n: int) -> np.ndarray:
    with np.load(path) as archive:
        blob, offsets = archive["blob"], archive["offsets"]
    return np.stack([np.asarray(Image.open(io.BytesIO(blob[a:b].tobytes())).convert("RGB"))
                     for a, b in pairwise(offsets[: n + 1])])  # fmt: skip


@pytest.mark.shared
def test_real_photographs_draw_no_warning_in_the_right_layout_only(shared: Path) -> None:
    right = pictures(shared / "data" / "cifar10jpeg_test2k.npz", 300).astype(np.float32)[:, None]
    turned = right.transpose(0, 1, 4, 2, 3)
    assert samples.lint(of(right), signature((1, 32, 32, 3))) == ()
    assert samples.lint(of(turned), signature((1, 3, 32, 32))) == ()
    assert "NCHW reshaped to NHWC" in samples.lint(of(turned.reshape(right.shape)), signature((1, 32, 32, 3)))[0]
    assert "NHWC reshaped to NCHW" in samples.lint(of(right.reshape(turned.shape)), signature((1, 3, 32, 32)))[0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "shape", "dtype"),
    [
        ("mnist_test.npz", (1, 28, 28, 1), "float32"),
        ("kws01.npz", (1, 49, 10, 1), "int8"),
        ("gesture/keypoint.csv", (1, 42), "float32"),
        ("gesture/point_history.csv", (1, 32), "float32"),
    ],
)
def test_real_data_is_not_taken_for_noise(shared: Path, file: str, shape: tuple[int, ...], dtype: str) -> None:
    wanted = signature(shape, dtype=dtype)
    warnings = samples.lint(samples.load(str(shared / "data" / file), wanted), wanted)
    assert all("duplicates" in warning for warning in warnings)
