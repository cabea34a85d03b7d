"""Inputs that no sample holds and that an app meets all the same: all zeros, constants, extremes.

The first probe is a sample and the last is that sample again, so that a file shows whether it keeps state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgekit.nouns.verification import Probes
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import IDENTICAL_DB, Array, blocks, sqnr_db

FIRST, AGAIN = "the first sample", "the first sample again"

FAINT, TENUOUS = 0.01, "a hundredth of the first sample"
"""What the first sample is multiplied by for a signal that is nearly silence, and what that probe is called."""

SAME_DB = 90.0
"""Two runs of one network on one input agree to this; what is left is the order of summing in a batch."""

FAR_OFF_DB = 20.0
"""A float file that comes no closer on a probe is warned about, not refused.

On inputs that no sample holds right files may differ: a norm divides the rounding of a constant image by an
epsilon, an argmax has a tie. Measured against the energy that an output has on samples, these stay above 20 dB;
a bound that was lost does not.
"""


@dataclass(frozen=True)
class Probed:
    """What both sides gave for the probes, ``[probes, *shape]`` by output; ``unavailable``: why some are left out."""

    names: tuple[str, ...]
    reference: dict[str, Array]
    outputs: dict[str, Array]
    unavailable: str = ""


NAMES = (
    FIRST,
    "all zeros",
    "the lowest value",
    "the highest value",
    "the middle value",
    "extremes at random",
    TENUOUS,
    AGAIN,
)
"""All probes, in their order."""

FEWEST = 3
"""The first sample, all zeros, and the first sample again: what shows lost guards and state."""

TELLING = (FIRST, AGAIN, "all zeros", "extremes at random", "the highest value", "the lowest value", TENUOUS)
"""Probes that are kept first if inputs and outputs are too large for all of them."""


def of(samples: dict[str, Array], most: int = len(NAMES), seed: int = 0) -> dict[str, dict[str, Array]]:
    """Probes by name, each ``[*shape]`` by input, from samples ``[N, *shape]``.

    Inputs of floats and of 8-bit integers are probed within the samples' own range, and at 0. All others
    are the first sample's: they may be indices, lengths and flags, for which few values are valid.

    Args:
        samples: by input.
        most: how many probes there are, the most telling ones, but `FEWEST`; no other is ever held.
        seed: of what is drawn.
    """
    random = np.random.default_rng(seed)
    wanted = list(dict.fromkeys((*TELLING, *NAMES)))[: max(FEWEST, most)]
    kept = [name for name in NAMES if name in wanted]
    makers = {input_: _input(values, random) for input_, values in samples.items()}
    return {name: {input_: make(name) for input_, make in makers.items()} for name in kept}


def plain(samples: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """Samples alone, for a source that runs on no others: they still show state."""
    first = {name: values[0] for name, values in samples.items()}
    last = {name: values[-1] for name, values in samples.items()}
    return {FIRST: first, "the last sample": last, AGAIN: first}


def _input(values: Array, random: np.random.Generator) -> Callable[[str], Array]:
    """What makes an input's probes, by name."""
    first = values[0]
    if not (values.dtype.kind == "f" or (values.dtype.kind in "iu" and values.dtype.itemsize == 1)):
        return lambda _: first
    low, high = values.min(), values.max()
    middle = (np.float64(low) + np.float64(high)) / 2
    constants = {"all zeros": 0, "the lowest value": low, "the highest value": high, "the middle value": middle}

    def make(name: str) -> Array:
        if name in constants:
            return np.full_like(first, np.asarray(constants[name]).astype(values.dtype))
        if name == "extremes at random":
            return np.where(random.random(first.shape) < 0.5, low, high).astype(values.dtype)
        return np.asarray(first * FAINT).astype(values.dtype) if name == TENUOUS else first

    return make


def keeps_state(outputs: dict[str, Array]) -> bool:
    """Whether the last probe's outputs are not those of the first, though the inputs are."""
    return any(not _same(values[0], values[-1]) for values in outputs.values())


def _same(first: Array, again: Array) -> bool:
    if first.dtype.kind != "f":
        return bool(np.array_equal(first, again))
    return sqnr_db(first, again) >= SAME_DB


def not_finite(reference: dict[str, Array], outputs: dict[str, Array]) -> tuple[str, int] | None:
    """The first output and row in which the artifact gives NaN or infinity where its source does not."""
    for name, expected in reference.items():
        if expected.dtype.kind == "f":
            for rows in pieces(expected):
                broken = np.isfinite(expected[rows]) & ~np.isfinite(outputs[name][rows])
                which = broken.reshape(len(broken), -1).any(axis=1)
                if which.any():
                    return name, rows.start + int(np.argmax(which))
    return None


def agreement(probed: Probed, samples: dict[str, Array]) -> Probes:
    """How close the outputs come on the probes.

    Args:
        probed: both sides on the probes.
        samples: the source's outputs on the samples: the energy that an output has there is the least that its
            error is measured against.
    """
    worst, least = "", IDENTICAL_DB
    for output, expected in probed.reference.items():
        if expected.dtype.kind != "f":
            continue
        usual = _energy(samples[output])
        for row, name in enumerate(probed.names):
            found = _sqnr_db(expected[row], probed.outputs[output][row], usual)
            if found < least:
                worst, least = f"{name}, output {output}", found
    return Probes(
        inputs=probed.names,
        worst=worst,
        sqnr_db=None if least == IDENTICAL_DB else least,
        unavailable=probed.unavailable,
    )


def _energy(values: Array) -> float:
    return _mean_square(values, None)


def _mean_square(values: Array, other: Array | None) -> float:
    """The mean square of values, or of their difference to others, if all are finite; 0 if none are."""
    total = count = 0.0
    for a, b in blocks(values, values if other is None else other):
        known = np.isfinite(a) & np.isfinite(b)
        total += float(np.sum(np.square(a[known] if other is None else a[known] - b[known])))
        count += float(known.sum())
    return total / count if count else 0.0


def _sqnr_db(expected: Array, got: Array, usual: float) -> float:
    noise = _mean_square(expected, got)
    signal = max(_energy(expected), usual)
    if noise == 0.0:
        return IDENTICAL_DB
    return float(np.clip(10 * np.log10(signal / noise), -IDENTICAL_DB, IDENTICAL_DB)) if signal else -IDENTICAL_DB
