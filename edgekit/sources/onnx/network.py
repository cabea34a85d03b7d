"""An ONNX graph while it is being rewritten: nodes in order, constants as arrays, shapes and dtypes by name."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]

LARGE_CONSTANT_BYTES = 4096
"""Constants above this size enter shape inference by type only: no operator's shape depends on them."""


ONNX_ERRORS = (
    onnx.shape_inference.InferenceError, onnx.version_converter.ConvertError, onnx.checker.ValidationError,
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
)  # fmt: skip
"""What onnx's own library raises for graphs that it does not take, its C++ part plain exceptions of all kinds."""


@dataclass
class Network:
    """A graph being rewritten.

    ``shapes`` holds the static shapes that are known (int tuples), ``dtypes`` numpy dtypes;
    ``inputs`` and ``outputs`` are names in the source's order.
    """

    nodes: list[onnx.NodeProto]
    constants: dict[str, Array]
    inputs: list[str]
    outputs: list[str]
    opset: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    numbered: dict[str, int] = field(default_factory=dict)
    """Stem → the last number that a name of it got."""

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "Network":
        """Take a model apart. Its inputs must have static shapes; initializers are no inputs."""
        graph = model.graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        network = cls(
            nodes=list(graph.node),
            constants=constants,
            inputs=[value.name for value in graph.input if value.name not in constants],
            outputs=[value.name for value in graph.output],
            opset=next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1),
            domains={
                entry.domain: entry.version for entry in model.opset_import if entry.domain not in {"", "ai.onnx"}
            },
        )
        for value in graph.input:
            network.learn(value)
        network.used = set(_names(graph))
        return network

    def learn(self, value: onnx.ValueInfoProto) -> None:
        """Take shape and dtype of a value if they are static."""
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type == 0:
            return
        self.dtypes[value.name] = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        dims = kind.shape.dim
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            self.shapes[value.name] = tuple(int(dim.dim_value) for dim in dims)

    def fresh(self, stem: str) -> str:
        """A name that is not used yet: the stem itself, or the stem with a number."""
        name, count = stem, self.numbered.get(stem, 0)
        while name in self.used or not name:
            count += 1
            name = f"{stem}_{count}"
        self.numbered[stem] = count
        self.used.add(name)
        return name

    def bytes(self, name: str) -> int | None:
        """The size of a value, None if its shape is not known; 4 for an element of unknown dtype."""
        shape, dtype = self.shape(name), self.dtype(name)
        return None if shape is None else math.prod(shape) * (dtype.itemsize if dtype is not None else 4)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The static shape of a value, None if it is not known."""
        if name in self.constants:
            return tuple(self.constants[name].shape)
        return self.shapes.get(name)

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """The dtype of a value, None if it is not known."""
        return self.constants[name].dtype if name in self.constants else self.dtypes.get(name)

    def proto(self, *, up_to_bytes: int | None = None) -> onnx.ModelProto:
        """The model as protobuf. Constants larger than ``up_to_bytes`` become inputs of the same type."""
        kept = self.nodes
        wanted = {name for node in kept for name in consumed(node)} | set(self.outputs)
        initializers, inputs = [], [self._info(name) for name in self.inputs]
        for name, value in self.constants.items():
            if name not in wanted:
                continue
            if up_to_bytes is None or value.nbytes <= up_to_bytes:
                initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
            else:
                inputs.append(
                    helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                )
        graph = helper.make_graph(
            kept, "edgekit", inputs, [self._info(name) for name in self.outputs], initializer=initializers
        )
        boundary = {*self.inputs, *self.outputs}
        made = [name for node in kept for name in node.output if name in self.shapes and name not in boundary]
        graph.value_info.extend(self._info(name) for name in made if name in self.dtypes)
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(d, v) for d, v in self.domains.items())]
        # The lowest IR version that the opset allows, so that every runtime reads it.
        return helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset <= 18 else 10)

    def _info(self, name: str) -> onnx.ValueInfoProto:
        dtype = self.dtype(name)
        if dtype is None:
            return onnx.ValueInfoProto(name=name)
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), self.shape(name))


MOST_PROPAGATED = 1 << 16
"""The longest list of numbers whose values shape inference may follow: it keeps each as a dimension of 100 bytes."""


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with the shapes that ONNX's inference knows, by the values of small tensors, too, if all lists are short.

    Raises:
        ONNX_ERRORS: it does not take the model.
    """
    plain = onnx.shape_inference.infer_shapes(model)
    kinds = (value.type.tensor_type for value in (*plain.graph.value_info, *plain.graph.output))
    if any(len(kind.shape.dim) == 1 and kind.shape.dim[0].dim_value > MOST_PROPAGATED for kind in kinds):
        return plain
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values; strings decoded."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {key: _decoded(value) for key, value in found.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [item.decode("utf8", "replace") for item in value]
    return value


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node carries as attributes (If, Loop, Scan)."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def consumed(node: onnx.NodeProto) -> Iterator[str]:
    """Every outer name that a node reads, also from inside its subgraphs."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        inner_reads = (name for inner in graph.node for name in consumed(inner))
        yield from (name for name in (*inner_reads, *(v.name for v in graph.output)) if name not in own)


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from every_graph(inner)


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a graph and of the graphs inside it."""
    for inner in every_graph(graph):
        yield from inner.node


def every_tensor(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Weights and attributes of a graph and of the graphs inside it."""
    for inner in every_graph(graph):
        yield from inner.initializer
        for attribute in (attribute for node in inner.node for attribute in node.attribute):
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def _names(graph: onnx.GraphProto) -> Iterable[str]:
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in subgraphs(node):
            yield from _names(inner)


class Uses:
    """Who makes and who reads the values of a network whose nodes stay as they are; looked up when first asked."""

    def __init__(self, network: Network) -> None:
        self._nodes = network.nodes

    @cached_property
    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node that makes each value."""
        return {name: node for node in self._nodes for name in node.output}

    @cached_property
    def readers(self) -> Counter[str]:
        """How many nodes read each value."""
        return Counter(name for node in self._nodes for name in set(consumed(node)))


class Builder:
    """Collects the nodes that replace one node.

    Every method returns the name of the value it makes. ``stem`` starts the new names, so that a
    reader of the result sees where they come from.
    """

    def __init__(self, network: Network, stem: str, uses: Uses | None = None) -> None:
        self.network = network
        self.uses = uses or Uses(network)
        self.nodes: list[onnx.NodeProto] = []
        self._stem = stem

    def const(self, value: Any, dtype: Any = None) -> str:
        """A constant."""
        name = self.network.fresh(f"{self._stem}_const")
        self.network.constants[name] = np.asarray(value, dtype)
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attrs: Any) -> str:
        """A node with one output; ``out`` names it, otherwise it gets a new name."""
        return self.ops(kind, *inputs, outs=[out or self.network.fresh(f"{self._stem}_{kind.lower()}")], **attrs)[0]

    def ops(self, kind: str, *inputs: str, outs: Sequence[str], **attrs: Any) -> list[str]:
        """A node with several outputs."""
        self.nodes.append(helper.make_node(kind, list(inputs), list(outs), **attrs))
        return list(outs)

    def reshape(self, value: str, shape: Sequence[int], out: str | None = None) -> str:
        """Same elements, new shape."""
        return self.op("Reshape", value, self.const(list(shape), np.int64), out=out)

    def transpose(self, value: str, order: Sequence[int], out: str | None = None) -> str:
        """Axes in another order."""
        return self.op("Transpose", value, perm=list(order), out=out)

    def slice(self, value: str, axis: int, start: int, stop: int, out: str | None = None) -> str:
        """``value[start:stop]`` on one axis, step 1."""
        return self.op("Slice", value, *(self.const([x], np.int64) for x in (start, stop, axis)), out=out)

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Consecutive parts of a value on one axis."""
        outs = [self.network.fresh(f"{self._stem}_part") for _ in sizes]
        return self.ops("Split", value, self.const(list(sizes), np.int64), outs=outs, axis=axis)

    def mean(self, value: str, axes: Sequence[int], out: str | None = None) -> str:
        """Mean over axes, which stay as 1."""
        return self._reduce("ReduceMean", 18, value, axes, out)

    def sum(self, value: str, axes: Sequence[int], out: str | None = None) -> str:
        """Sum over axes, which stay as 1."""
        return self._reduce("ReduceSum", 13, value, axes, out)

    def max(self, value: str, axes: Sequence[int], out: str | None = None) -> str:
        """Maximum over axes, which stay as 1."""
        return self._reduce("ReduceMax", 18, value, axes, out)

    def _reduce(self, kind: str, since: int, value: str, axes: Sequence[int], out: str | None) -> str:
        if self.network.opset >= since:  # axes became an input
            return self.op(kind, value, self.const(list(axes), np.int64), keepdims=1, out=out)
        return self.op(kind, value, axes=list(axes), keepdims=1, out=out)

    def same(self, value: str, out: str) -> None:
        """Give a value its outer name."""
        self.op("Identity", value, out=out)


Rewrite = Callable[[Builder, onnx.NodeProto], bool]
"""Replaces a node by what it appends to the builder; False if it does not apply."""


def rewrite(network: Network, rules: dict[str, Rewrite]) -> bool:
    """Apply to every node the rule for its operator (``Kind`` or ``domain:Kind``); True if one applied."""
    changed, nodes, uses = False, [], Uses(network)
    for node in network.nodes:
        rule = rules.get(kind(node))
        builder = Builder(network, node.output[0] if node.output else node.op_type, uses)
        if rule is not None and rule(builder, node):
            nodes += builder.nodes
            changed = True
        else:
            nodes.append(node)
    network.nodes = nodes
    return changed


def kind(node: onnx.NodeProto) -> str:
    """An operator's name, with its domain if that is not ONNX's own."""
    return node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"
