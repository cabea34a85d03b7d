"""Operators that only move values, from one tensor to wherever they are read, in the shortest way that there is.

Pairs of TRANSPOSE that cancel, RESHAPE behind RESHAPE, the shuffle of channels that frameworks write as five operators,
GATHER of a range of indices: what a tree of such operators does is read off the indices of the values
(`edgekit.rewrites.index_maps`), and written anew if that is cheaper.
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np

from edgekit.rewrites import index_maps
from edgekit.rewrites.index_maps import MOVERS, Indices, Step
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = MOVERS

MOST_ELEMENTS = 1 << 21
"""Of a tensor whose indices are looked at: 16 MiB in int64."""

MOST_NODES = 64
"""Of a tree."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """A cheaper tree of movers from the tensor that an operator reads, if it is the first of the tree."""
    source = index_maps.data(node)
    maker = main.maker.get(source)
    first = next((reader for reader in main.readers(source) if _moves(reader, source)), None)
    if first is not node or (maker is not None and maker.name in MOVERS and not maker.fixed):
        return None
    if main.is_constant(source) or not 0 < prod(main.shape(source)) <= MOST_ELEMENTS:
        return None
    tree = _tree(main, source)
    if tree is None:
        return None
    writer = _Writer(main, source)
    old = sum(index_maps.cost(one.name, len(main.shape(one.outputs[0]))) for one in tree.nodes)
    for tensor, indices in tree.leaves.items():
        found = index_maps.steps(main.shape(source), indices)
        if found is None or not writer.plan(tensor, found):
            return None
    cheaper = writer.cost < old and writer.count <= len(tree.nodes)
    return writer.written(tree.nodes) if cheaper else None


def _moves(node: Node, tensor: int) -> bool:
    return node.name in MOVERS and index_maps.data(node) == tensor


@dataclass
class _Tree:
    """Movers, and the indices of what others read of their results."""

    nodes: list[Node] = field(default_factory=list)
    leaves: dict[int, Indices] = field(default_factory=dict)


def _tree(main: MainGraph, source: int) -> _Tree | None:
    """All movers that read a tensor, or what they make of it; None if what one does is not known."""
    shape = main.shape(source)
    waiting = [(source, np.arange(prod(shape), dtype=np.int64).reshape(shape))]
    tree = _Tree()
    while waiting:
        tensor, indices = waiting.pop()
        readers = main.readers(tensor)
        movers = [reader for reader in readers if _moves(reader, tensor)]
        if tensor != source and (tensor in main.outputs or len(movers) < len(readers)):
            tree.leaves[tensor] = indices
        for mover in movers:
            made = index_maps.moved(main, mover, indices)
            if made is None or len(tree.nodes) >= MOST_NODES:
                return None
            tree.nodes.append(mover)
            waiting += zip(mover.outputs, made, strict=True)
    return tree


class _Writer:
    """Plans a tree, in which steps that several leaves share are one, and writes it if it is wanted."""

    def __init__(self, main: MainGraph, source: int) -> None:
        self._main, self._source = main, source
        self._planned: dict[tuple[Step, ...], tuple[int, ...]] = {}
        self._leaves: dict[int, tuple[Step, ...]] = {}
        self.cost = 0

    def plan(self, tensor: int, steps: list[Step]) -> bool:
        """Take in how a leaf is made; False if it cannot be."""
        main, path = self._main, tuple(steps)
        if not path and tensor in main.outputs and not main.stands_in(tensor, self._source):
            path = (("RESHAPE", main.shape(tensor)),)
        shape = main.shape(self._source)
        for length, (name, told) in enumerate(path, start=1):
            shape = _shape(shape, name, told)
            if path[:length] not in self._planned:
                self._planned[path[:length]] = shape
                self.cost += index_maps.cost(name, len(shape))
        self._leaves[tensor] = path
        return shape == main.shape(tensor)

    @property
    def count(self) -> int:
        """How many operators the tree takes."""
        return len(self._planned)

    def written(self, old: list[Node]) -> Replacement:
        """The tree; a leaf that is made on the way to another one is read from there."""
        main, made = self._main, dict[tuple[Step, ...], int]({(): self._source})
        new: list[Node] = []
        owner = {path: tensor for tensor, path in self._leaves.items() if path}
        for path in sorted(self._planned, key=len):
            shape = self._planned[path]
            made[path] = owner.get(path, -1)
            if made[path] < 0:
                made[path] = main.activation(self._source, f"moved_{len(new)}", shape)
            new.append(_node(main, path[-1], made[path[:-1]], made[path]))
        same = {tensor: made[path] for tensor, path in self._leaves.items() if made[path] != tensor}
        return Replacement(tuple(old), tuple(new), same)


def _shape(
    shape: tuple[int, ...], name: str, told: tuple[int, ...] | tuple[tuple[int, int, int], ...]
) -> tuple[int, ...]:
    if name == "TRANSPOSE":
        return tuple(shape[int(axis)] for axis in told)  # type: ignore[arg-type]
    if name == "RESHAPE":
        return told  # type: ignore[return-value]
    return tuple((end - begin - 1) // stride + 1 for begin, end, stride in told)  # type: ignore[misc]


def _node(main: MainGraph, step: Step, source: int, made: int) -> Node:
    name, told = step

    def constant(values: object) -> int:
        return main.add_constant(made, f"{name.lower()}_{len(main.tree.tensors)}", np.array(values, np.int32))

    if name == "RESHAPE":
        return main.node(name, (source, constant(told)), (made,), "ReshapeOptions", newShape=list(told))
    if name == "TRANSPOSE":
        return main.node(name, (source, constant(told)), (made,), "TransposeOptions")
    begin, end, stride = zip(*told, strict=True)
    if name == "SLICE":
        size = [last - first for first, last in zip(begin, end, strict=True)]
        return main.node(name, (source, constant(begin), constant(size)), (made,), "SliceOptions")
    return main.node(name, (source, constant(begin), constant(end), constant(stride)), (made,), "StridedSliceOptions")
