"""What works on places and leaves channels alone: pooling, resizing, reductions, blocks of pixels."""

import numpy as np

from edgekit.channels.cells import Axes, Ids
from edgekit.channels.site import Rule, Site


def _channels_alone(site: Site) -> list[Axes]:
    """The last axis passes, and places stay."""
    return [_placed(site, site.axes(0)[-1])]


def _placed(site: Site, channels: Ids) -> Axes:
    """A result with other places and batches, and these channels."""
    site.keep(*site.axes(0)[:-1])
    return (*(site.fixed(size) for size in site.results[0][:-1]), channels)


def _reduced(site: Site) -> list[Axes]:
    """Reduced axes stay: a mean over fewer channels is another one."""
    axes = {site.axis(number) for number in site.ints(1)}
    made = []
    for axis, ids in enumerate(site.axes(0)):
        if axis not in axes:
            made.append(ids)
            continue
        site.keep(ids)
        if site.options.get("keepDims"):
            made.append(site.fixed(1))
    return [tuple(made)]


def _position(site: Site) -> list[Axes]:
    (number,) = site.ints(1)
    site.keep(site.axes(0)[site.axis(number)])
    return [tuple(ids for axis, ids in enumerate(site.axes(0)) if axis != site.axis(number))]


def _largest(site: Site) -> list[Axes]:
    site.keep(site.axes(0)[-1])
    made = (*site.axes(0)[:-1], site.fixed(site.results[0][-1]))
    return [made, made]


def _cumulated(site: Site) -> list[Axes]:
    (number,) = site.ints(1)
    site.keep(site.axes(0)[site.axis(number)])
    return [site.axes(0)]


def _depth_to_space(site: Site) -> list[Axes]:
    """Channels of a block's pixels stand one pixel after another: ``[block · block, channels]``."""
    given = site.axes(0)[-1].reshape(site.options["blockSize"] ** 2, -1)
    for ids in given[1:]:
        site.cells.tie(given[0], ids)
    return [_placed(site, given[0])]


def _space_to_depth(site: Site) -> list[Axes]:
    return [_placed(site, np.tile(site.axes(0)[-1], site.options["blockSize"] ** 2))]


ROWS: dict[str, Rule] = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _channels_alone),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _channels_alone),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), _channels_alone),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"), _reduced),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _position),
    "TOPK_V2": _largest,
    "CUMSUM": _cumulated,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
}
