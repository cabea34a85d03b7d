"""Moving transpositions through a lowered network, until they meet and cancel or stand at its boundary.

A *region* is the set of tensors that must be stored permuted together: what stands between is an operator
that commutes (`commuting`), so that the network computes the same by construction. A region is
permuted if that moves fewer elements than before.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from onnx2tf.tflite_builder.ir import OperatorIR, TensorIR

from edgekit.sources.onnx.lowering import commuting
from edgekit.sources.onnx.lowering.commuting import Order, add_constant, fresh, inverse, order_of, sizes


class Links:
    """Which operator makes a tensor, and which read it, in a network that is not changed meanwhile."""

    def __init__(self, lowered: Any) -> None:
        self.makers = {name: operator for operator in lowered.operators for name in operator.outputs}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        for operator in lowered.operators:
            for name in dict.fromkeys(operator.inputs):
                self.readers[name].append(operator)


class Region:
    """The tensors that are stored permuted where ``start`` is, and what it costs."""

    def __init__(self, lowered: Any, start: str, order: Order, links: Links | None = None) -> None:
        self.lowered, self.order = lowered, order
        links = links or Links(lowered)
        self.makers, self.readers = links.makers, links.readers
        self._groups: dict[int, tuple[tuple[str, ...], ...]] = {}
        self.stored = self._grown(start)

    def _touching(self, name: str) -> list[Any]:
        maker = self.makers.get(name)
        return ([] if maker is None else [maker]) + self.readers[name]

    def _grown(self, start: str) -> dict[str, None]:
        stored: dict[str, None] = {}
        pending = [start]
        while pending:
            name = pending.pop()
            if name in stored:
                continue
            stored[name] = None
            for operator in self._touching(name):
                pending += [other for group in self.groups(operator) if name in group for other in group]
        return stored

    def groups(self, operator: Any) -> tuple[tuple[str, ...], ...]:
        """See `commuting.groups`."""
        if id(operator) not in self._groups:
            self._groups[id(operator)] = commuting.groups(self.lowered, operator, self.order)
        return self._groups[id(operator)]

    def commutes(self, operator: Any, name: str) -> bool:
        """Whether the operator takes or gives this tensor permuted."""
        return any(name in group for group in self.groups(operator))

    def touched(self) -> list[Any]:
        """The operators that take or give a tensor of the region permuted, each once."""
        found = {id(o): o for name in self.stored for o in self._touching(name) if self.commutes(o, name)}
        return list(found.values())

    def gain(self) -> int:
        """Elements that need not be moved any more, less those that then must be."""
        lost = 0
        for name in self.stored:
            maker = self.makers.get(name)
            if maker is not None and not self.commutes(maker, name):
                lost += int(np.prod(sizes(self.lowered, name)))
            if any(not self.commutes(reader, name) for reader in self.readers[name]):
                lost += int(np.prod(sizes(self.lowered, name)))
        return sum(self._saved(operator) for operator in self.touched()) - lost

    def _saved(self, operator: Any) -> int:
        """What a transposition, or a reshape that stands for one, moves now less what it will move."""
        source, out = operator.inputs[0], operator.outputs[0]
        if operator.op_type not in {"TRANSPOSE", "RESHAPE"}:
            return 0
        before, after = (sizes(self.lowered, name) for name in (source, out))
        if operator.op_type == "RESHAPE":  # moves nothing, but is an operator
            return int(before != after) - int(self._shape(source) != self._shape(out))
        own = order_of(self.lowered, operator) or ()
        composed = [own[axis] for axis in self.order] if out in self.stored else list(own)
        if source in self.stored:
            composed = [inverse(self.order)[axis] for axis in composed]
        count, plain = int(np.prod(before)), sorted(own)
        return count * (int(list(own) != plain) - int(composed != plain))

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape once the region is permuted."""
        shape = sizes(self.lowered, name)
        return tuple(shape[axis] for axis in self.order) if name in self.stored else shape

    def permute(self) -> None:
        """Store the region permuted, in place: the network computes what it did."""
        for operator in self.touched():
            commuting.change(self.lowered, operator, self.order, self.stored)
        for name in self.stored:
            self._keep_maker(name)
            self._keep_readers(name)
        for name in self.stored:
            tensor = self.lowered.tensors[name]
            tensor.shape = list(self._shape(name))
            tensor.shape_signature = list(tensor.shape)
        self.stored = {}
        for operator in list(self.lowered.operators):
            if is_identity(self.lowered, operator):
                bypass(self.lowered, operator)

    def _keep_maker(self, name: str) -> None:
        """Where the maker does not commute, its result is permuted after it."""
        maker = self.makers.get(name)
        if maker is None or self.commutes(maker, name):
            return
        inner = self._twin(name)
        maker.outputs = [inner if value == name else value for value in maker.outputs]
        self._insert(_position(self.lowered, maker) + 1, inner, self.order, name)

    def _keep_readers(self, name: str) -> None:
        """Readers that do not commute get what they read now."""
        readers = [reader for reader in self.readers[name] if not self.commutes(reader, name)]
        if not readers:
            return
        inner = self._twin(name)
        for reader in readers:
            reader.inputs = [inner if value == name else value for value in reader.inputs]
        first = min(_position(self.lowered, reader) for reader in readers)
        self._insert(first, name, inverse(self.order), inner)

    def _twin(self, name: str) -> str:
        """A new tensor, of the dtype and shape that this one has now."""
        inner, shape = fresh(self.lowered, name), sizes(self.lowered, name)
        self.lowered.tensors[inner] = TensorIR(inner, self.lowered.tensors[name].dtype, list(shape), list(shape))
        return inner

    def _insert(self, position: int, value: str, order: Order, out: str) -> None:
        axes = add_constant(self.lowered, f"{out}/perm", np.asarray(order, np.int32), "INT32")
        self.lowered.operators.insert(position, OperatorIR("TRANSPOSE", [value, axes], [out]))


def settle(lowered: Any, orders: dict[int, Order]) -> dict[str, Order]:
    """Permute every region if that is a gain, in place, from the boundary inwards.

    Args:
        lowered: the network.
        orders: by rank the order in which operators on images want their operands.

    Returns:
        The inputs and outputs that are stored permuted now, each with its order.
    """
    boundary = list(dict.fromkeys((*lowered.inputs, *lowered.outputs)))
    permuted: dict[str, Order] = {}
    seen: set[str] = set()
    links = Links(lowered)
    for start in (*boundary, *_turning(lowered, orders)):
        order = orders.get(len(sizes(lowered, start))) if start in lowered.tensors else None
        if order is None or start in seen:
            continue
        region = Region(lowered, start, order, links)
        stored = set(region.stored)
        seen |= stored
        if region.gain() > 0:
            region.permute()
            links = Links(lowered)
            permuted |= {name: order for name in boundary if name in stored}
    return permuted


def _turning(lowered: Any, orders: dict[int, Order]) -> list[str]:
    """The tensors that a transposition brings into those orders, or back from them."""
    found = []
    for operator in lowered.operators:
        own = order_of(lowered, operator)
        wanted = None if own is None else orders.get(len(own))
        if wanted is not None and own == wanted:
            found.append(operator.inputs[0])
        if wanted is not None and own == inverse(wanted):
            found.append(operator.outputs[0])
    return found


def _position(lowered: Any, operator: Any) -> int:
    return next(i for i, other in enumerate(lowered.operators) if other is operator)


def is_identity(lowered: Any, operator: Any) -> bool:
    """Whether a TRANSPOSE or RESHAPE gives what it takes."""
    if operator.op_type == "RESHAPE":
        return sizes(lowered, operator.inputs[0]) == sizes(lowered, operator.outputs[0])
    order = order_of(lowered, operator)
    return order is not None and list(order) == sorted(order)


def bypass(lowered: Any, operator: Any) -> None:
    """Take an identity away; between two tensors of the boundary it stays, as a reshape."""
    source, out = operator.inputs[0], operator.outputs[0]
    boundary = {*lowered.inputs, *lowered.outputs}
    if out not in boundary:
        rename(lowered, out, source)
    elif source not in boundary and any(source in other.outputs for other in lowered.operators):
        rename(lowered, source, out)
    else:
        shape = sizes(lowered, out)
        operator.op_type, operator.options = "RESHAPE", {"newShape": list(shape)}
        operator.inputs = [source, add_constant(lowered, f"{out}/shape", np.asarray(shape, np.int32), "INT32")]
        return
    lowered.operators = [other for other in lowered.operators if other is not operator]


def rename(lowered: Any, old: str, new: str) -> None:
    """Let everything that names one tensor name another, which takes its place where there is none yet."""
    tensor = lowered.tensors.pop(old, None)
    if tensor is None:
        return
    if new not in lowered.tensors:
        tensor.name = new
        lowered.tensors[new] = tensor
    for names in (lowered.inputs, lowered.outputs, *(x for o in lowered.operators for x in (o.inputs, o.outputs))):
        names[:] = [new if name == old else name for name in names]
