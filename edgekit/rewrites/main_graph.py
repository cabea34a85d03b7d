"""The main graph of a TFLite file while it is rewritten: who makes and who reads each tensor, kept up to date."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

STATEFUL = frozenset({
    "ASSIGN_VARIABLE", "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "CALL", "CALL_ONCE", "HASHTABLE",
    "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "IF", "LSTM", "MULTINOMIAL", "RANDOM_STANDARD_NORMAL",
    "RANDOM_UNIFORM", "READ_VARIABLE", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN",
    "VAR_HANDLE", "WHILE",
})  # fmt: skip
"""What keeps state, runs other graphs or draws numbers: no rule touches it, and its order stays."""


@dataclass(eq=False)
class Node:
    """An operator: builtin name, tensors by index (-1: absent), options; ``tree`` is the schema's object."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    tree: Any
    gone: bool = False

    @property
    def fixed(self) -> bool:
        """Whether no rule may touch it."""
        return self.name in STATEFUL or self.name.startswith(("CUSTOM:", "BUILTIN", "STABLEHLO"))


@dataclass(frozen=True)
class Replacement:
    """``old`` operators, and the ``new`` ones that take their place.

    What ``old`` makes for others is made by ``new``, or is the ``same`` as a tensor that is there already.
    ``rescaled`` ones have weights that were multiplied by a number, and so were rounded once more. What ``old`` makes
    infinite or no number at all need not be the same if they are to agree ``where_finite``.
    """

    old: tuple[Node, ...]
    new: tuple[Node, ...] = ()
    same: dict[int, int] = field(default_factory=dict)
    rescaled: bool = False
    where_finite: bool = False


class MainGraph:
    """The main graph of an object tree, which is changed in place.

    Args:
        model: `edgekit.waist.graph.load`'s.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.tree = model, model.subgraphs[0]
        described = graph.describe(model)[0]
        self.inputs, self.outputs = frozenset(described.inputs), frozenset(described.outputs)
        trees = list(self.tree.operators)
        self.nodes = [Node(o.name, o.inputs, o.outputs, o.options, trees[o.index]) for o in described.operators]
        self.maker = {tensor: node for node in self.nodes for tensor in node.outputs}
        self._readers: dict[int, dict[Node, None]] = {}
        for node in self.nodes:
            self._read(node)
        self._variables = {tensor.index for tensor in described.tensors if tensor.variable}

    def _read(self, node: Node) -> None:
        for tensor in node.inputs:
            self._readers.setdefault(tensor, {})[node] = None

    def readers(self, tensor: int) -> tuple[Node, ...]:
        """The operators that read a tensor."""
        return tuple(self._readers.get(tensor, ()))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return graph.ints(self.tree.tensors[tensor].shape)

    def is_static(self, tensor: int) -> bool:
        """Whether the file says all of a tensor's shape."""
        signature = self.tree.tensors[tensor].shapeSignature
        return signature is None or -1 not in graph.ints(signature)

    def dtype(self, tensor: int) -> str:
        """A tensor's dtype, by numpy's name."""
        return graph.DTYPES.get(self.tree.tensors[tensor].type, "")

    def size_bytes(self, tensor: int) -> int:
        """What a tensor takes."""
        return prod(self.shape(tensor)) * np.dtype(self.dtype(tensor)).itemsize

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return bytes(self.tree.tensors[tensor].name or b"").decode("utf8", "replace")

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values lie in the file."""
        return tensor >= 0 and graph.is_constant(self.model, 0, tensor)

    def constant(self, tensor: int) -> Array | None:
        """A constant's values; None for activations, and for absent operands."""
        return graph.constant(self.model, 0, tensor) if self.is_constant(tensor) else None

    def alone(self, tensor: int) -> bool:
        """Whether a tensor is inner, and one operator alone reads it."""
        return tensor not in self.outputs and len(self._readers.get(tensor, ())) == 1

    def closed(self, nodes: Iterable[Node], last: Node) -> bool:
        """Whether nobody but some operators reads what they make, the results of the last one aside."""
        inside = set(nodes)
        between = {tensor for node in inside - {last} for tensor in node.outputs}
        return not between & self.outputs and all(inside.issuperset(self.readers(tensor)) for tensor in between)

    def activation(self, like: int, suffix: str, shape: Iterable[int]) -> int:
        """A new activation in the dtype of a tensor, and named after it."""
        return edit.add_tensor(self.tree, f"{self.name(like)}/{suffix}", tuple(shape), self.dtype(like))

    def add_constant(self, like: int, suffix: str, values: Array) -> int:
        """A new constant, named after a tensor."""
        return edit.add_constant(self.model, f"{self.name(like)}/{suffix}", np.ascontiguousarray(values))

    def node(self, name: str, inputs: Iterable[int], outputs: Iterable[int], kind: str = "", **options: Any) -> Node:
        """A new operator, which is in no graph yet; ``kind`` is that of its options in the schema."""
        given, made = tuple(inputs), tuple(outputs)
        tree = edit.operator(self.model, name, list(given), list(made))
        if kind:
            tree.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            tree.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in options.items():
                setattr(tree.builtinOptions, key, value)
        return Node(name, given, made, {} if not kind else dict(vars(tree.builtinOptions)), tree)

    def like(self, node: Node, inputs: Iterable[int], outputs: Iterable[int], **options: Any) -> Node:
        """A new operator of the same kind, with the options of another but for those that are given."""
        tree = schema.OperatorT()
        tree.__dict__.update(node.tree.__dict__)
        tree.inputs, tree.outputs = list(inputs), list(outputs)
        if options:
            tree.builtinOptions = type(node.tree.builtinOptions)()
            tree.builtinOptions.__dict__.update(node.tree.builtinOptions.__dict__, **options)
        return Node(node.name, tuple(tree.inputs), tuple(tree.outputs), node.options | options, tree)

    def applies(self, replacement: Replacement) -> bool:
        """Whether a replacement leaves inputs, outputs and state what they are."""
        if any(node.fixed or node.gone for node in replacement.old):
            return False
        touched = {tensor for node in replacement.old for tensor in (*node.inputs, *node.outputs)}
        renamed = [other for tensor, other in replacement.same.items() if tensor in self.outputs]
        if touched & self._variables or len({*renamed}) < len(renamed):
            return False
        return all(self.stands_in(tensor, other) for tensor, other in replacement.same.items())

    def stands_in(self, tensor: int, other: int) -> bool:
        """Whether another tensor can be read in a tensor's place: an output keeps its own name."""
        alike = self.shape(tensor) == self.shape(other) and self.dtype(tensor) == self.dtype(other)
        return alike and (tensor not in self.outputs or (other in self.maker and other not in self.outputs))

    def apply(self, replacement: Replacement) -> None:
        """Take a replacement; operators get their order at the end (`finish`)."""
        for node in replacement.old:
            node.gone = True
            for tensor in node.inputs:
                self._readers[tensor].pop(node, None)
            for tensor in node.outputs:
                if self.maker.get(tensor) is node:
                    del self.maker[tensor]
        for node in replacement.new:
            self._take_in(node)
        for tensor, other in sorted(replacement.same.items(), key=lambda pair: pair[0] in self.outputs):
            if tensor in self.outputs:  # the last, since it takes the other's place
                self._rename(other, tensor)
            else:
                self._redirect(tensor, other)

    def _take_in(self, node: Node) -> None:
        self.nodes.append(node)
        self._read(node)
        self.maker |= dict.fromkeys(node.outputs, node)

    def _redirect(self, old: int, new: int) -> None:
        """Let all that reads one tensor read another."""
        for node in self.readers(old):
            edit.redirect(node.tree, old, new)
            node.inputs = tuple(new if tensor == old else tensor for tensor in node.inputs)
            self._readers.setdefault(new, {})[node] = None
        self._readers.pop(old, None)

    def _rename(self, old: int, new: int) -> None:
        """Let what makes one tensor make another."""
        node = self.maker.pop(old)
        node.outputs = tuple(new if tensor == old else tensor for tensor in node.outputs)
        node.tree.outputs = list(node.outputs)
        self.maker[new] = node
        self._redirect(old, new)

    def finish(self) -> None:
        """Write the operators into the object tree, in an order in which each finds what it reads."""
        left = [node for node in self.nodes if not node.gone]
        self.nodes = list(_ordered(left, self.maker))
        self.tree.operators = [node.tree for node in self.nodes]
        edit.sweep(self.model)


def _ordered(nodes: list[Node], maker: dict[int, Node]) -> Iterator[Node]:
    """Operators behind those that they read from, else as they stand; those with state keep their order.

    What one reads from comes in the order of its inputs: sets of nodes have another one in each process.
    """
    before = {node: {maker[t]: None for t in node.inputs if t in maker} for node in nodes}
    fixed = [node for node in nodes if node.fixed]
    for first, second in pairwise(fixed):
        before[second][first] = None
    done: set[Node] = set()
    for node in nodes:
        waiting = deque([node])
        while waiting:
            one = waiting[-1]
            missing = [other for other in before[one] if other not in done] if one not in done else []
            waiting.extend(reversed(missing))
            if not missing:
                waiting.pop()
                if one not in done:
                    done.add(one)
                    yield one
