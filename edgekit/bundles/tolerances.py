"""How far from the golden vectors a correct app may be, stage by stage, derived from the arithmetic.

**Pre- and post-processing, quantize and dequantize** are the same operations in the same order in every language, and
IEEE 754 gives each the same bits: nothing may differ. The exceptions are `exp`, of which each library rounds otherwise,
and long sums, which numpy adds up pairwise: bounds in units in the last place of float32 (ulps).

**The network** depends on the kernels that compute it (`Family`): each output's largest difference in its own numbers
(steps of an integer output), measured on the golden samples where this host has the kernels, else bounded from that.
"""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.bundles.facts import BundleFacts, ResultFacts, TensorFacts
from edgekit.nouns.description import ClassificationOutput, RegressionOutput
from edgekit.waist.tensors import Array

Family = Literal["same", "builtin", "reference", "other", "half"]
"""Whose kernels compute the network.

* same: the very runtime, version and kind of processor that made the vectors.
* builtin: TFLite's own kernels for CPUs, without XNNPACK.
* reference: TFLite's plain loops, as on microcontrollers.
* other: another version of XNNPACK, another processor.
* half: an accelerator that computes in float16 (GPUs, most NPUs).
"""

KERNELS: tuple[Family, ...] = ("builtin", "reference")
"""What a host can measure beside its own (`edgekit.backends.Backend.run_otherwise`)."""

STEPS = 255.0
"""From end to end of 8 bits."""

EXP_ULPS = 8
"""Of a logistic function or a decoded size: two libraries' `exp` (at most 2 ulps each) and four operations after it."""

SOFTMAX_ULPS = 32
"""numpy adds 128 numbers in 8 sums of 16, and pairs of such blocks (``numpy/_core/src/umath/loops_utils.h.src``): at
most 16 + 3 + log2(n / 128) roundings, with those of two `exp` and a division; enough for a million classes. Code for
apps adds up in double precision: in float32, one number after another, thousands of roundings go the same way."""

NORM_ULPS = 32
"""Of a vector's length: the same sum, a root and a division."""

MARGIN = 2
"""How much more than the largest difference seen on the golden samples other inputs may show."""

FLOAT_BITS = 16
"""Bits of the largest output's value to which correct float32 kernels agree at least: sums in another order, with and
without fused multiply-add. A rule of thumb, since no bound holds for all networks."""

HALF_BITS = 8
"""Likewise of kernels that compute in float16, whose numbers have 11."""

MOST = float(np.finfo(np.float32).max)
"""The widest tolerance."""


class Tolerances(msgspec.Struct, frozen=True, kw_only=True):
    """All of a bundle's, by `Name.snake`.

    ``preprocess`` of inputs and ``postprocess`` of results are in ulps of float32 (of a box: of the longest side of the
    picture and of the input, since places are differences), ``model`` of outputs by family in the output's own numbers.
    ``final`` is by how much a result's numbers may differ if the network's differ by one unit of ``model`` (None: by
    any amount, since a threshold or an order may turn).
    """

    preprocess: dict[str, int]
    postprocess: dict[str, int]
    model: dict[str, dict[Family, float]]
    final: dict[str, float | None]


def of(
    facts: BundleFacts, stored: Mapping[str, Array], kernels: Mapping[str, Mapping[str, Array]], operators: int
) -> Tolerances:
    """The tolerances of a bundle.

    Args:
        facts: of its file.
        stored: what the file gave, ``[N, *shape]`` by the source's names, in its own numbers.
        kernels: the same of other kernels of this host, of the first samples at least; none if there are none.
        operators: of the network.
    """
    return Tolerances(
        preprocess={one.name.snake: 0 for one in facts.inputs},
        postprocess={one.name.snake: _ulps(one) for one in facts.results},
        model={
            tensor.name.snake: _model(
                tensor,
                stored[tensor.title],
                {family: kernels[family][tensor.title] for family in KERNELS if family in kernels},
                operators,
            )
            for tensor in facts.outputs
        },
        final={one.name.snake: _slope(one) for one in facts.results},
    )


def _ulps(result: ResultFacts) -> int:
    activation = getattr(result.row, "activation", "none")
    if activation == "softmax":
        return SOFTMAX_ULPS
    if result.task == "embedding" and getattr(result.row, "normalize", False):
        return NORM_ULPS
    if result.task == "segmentation":
        return 0
    decoded = getattr(result.row, "decoding", "none") not in {"none", "ltrb"}
    return EXP_ULPS if activation == "sigmoid" or decoded else 0


def _slope(result: ResultFacts) -> float | None:
    """How much a result's numbers move with the network's, at most: |d softmax| ≤ 1/2, |d sigmoid| ≤ 1/4."""
    unit, row = result.tensor.scale or 1.0, result.row
    if isinstance(row, ClassificationOutput):
        return unit * {"softmax": 0.5, "sigmoid": 0.25, "none": 1.0}[row.activation]
    if isinstance(row, RegressionOutput):
        return unit * abs(row.std)
    return unit if row is None else None


def _model(tensor: TensorFacts, stored: Array, kernels: Mapping[Family, Array], operators: int) -> dict[Family, float]:
    whole, steps = tensor.dtype != "float32", tensor.scale is not None
    largest = _largest(stored.astype(np.float64))
    seen = {family: _largest(_difference(found, stored[: len(found)])) for family, found in kernels.items()}
    least = float(steps) if whole else largest * 2.0**-FLOAT_BITS
    other = max(least, MARGIN * max(seen.values(), default=0.0))
    # Errors of operators add up like a random walk; an integer output spans what a float one would.
    spans = STEPS if steps else largest
    half = max(other, spans * 2.0**-HALF_BITS * math.sqrt(max(1, operators)) / 2)
    limits: dict[Family, float] = {"same": 0.0 if whole else least, "other": other, "half": half}
    for family in KERNELS:
        limits[family] = max(least, MARGIN * seen[family]) if family in seen else other
    return {
        family: float(math.ceil(value) if whole else np.float32(min(value, MOST))) for family, value in limits.items()
    }


def _difference(found: Array, stored: Array) -> NDArray[np.float64]:
    """By how much numbers differ; infinite ones that are the same do not."""
    one, other = found.astype(np.float64), stored.astype(np.float64)
    return np.subtract(one, other, out=np.zeros_like(one), where=one != other)


def _largest(values: NDArray[np.float64]) -> float:
    """The largest size of those that are finite: no tolerance is so wide that an infinite number is near another."""
    return float(np.abs(values).max(initial=0.0, where=np.isfinite(values)))
