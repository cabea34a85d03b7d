"""What moves values about: joins, parts, borders, order."""

import numpy as np

from edgekit.channels.cells import Axes, Ids
from edgekit.channels.site import NotFollowedError, Rule, Site


def _along(axes: Axes, axis: int, ids: Ids) -> Axes:
    """Axes with another one in a place."""
    return (*axes[:axis], ids, *axes[axis + 1 :])


def _reshape(site: Site) -> list[Axes]:
    return [site.reshaped(site.axes(0), site.results[0])]


def _transpose(site: Site) -> list[Axes]:
    return [tuple(site.axes(0)[site.axis(number)] for number in site.ints(1))]


def _concatenation(site: Site) -> list[Axes]:
    """Channels stand one operand after another, so that an operand that is joined with itself is tied to itself."""
    axis, first = site.axis(site.options["axis"]), site.axes(0)
    operands = [site.axes(slot) for slot in range(len(site.operands))]
    for other in operands[1:]:
        for number, ids in enumerate(other):
            if number != axis:
                site.cells.tie(first[number], ids)
    return [_along(first, axis, np.concatenate([axes[axis] for axes in operands]))]


def _pack(site: Site) -> list[Axes]:
    operands = [site.axes(slot) for slot in range(len(site.operands))]
    for other in operands[1:]:
        for one, ids in zip(operands[0], other, strict=True):
            site.cells.tie(one, ids)
    axis = int(site.options["axis"]) % (len(operands[0]) + 1)
    return [(*operands[0][:axis], site.fixed(len(operands)), *operands[0][axis:])]


def _unpack(site: Site) -> list[Axes]:
    axis = site.axis(site.options["axis"])
    site.keep(site.axes(0)[axis])
    return [(*site.axes(0)[:axis], *site.axes(0)[axis + 1 :])] * len(site.results)


def _split(site: Site) -> list[Axes]:
    """Parts of equal size, so that the same channels of each go."""
    axes, (number,) = site.axes(1), site.ints(0)
    axis = site.axis(number, 1)
    parts = axes[axis].reshape(len(site.results), -1)
    for part in parts[1:]:
        site.cells.tie(parts[0], part)
    return [_along(axes, axis, part) for part in parts]


def _split_by_sizes(site: Site) -> list[Axes]:
    axes, (number,) = site.axes(0), site.ints(2)
    axis = site.axis(number)
    ends = np.cumsum([shape[axis] for shape in site.results])
    return [_along(axes, axis, part) for part in np.split(axes[axis], ends[:-1])]


def _slice(site: Site) -> list[Axes]:
    begin = site.ints(1)
    return [
        tuple(ids[start : start + size] for ids, start, size in zip(site.axes(0), begin, site.results[0], strict=True))
    ]


def _strided_slice(site: Site) -> list[Axes]:
    options, axes = site.options, site.axes(0)
    if options.get("ellipsisMask") or options.get("newAxisMask"):
        raise NotFollowedError("it makes new axes")
    made: list[Ids] = []
    starts, stops, steps = (site.ints(slot) for slot in (1, 2, 3))
    for axis, ids in enumerate(axes):
        if axis >= len(starts):
            made.append(ids)
            continue
        stop = starts[axis] + stops[axis] if options.get("offset") else stops[axis]
        start = None if options.get("beginMask", 0) >> axis & 1 else starts[axis]
        if options.get("shrinkAxisMask", 0) >> axis & 1:
            site.keep(ids)
            continue
        taken = ids[start : None if options.get("endMask", 0) >> axis & 1 else stop : steps[axis]]
        if steps[axis] != 1:
            site.keep(ids)
        made.append(taken)
    return [tuple(made)]


def _gather(site: Site) -> list[Axes]:
    """Rows of a table, or chosen channels."""
    if site.options.get("batchDims"):
        raise NotFollowedError("it has batches")
    axes, chosen, axis = site.axes(0), site.axes(1), site.axis(site.options["axis"])
    if 1 in site.constants and len(chosen) == 1:
        return [_along(axes, axis, axes[axis][site.ints(1)])]
    site.keep(axes[axis], *chosen)
    if 0 in site.constants and axis == 0 and len(axes) == 2:
        site.makes(0, 1)
    return [(*axes[:axis], *chosen, *axes[axis + 1 :])]


def _embedding(site: Site) -> list[Axes]:
    """EMBEDDING_LOOKUP: the places, and the table."""
    table = site.weights(1)
    site.keep(table[0], *site.axes(0))
    site.makes(1, len(table) - 1)
    return [(*site.axes(0), *table[1:])]


def _pad(site: Site) -> list[Axes]:
    """What is added before and after is as many channels of its own."""
    made = []
    for ids, (before, after) in zip(site.axes(0), np.reshape(site.ints(1), (-1, 2)).tolist(), strict=True):
        made.append(np.concatenate([site.cells.new(before), ids, site.cells.new(after)]))
    return [tuple(made)]


def _mirror_pad(site: Site) -> list[Axes]:
    made = []
    for axis, (before, after) in enumerate(np.reshape(site.ints(1), (-1, 2)).tolist()):
        ids = site.axes(0)[axis]
        if before or after:
            site.keep(ids)
            ids = site.fixed(site.results[0][axis])
        made.append(ids)
    return [tuple(made)]


def _tile(site: Site) -> list[Axes]:
    return [tuple(np.tile(ids, times) for ids, times in zip(site.axes(0), site.ints(1), strict=True))]


def _broadcast_to(site: Site) -> list[Axes]:
    axes, shape = site.axes(0), site.results[0]
    made = []
    for back in range(len(shape), 0, -1):
        size = shape[-back]
        same = len(axes) >= back and axes[-back].size == size
        made.append(axes[-back] if same else site.cells.new(size))
    return [tuple(made)]


def _reverse(site: Site) -> list[Axes]:
    turned = {site.axis(number) for number in site.ints(1)}
    return [tuple(ids[::-1] if axis in turned else ids for axis, ids in enumerate(site.axes(0)))]


def _shape(site: Site) -> list[Axes]:
    """Whoever asks for the shape at run time might reckon with it."""
    site.keep(*site.axes(0))
    return [tuple(site.fixed(size) for size in site.results[0])]


ROWS: dict[str, Rule] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "EMBEDDING_LOOKUP": _embedding,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "TILE": _tile,
    "BROADCAST_TO": _broadcast_to,
    "REVERSE_V2": _reverse,
    "SHAPE": _shape,
}
