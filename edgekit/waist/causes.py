"""The arithmetic of what an operator's error comes from, whatever runs it: powers of errors, and how they are told."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from edgekit.nouns.diagnosis import Blame, Cause, OperatorDiagnosis
from edgekit.waist.tensors import IDENTICAL_DB, Array, sqnr_db

Noise = tuple[float, str, dict[str, float]]
"""Of one cause: Σ error², what it is in words, and the figures in them."""

LEAST_SHOWN = 0.0001
"""The least share of clipped values that is told as a number: beyond it two places after the point show nothing."""

LEAST_SHARE = 0.01
"""Causes of a smaller share of an operator's error are not told."""

FEW = 8
"""Channels are told apart from the others if they are no more than one of so many."""

MUCH = 0.25
"""The share of an error that a few channels must have to be told of."""

LARGER = 1.5
"""The weights of such channels are told of if they are larger by this."""

LEAST_GAIN_DB = 1.0
"""What a remedy must give to be told."""


def ranked(truth: Array, noises: Mapping[Cause, Noise]) -> tuple[Blame, ...]:
    """The causes of an operator's error, the largest first.

    Args:
        truth: what the float network makes.
        noises: by cause.
    """
    signal, total = power(truth), sum(each for each, *_ in noises.values())
    if not total or not signal:
        return ()
    found = [
        Blame(
            cause=cause,
            db=float(10 * np.log10(signal / each)),
            share=each / total,
            told=told,
            figures={name: float(value) for name, value in figures.items()},
        )
        for cause, (each, told, figures) in noises.items()
        if each / total >= LEAST_SHARE
    ]
    return tuple(sorted(found, key=lambda blame: -blame.share))


def of_range(
    truth: Array, ends: tuple[float, float], step: float, rounded: Callable[[Array], Array]
) -> Iterator[tuple[Cause, Noise]]:
    """What the range and the steps of a result cost.

    Args:
        truth: what the float network makes.
        ends: the least and the greatest value that the file can hold.
        step: how far apart its levels are.
        rounded: puts values within the range on these.
    """
    low, high = float(truth.min(initial=0.0)), float(truth.max(initial=0.0))
    clipped = np.clip(truth, *ends)
    outside = float(np.mean(clipped != truth)) if truth.size else 0.0
    figures = {"outside": outside, "low": low, "high": high, "range_low": ends[0], "range_high": ends[1]}
    if outside:
        share = f"{outside:.2%}" if outside >= LEAST_SHOWN else f"less than {LEAST_SHOWN:.2%}"
        told = f"{share} of its values lie outside of {ends[0]:.3g}..{ends[1]:.3g}: they reach {low:.3g}..{high:.3g}"
        yield "clipping", (error(truth, clipped), told, figures)
    used = (min(high, ends[1]) - max(low, ends[0])) / (ends[1] - ends[0])
    told = f"its levels are {step:.3g} apart, and its values use {used:.0%} of them"
    yield "steps", (error(clipped, rounded(clipped)), told, {"step": step, "used": used})


def few_channels(truth: Array, changed: Array, weights: Array, axis: int) -> dict[str, float] | None:
    """The few channels in which most of an error lies, beside the size of their weights; None if all share it.

    Args:
        truth: ``[N, …, channels]``.
        changed: the same with other weights.
        weights: of the layer.
        axis: of these, which counts the channels.
    """
    channels = truth.shape[-1]
    if weights.shape[axis] != channels or channels < FEW:
        return None
    lost = np.square(truth.astype(np.float64) - changed.astype(np.float64)).reshape(-1, channels).sum(0)
    order = np.argsort(-lost)
    count = max(1, int(np.count_nonzero(lost > 4 * lost.sum() / channels)))
    few = order[:count]
    if count > channels // FEW or lost[few].sum() < MUCH * lost.sum():
        return None
    sizes = np.abs(np.moveaxis(weights, axis, 0).reshape(channels, -1)).max(1)
    others = float(np.median(np.delete(sizes, few)))
    return {
        "channels": float(count),
        "of_channels": float(channels),
        "error_share": float(lost[few].sum() / lost.sum()),
        "times_larger": float(np.median(sizes[few])) / max(others, 1e-30),
    }


def channels_told(found: Mapping[str, float]) -> str:
    """What `few_channels` found, in words."""
    told = (
        f"its weights are rounded: {found['error_share']:.0%} of this in {found['channels']:.0f} of"
        f" {found['of_channels']:.0f} channels"
    )
    if found["times_larger"] >= LARGER:
        told += f", whose weights are {found['times_larger']:.1f} × the others'"
    return told


def power(values: Array) -> float:
    """Σ value² of what is finite."""
    finite = values[np.isfinite(values)].astype(np.float64)
    return float(finite @ finite)


def error(truth: Array, changed: Array) -> float:
    """Σ (truth - changed)² where both are finite."""
    lost = truth.astype(np.float64) - changed.astype(np.float64)
    return power(lost.ravel())


def noise[Name: Hashable](wanted: Mapping[Name, Array], made: Mapping[Name, Array]) -> float:
    """The mean over all outputs of Σ error² / Σ reference²; those that were not made have no error."""
    parts = []
    for tensor, values in wanted.items():
        if tensor not in made:
            parts.append(0.0)
            continue
        finite = np.isfinite(values) & np.isfinite(made[tensor])
        reference = values[finite].astype(np.float64)
        lost = reference - made[tensor][finite]
        parts.append(float(lost @ lost) / max(float(reference @ reference), 1e-30))
    return float(np.mean(parts)) if parts else 0.0


def level_db(part: float) -> float | None:
    """A noise as SQNR in dB; None for none."""
    return float(-10 * np.log10(part)) if part > 0 else None


def apart_db(truth: Array, got: Array) -> float | None:
    """SQNR in dB; None if both are equal."""
    return None if (level := sqnr_db(truth, got)) >= IDENTICAL_DB else level


def with_shares(rows: Sequence[OperatorDiagnosis]) -> tuple[OperatorDiagnosis, ...]:
    """Rows with their part of all errors at the outputs."""
    parts = [0.0 if row.output_db is None else 10 ** (-row.output_db / 10) for row in rows]
    total = sum(parts)
    if not total:
        return tuple(rows)
    return tuple(msgspec.structs.replace(row, share=part / total) for row, part in zip(rows, parts, strict=True))
