"""Surgery: a file without some channels, physically smaller; and the same file with them at zero, for comparison."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.channels.cells import Axes, Ids
from edgekit.channels.dependencies import Dependencies, Use
from edgekit.channels.mending import MENDED
from edgekit.channels.site import Place
from edgekit.waist import copies, edit, graph
from edgekit.waist.tensors import Array

Kept = NDArray[np.bool_]
"""Which indices of an axis stay, ``[size]``."""


class Rest:
    """What is left of each axis once channels are gone."""

    def __init__(self, dependencies: Dependencies, gone: Collection[int]) -> None:
        self.dependencies = dependencies
        self._kept = np.ones(dependencies.size + 1, bool)  # the last one stands for what stays
        self._kept[list(gone)] = False

    def kept(self, ids: Ids) -> Kept:
        """Which indices of an axis stay."""
        return self._kept[ids]

    def whole(self, axes: Axes) -> bool:
        """Whether nothing of a tensor goes."""
        return all(bool(self.kept(ids).all()) for ids in axes)

    def shape(self, axes: Axes) -> tuple[int, ...]:
        """What is left of a tensor's shape."""
        return tuple(int(self.kept(ids).sum()) for ids in axes)

    def values(self, axes: Axes, whole: Array) -> Array:
        """What is left of a constant, or of an activation ``[N, *shape]``."""
        for axis, ids in enumerate(axes, start=whole.ndim - len(axes)):
            kept = self.kept(ids)
            whole = whole if kept.all() else np.compress(kept, whole, axis)
        return whole


def cut(dependencies: Dependencies, gone: Collection[int]) -> Any:
    """The object tree without channels; tensors and operators keep their indices.

    Args:
        dependencies: of the network.
        gone: the channels, as its families name them.
    """
    tree, what = deepcopy(dependencies.tree), Rest(dependencies, gone)
    main = tree.subgraphs[0]
    for index, axes in dependencies.tensors.items():
        main.tensors[index].shape = np.array(what.shape(axes), np.int32)
    _write_all(tree, dependencies, dict(_changes(what, tree)))
    copies.share(tree)
    edit.sweep(tree)
    return tree


def packed(tree: Any) -> bytes:
    """A tree as a file without what nobody reads; it is changed."""
    edit.sweep(tree)
    edit.compact(tree)
    return graph.pack(tree)


def _changes(what: Rest, tree: Any) -> Iterator[tuple[Use, Array]]:
    """Constants as operators are to read them."""
    dependencies = what.dependencies
    for use, axes in dependencies.constants.items():
        if not what.whole(axes):
            yield use, what.values(axes, dependencies.values(use))
    for operator in dependencies.graph.operators:
        if operator.name in MENDED:
            for slot, values in MENDED[operator.name](what, operator, tree.subgraphs[0].operators[operator.index]):
                yield (operator.index, slot), values


def _write_all(tree: Any, dependencies: Dependencies, changes: Mapping[Use, Array]) -> None:
    """Change constants as operators are to read them."""
    changed: dict[int, dict[Use, Array]] = defaultdict(dict)
    for use, values in changes.items():
        changed[dependencies.operand(use)][use] = values
    for index, uses in changed.items():
        _write(tree, index, uses, dependencies.readers(index))


def _write(tree: Any, index: int, uses: dict[Use, Array], readers: Collection[Use]) -> None:
    """Change a constant; if those who read it want different values, they get constants of their own."""
    main, made = tree.subgraphs[0], dict[bytes, int]()
    free = set(readers) == set(uses) and index not in graph.ints(main.outputs)
    for (operator, slot), values in uses.items():
        key = values.tobytes() + bytes(str(values.shape), "ascii")
        if key not in made and free:
            made[key], free = index, False
            main.tensors[index].shape = np.array(values.shape, np.int32)
            edit.set_constant(tree, index, values)
        elif key not in made:
            name = (main.tensors[index].name or b"").decode()
            made[key] = edit.add_constant(tree, name, np.ascontiguousarray(values))
            main.tensors[made[key]].quantization = main.tensors[index].quantization
        inputs = list(graph.ints(main.operators[operator].inputs))
        inputs[slot] = made[key]
        main.operators[operator].inputs = inputs


def masked(dependencies: Dependencies, gone: Collection[int]) -> Any:
    """The object tree at full size in which nobody heeds the channels: the weights that sum over them are zero."""
    tree = deepcopy(dependencies.tree)
    _write_all(tree, dependencies, zeroed(dependencies, (c.place for c in dependencies.contractions), gone))
    return tree


def zeroed(dependencies: Dependencies, places: Iterable[Place], gone: Collection[int]) -> dict[Use, Array]:
    """Weights that sum over channels, with zeros for those that are gone; only what changes."""
    what, changes = Rest(dependencies, gone), dict[Use, Array]()
    for operator, slot, axis in dict.fromkeys(places):
        use = operator, slot
        kept = what.kept(dependencies.constants[use][axis])
        if not kept.all():
            values = changes.setdefault(use, np.array(dependencies.values(use)))
            values[(slice(None),) * axis + (~kept,)] = 0
    return changes
