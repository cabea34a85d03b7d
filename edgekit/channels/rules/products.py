"""Convolutions and products of matrices: where channels begin and end."""

from math import prod

import numpy as np

from edgekit.channels.cells import Axes, Ids
from edgekit.channels.site import NotFollowedError, Rule, Site


def _image(site: Site, source: Axes, channels: Ids) -> list[Axes]:
    """The result of what slides over an image: its batch, places that stay, and the channels."""
    site.keep(*source[1:-1])
    return [(source[0], *(site.fixed(size) for size in site.results[0][1:-1]), channels)]


def _conv_2d(site: Site) -> list[Axes]:
    """Weights ``[out, height, width, in]``, of which ``in`` is a group's."""
    x, weights = site.axes(0), site.weights(1)
    site.keep(*weights[1:-1])
    groups = x[-1].size // weights[-1].size
    made = site.makes(1, 0)
    if groups == 1:
        site.sums(1, 3, x[-1])
    else:
        _grouped(site, x[-1].reshape(groups, -1), made.reshape(groups, -1))
    site.biased(2, made)
    return _image(site, x, made)


def _grouped(site: Site, given: Ids, made: Ids) -> None:
    """Whole groups can go, or the same channel of each group, whichever is finer.

    Args:
        site: a convolution.
        given: the cells that it reads, ``[groups, channels]``.
        made: those that it makes, ``[groups, channels]``.
    """
    groups, taps = given.shape
    if groups >= min(taps, made.shape[1]):
        for ids in (*given.T, *made.T):
            site.cells.tie(given[:, 0], ids)
        site.keep(site.axes(1)[3])
        site.origins.pop()  # they are what comes in
        return
    for ids in given:
        site.sums(1, 3, ids)
    for ids in made[1:]:
        site.cells.tie(made[0], ids)


def _depthwise(site: Site) -> list[Axes]:
    """Weights ``[1, height, width, in · multiplier]``."""
    x, weights = site.axes(0), site.weights(1)
    site.keep(*weights[:-1])
    if x[-1].size == 1:  # each of many filters sees the only channel
        made = site.makes(1, 3)
    else:
        made = weights[3]
        site.cells.tie(np.repeat(x[-1], made.size // x[-1].size), made)
    site.biased(2, made)
    return _image(site, x, made)


def _transposed(site: Site) -> list[Axes]:
    """Weights ``[out, height, width, in]``."""
    x, weights = site.axes(2), site.weights(1)
    site.keep(*weights[1:-1])
    site.sums(1, 3, x[-1], source=2)
    made = site.makes(1, 0)
    site.biased(3, made)
    return _image(site, x, made)


def _conv_3d(site: Site) -> list[Axes]:
    """Weights ``[depth, height, width, in, out]``."""
    x, weights = site.axes(0), site.weights(1)
    if x[-1].size != weights[3].size:
        raise NotFollowedError("it has groups")
    site.keep(*weights[:3])
    site.sums(1, 3, x[-1])
    made = site.makes(1, 4)
    site.biased(2, made)
    return _image(site, x, made)


def _dense(site: Site) -> list[Axes]:
    """Weights ``[out, in]``; what it reads is taken as rows of ``in``."""
    x, weights = site.axes(0), site.weights(1)
    taps = weights[1].size
    rows = x if x and x[-1].size == taps else site.reshaped(x, (prod(ids.size for ids in x) // taps, taps))
    site.sums(1, 1, rows[-1])
    made = site.makes(1, 0)
    site.biased(2, made)
    return [(*site.reshaped(rows[:-1], site.results[0][:-1]), made)]


def _matrices(site: Site) -> list[Axes]:
    """Stacks of matrices. If one is of weights it is a dense layer; else only whole matrices can go: heads."""
    sides = [_matrix(site, slot, option) for slot, option in ((0, "adjX"), (1, "adjY"))]
    (rows, left), (right, columns) = (_axes(site, slot, *pair) for slot, pair in enumerate(sides))
    lead = site.joined([site.axes(slot)[:-2] for slot in (0, 1)])
    known = [slot for slot in (0, 1) if slot in site.constants]
    if not known:
        site.keep(rows, left, right, columns, why="BATCH_MATMUL of two activations")
        return [(*lead, rows, columns)]
    (slot,) = known
    inner = sides[slot][1 - slot]
    site.sums(slot, inner, right if slot == 0 else left, source=1 - slot)
    made = site.makes(slot, sides[slot][slot])
    return [(*lead, made, columns) if slot == 0 else (*lead, rows, made)]


def _matrix(site: Site, slot: int, option: str) -> tuple[int, int]:
    """The places of an operand's axes of rows and columns."""
    last = len(site.axes(slot)) - 1
    return (last, last - 1) if site.options.get(option) else (last - 1, last)


def _axes(site: Site, slot: int, rows: int, columns: int) -> tuple[Ids, Ids]:
    return site.axes(slot)[rows], site.axes(slot)[columns]


ROWS: dict[str, Rule] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D": _conv_3d,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matrices,
}
