"""The calibration linter: what is suspicious about samples, though they fit."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import AudioInput, Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.samples.content import Samples
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array

FEWEST_SAMPLES = 100
"""Below this the ranges of activations are guesses (TensorFlow's guide names 100–500)."""

RANGE_TOO_SMALL = 0.05
"""Data that spans less than this share of the expected range was scaled twice, or not at all."""

RANGE_TOO_LARGE = 1.5
"""Data that reaches beyond this multiple of the expected range was not scaled."""

OTHER_LAYOUT_SMOOTHER = 0.8
"""An image whose rows are this much smoother in the other layout is in the other layout."""

NOISE_VALUES = 20_000
"""Values looked at by the white-noise test; its bounds follow from their number."""

Floats = NDArray[np.float64]


def lint(
    samples: Samples,
    signature: Signature,
    evaluation: Samples | None = None,
    *,
    description: Description | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[str, ...]:
    """Warnings about samples, each one sentence.

    Args:
        samples: for calibration; their doubts come first.
        signature: of the source.
        evaluation: samples that must be disjoint from them.
        description: of the inputs, which gives the expected ranges.
        ranges: by input name, the lowest and highest value that the network's first layer expects
            (0..255 if it starts by dividing by 255).

    Returns:
        Nothing if nothing is suspicious.
    """
    found = list(samples.doubts)
    if len(samples) < FEWEST_SAMPLES:
        found.append(f"only {len(samples)} samples: fewer than {FEWEST_SAMPLES} make the activation ranges a guess")
    for spec in signature.inputs:
        values = samples.inputs[spec.source_name]
        found += _constant(spec, values) or [*_noise(spec, values), *_layout(spec, values)]
        of_layer, told = (ranges or {}).get(spec.source_name), _described_range(description, spec)
        found += [*_contradiction(spec, of_layer, told), *_range(spec, values, of_layer or told)]
    digests = list(_digests(samples))
    found += _duplicates(digests)
    if evaluation is not None:
        found += _overlap(digests, evaluation)
    return tuple(found)


def _constant(spec: TensorSpec, values: Array) -> list[str]:
    if values.min() == values.max():
        return (
            [f"{spec.source_name}: every value is {values.min()}: constant data cannot calibrate"]
            if values.size > 1
            else []
        )
    if len(values) > 1 and all((values[rows] == values[:1]).all() for rows in pieces(values)):
        return [f"{spec.source_name}: all {len(values)} samples are the same"]
    return []


def _noise(spec: TensorSpec, values: Array) -> Iterator[str]:
    if values.dtype.kind == "f" or (values.dtype.kind in "iu" and values.dtype.itemsize == 1):
        rows = max(2, NOISE_VALUES // max(1, values[0].size))
        if looks_random(values[:: max(1, len(values) // rows)][:rows].astype(np.float64)):
            yield f"{spec.source_name}: the data looks like random noise: calibrate with real samples"


def looks_random(values: Floats) -> bool:
    """Whether values ``[N, ...]`` are white noise.

    White noise has no correlation between neighbours along any axis, the same mean at every
    position, and a uniform or normal histogram; real data misses at least one of the three.
    Bounds are about four standard errors of each statistic under that hypothesis.
    """
    n, flat = len(values), values.reshape(len(values), -1)
    if flat.size < 256 or not flat.std():
        return False
    for axis in range(1, values.ndim):
        if values.shape[axis] > 1 and abs(_neighbours(values, axis)) > 4 / np.sqrt(values.size):
            return False
    if n > 1 and flat.shape[1] > 1:
        expected = flat.var() / n
        if flat.mean(axis=0).var() > expected * (1 + 4 * np.sqrt(2 / (flat.shape[1] - 1))):
            return False
    bound = 1.95 / np.sqrt(min(flat.size, NOISE_VALUES)) + 0.01
    return bool(min(_distance_to_uniform(flat), _distance_to_normal(flat)) < bound)


def _neighbours(values: Floats, axis: int) -> float:
    """The correlation of neighbours along an axis."""
    left = np.take(values, range(values.shape[axis] - 1), axis).ravel()
    right = np.take(values, range(1, values.shape[axis]), axis).ravel()
    spread = left.std() * right.std()
    return float(((left - left.mean()) * (right - right.mean())).mean() / spread) if spread else 1.0


def _distance_to_uniform(values: Floats) -> float:
    """Kolmogorov–Smirnov distance to the uniform distribution over the values' own range."""
    ordered = np.sort(values.ravel())
    return float(np.abs((ordered - ordered[0]) / (ordered[-1] - ordered[0]) - np.linspace(0, 1, ordered.size)).max())


def _distance_to_normal(values: Floats) -> float:
    """Kolmogorov–Smirnov distance to the normal distribution of the values' mean and deviation."""
    ordered = np.sort((values.ravel() - values.mean()) / values.std())
    # Φ by the logistic approximation of Bowling et al. 2009 (error below 0.00014).
    normal = 1 / (1 + np.exp(-(0.07056 * ordered**3 + 1.5976 * ordered)))
    return float(np.abs(normal - np.linspace(0, 1, ordered.size)).max())


def _layout(spec: TensorSpec, values: Array) -> Iterator[str]:
    """Images that were reshaped, not transposed, into the wanted layout: shapes fit, rows do not.

    In NHWC the pixel below is width * channels values further on, in NCHW width values.
    """
    shape = spec.source_shape
    if len(shape) != 4 or values.dtype.kind not in "fiu":
        return
    claimed = "NHWC" if shape[3] in {2, 3, 4} else "NCHW" if shape[1] in {2, 3, 4} else None
    if claimed is None:
        return
    width, channels = (shape[2], shape[3]) if claimed == "NHWC" else (shape[3], shape[1])
    if width < 8 or values[0].size < 8 * width * channels:
        return
    flat = values[:64].reshape(min(64, len(values)), -1).astype(np.float64)
    rows = {"NHWC": _step(flat, width * channels), "NCHW": _step(flat, width)}
    other = "NCHW" if claimed == "NHWC" else "NHWC"
    if rows[other] < OTHER_LAYOUT_SMOOTHER * rows[claimed]:
        yield f"{spec.source_name}: the samples look like {other} reshaped to {claimed}: transpose them instead"


def _step(flat: Floats, stride: int) -> float:
    return float(np.abs(flat[:, stride:] - flat[:, :-stride]).mean())


def _described_range(description: Description | None, spec: TensorSpec) -> tuple[float, float] | None:
    """What bytes 0..255, or the full scale of a waveform, become."""
    told = None if description is None else description.input(spec.source_name)
    if isinstance(told, AudioInput):
        return -told.full_scale, told.full_scale
    if not isinstance(told, ImageInput):
        return None
    return min(low for low, _ in told.ends), max(high for _, high in told.ends)


def _contradiction(
    spec: TensorSpec, of_layer: tuple[float, float] | None, told: tuple[float, float] | None
) -> Iterator[str]:
    """A description of another range than the network's first layer is made for."""
    if of_layer is not None and told is not None and (_unlike(told, of_layer) or _unlike(of_layer, told)):
        yield (
            f"{spec.source_name}: [[input]] makes values of {told[0]:g}..{told[1]:g}, but the first layer expects "
            f"{of_layer[0]:g}..{of_layer[1]:g}: check range, mean and std"
        )


def _range(spec: TensorSpec, values: Array, expected: tuple[float, float] | None) -> Iterator[str]:
    if expected is None or values.dtype.kind not in "fiu":
        return
    low, high = float(values.min()), float(values.max())
    if _unlike((low, high), expected):
        yield (
            f"{spec.source_name}: values range over {low:g}..{high:g}, "
            f"but {expected[0]:g}..{expected[1]:g} is expected: check the preprocessing"
        )


def _unlike(found: tuple[float, float], expected: tuple[float, float]) -> bool:
    """Whether a range reaches far beyond another, or fills hardly anything of it."""
    span, centre = expected[1] - expected[0], sum(expected) / 2
    far = max(abs(found[0] - centre), abs(found[1] - centre)) > RANGE_TOO_LARGE * span / 2
    return far or found[1] - found[0] < RANGE_TOO_SMALL * span


def _digests(samples: Samples) -> Iterator[bytes]:
    """A digest of each sample over all inputs."""
    arrays = [np.ascontiguousarray(samples.inputs[name]) for name in sorted(samples.inputs)]
    for i in range(len(samples)):
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays:
            digest.update(array[i].tobytes())
        yield digest.digest()


def _duplicates(digests: list[bytes]) -> Iterator[str]:
    repeated = len(digests) - len(set(digests))
    if repeated:
        yield f"{repeated} of {len(digests)} samples are duplicates of others"


def _overlap(digests: list[bytes], evaluation: Samples) -> Iterator[str]:
    common = len(set(digests) & set(_digests(evaluation)))
    if common:
        yield f"{common} samples also occur in the evaluation set: its result will be too good"
