"""How close the outputs of an artifact come to those of its source.

All arrays are ``[N, *shape]`` in the source's layout and dtype.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.verification import Agreement, ClassAgreement, Made
from edgekit.verify import collapse, parts
from edgekit.waist.movement import varying_sqnr_db
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array, blocks, sqnr_db


def compare(
    reference: dict[str, Array], outputs: dict[str, Array], made: Mapping[str, Made] | None = None
) -> tuple[Agreement, ...]:
    """Agreement of every output with the reference of the same name.

    Args:
        reference: the source's outputs.
        outputs: the artifact's.
        made: by output, how it came to be (`edgekit.waist.branches`), as far as it is known; with None no output
            is looked at part by part.

    Raises:
        InputError: a shape differs, which names the output and both shapes.
    """
    return tuple(_agreement(name, expected, outputs[name], made) for name, expected in reference.items())


def _agreement(name: str, expected: Array, got: Array, made: Mapping[str, Made] | None) -> Agreement:
    if expected.shape != got.shape:
        raise InputError(f"Output {name} has shape {got.shape[1:]}, the source's has {expected.shape[1:]}.", place=name)
    identical = all(np.array_equal(expected[rows], got[rows], equal_nan=True) for rows in pieces(expected))
    by_part = not identical and made is not None and expected.dtype.kind == "f" and bool(expected.size)
    both, came = parts.Compared(expected, got), None if made is None else made.get(name)
    share, count = _top1_agreement(expected, got, came)
    return Agreement(
        output=name,
        identical=identical,
        sqnr_db=None if identical else sqnr_db(expected, got, undefined=True),
        varying_sqnr_db=None if identical else varying_sqnr_db(expected, got),
        max_abs_error=max((_max_abs_error(a, b) for a, b in blocks(expected, got)), default=0.0),
        cosine=_cosine(expected, got),
        top1_agreement=share,
        choices=count,
        classes=far_off(expected, got, came),
        worst_parts=parts.worst(both, came) if by_part else (),
        collapsed=collapse.collapsed(both, came) if by_part else (),
    )


def _max_abs_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    finite = np.isfinite(a) & np.isfinite(b)
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0))


def _cosine(expected: Array, got: Array) -> float | None:
    squares = [(np.vdot(a, a), np.vdot(b, b), np.vdot(a, b)) for a, b in blocks(expected, got)]
    own, other, product = (float(np.sum(column)) for column in zip(*squares, strict=True)) if squares else (0.0,) * 3
    norm = float(np.sqrt(own) * np.sqrt(other))
    return product / norm if np.isfinite(norm) and norm > 0 else None


def is_classes(values: Array) -> bool:
    """Scores ``[N, 1, C]`` with C ≥ 2: one row for each sample."""
    return values.ndim == 3 and values.shape[1] == 1 and values.shape[2] >= 2 and values.dtype.kind == "f"


def _axis(values: Array, came: Made | None) -> int | None:
    """The axis of ``[N, *shape]`` along which the place of the highest value is a choice."""
    if is_classes(values):
        return 2
    return None if came is None or came.shares is None or values.dtype.kind != "f" else came.shares + 1


class Choices(NamedTuple):
    """What both sides choose, ``[choices]`` each; places where both choose the ``background`` are left out."""

    wanted: Array
    chosen: Array
    background: int | None = None


def choices(expected: Array, got: Array, came: Made | None) -> Choices | None:
    """What both sides choose; None if the output does not choose.

    An output of scores for each sample chooses once in a sample; behind a softmax it chooses at every step or place.
    What fills more than half of these is background (a blank, no object): where both sides choose that, they choose
    nothing, and agreement there would hide that they agree nowhere else.
    """
    axis = _axis(expected, came)
    if axis is None or not expected.size:
        return None
    sides = [
        np.concatenate([values[rows].argmax(axis).ravel() for rows in pieces(values)]) for values in (expected, got)
    ]
    wanted, chosen = sides
    commonest = int(np.bincount(wanted).argmax())
    told = (wanted != commonest) | (chosen != commonest)
    if is_classes(expected) or 2 * np.count_nonzero(wanted == commonest) <= len(wanted) or not told.any():
        return Choices(wanted, chosen)
    return Choices(wanted[told], chosen[told], commonest)


def is_choices(values: Array) -> bool:
    """Whole numbers that may be indices or flags; those of 8 bits are rather pixels."""
    return bool(values.size) and (values.dtype.kind == "b" or (values.dtype.kind in "iu" and values.dtype.itemsize > 1))


MOST_CHOICES = 1 << 22
"""The most choices of which kappa is reckoned; of more, evenly taken ones."""


def share_same(wanted: Array, chosen: Array) -> float:
    """The share (0..1) of values that are the same; arrays of one shape, with a sample at least."""
    return sum(int(np.count_nonzero(wanted[rows] == chosen[rows])) for rows in pieces(wanted)) / wanted.size


def kappa(wanted: Array, chosen: Array) -> float:
    """Cohen's kappa (1960): how much more often two sides choose the same than their own shares would by chance.

    1 if all are the same; 0 and less is chance.
    """
    step = max(1, wanted.size // MOST_CHOICES)
    choices, numbers = np.unique(np.concatenate([wanted.ravel()[::step], chosen.ravel()[::step]]), return_inverse=True)
    halves = np.split(numbers, 2)
    shares = [np.bincount(half, minlength=len(choices)) / max(len(half), 1) for half in halves]
    agree, chance = float(np.mean(halves[0] == halves[1])) if wanted.size else 1.0, float(shares[0] @ shares[1])
    return 1.0 if agree == 1.0 else (agree - chance) / (1.0 - chance)


def _top1_agreement(expected: Array, got: Array, came: Made | None) -> tuple[float | None, int]:
    """The share of choices that are the same, and how many choices there are."""
    if is_choices(expected):
        return share_same(expected, got), expected.size
    both = choices(expected, got, came)
    return (None, 0) if both is None else (float(np.mean(both.wanted == both.chosen)), len(both.wanted))


FEWEST_OF_A_CLASS = 5
"""Samples of a class below which its agreement is chance."""

FAR_OFF = 0.1
"""By how much a class must agree less than all samples to be told of."""

MOST_CLASSES = 5
"""How many of such classes are told of."""


def far_off(expected: Array, got: Array, came: Made | None = None) -> tuple[ClassAgreement, ...]:
    """Classes in which far fewer choices agree than in all, the worst first: the agreement of all hides one.

    A class counts if it agrees less by `FAR_OFF`, and Wilson's 95 % interval (1927) lies below the share of all.
    """
    both = choices(expected, got, came)
    if both is None:
        return ()
    wanted, same = both.wanted, both.wanted == both.chosen
    overall, found = float(same.mean()), []
    for index in np.setdiff1d(wanted[~same], [] if both.background is None else [both.background]):
        own = same[wanted == index]
        share = float(own.mean())
        if len(own) >= FEWEST_OF_A_CLASS and share <= overall - FAR_OFF and interval(share, len(own))[1] < overall:
            found.append(ClassAgreement(index=int(index), samples=len(own), agreement=share))
    return tuple(sorted(found, key=lambda one: one.agreement)[:MOST_CLASSES])


def interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of so many samples, 95 % if ``z`` says nothing else."""
    middle = share + z**2 / (2 * count)
    spread = z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return (middle - spread) / (1 + z**2 / count), (middle + spread) / (1 + z**2 / count)
