"""What can be known before running: shapes by inference, constants by evaluation, dead nodes by absence of readers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import (
    LARGE_CONSTANT_BYTES,
    ONNX_ERRORS,
    Array,
    Network,
    attributes,
    consumed,
    inferred,
    subgraphs,
)
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, run, session

FOLD_LIMIT_BYTES = 1 << 22
"""A constant larger than this is not made if it is larger than all that it is computed from."""

RUN_LIMIT_BYTES = 1 << 28
"""A node whose results are larger is not evaluated at all."""

EXPANDING = {
    "CenterCropPad", "Col2Im", "ConstantOfShape", "ConvTranspose", "Expand", "MaxUnpool", "OneHot", "Pad", "Range",
    "Resize", "Tile", "Upsample",
}  # fmt: skip
"""Operators whose results may be far larger than what they read, because values say how large."""

OF_ONE = {"Concat", "Max", "Mean", "Min", "Sum"}
"""Operators that give their operand back if they have only one."""

SHAPING = {"Expand", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
"""Operators that keep the order of the elements (Expand, if it keeps their number)."""

SEQUENCES = {"SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceMap", "SplitToSequence"}
"""Operators that give no tensor, but a list of them."""

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
"""Operators that give something else at every run."""


def infer(network: Network) -> None:
    """Learn shapes and dtypes of all values that ONNX's shape inference can tell."""
    proto = network.proto(up_to_bytes=LARGE_CONSTANT_BYTES)
    try:
        known = inferred(proto).graph
    except ONNX_ERRORS:
        return
    for value in (*known.value_info, *known.output):
        network.learn(value)


def fold(network: Network) -> bool:
    """One round of folding; True if something changed.

    Constant nodes and shapes of static values become constants; nodes that read only constants
    are evaluated by ONNX Runtime; identities and nodes that nobody reads go away.
    """
    changed = _take_constants(network)
    changed |= _evaluate(network)
    _name_identities(network)
    changed |= _drop_identities(network)
    changed |= _name_makers(network)
    changed |= _drop_dead(network)
    return changed


def _take_constants(network: Network) -> bool:
    kept = []
    for node in network.nodes:
        value = _literal(node)
        if value is None:
            value = _known_shape(network, node)
        if value is None:
            kept.append(node)
        else:
            network.constants[node.output[0]] = value
    changed = len(kept) < len(network.nodes)
    network.nodes = kept
    return changed


def _literal(node: onnx.NodeProto) -> Array | None:
    if node.op_type != "Constant" or node.domain not in {"", "ai.onnx"}:
        return None
    name, value = next(iter(attributes(node).items()))
    if name == "value":
        return np.asarray(numpy_helper.to_array(value))
    if name in {"value_float", "value_floats"}:
        return np.asarray(value, np.float32)
    return np.asarray(value, np.int64) if name in {"value_int", "value_ints"} else None


def _known_shape(network: Network, node: onnx.NodeProto) -> Array | None:
    if node.op_type not in {"Shape", "Size"} or (shape := network.shape(node.input[0])) is None:
        return None
    if node.op_type == "Size":
        return np.asarray(np.prod(shape, dtype=np.int64))
    attrs = attributes(node)
    return np.asarray(shape[attrs.get("start", 0) : attrs.get("end", len(shape))], np.int64)


def _evaluate(network: Network) -> bool:
    known, ready = set(network.constants), []
    for node in network.nodes:
        if _foldable(network, node) and all(not name or name in known for name in node.input):
            ready.append(node)
            known.update(node.output)
    if not ready:
        return False
    values = _run(network, ready)
    folded = [node for node in ready if _worth(network, node, values)]
    for node in folded:
        network.constants.update({name: values[name] for name in node.output if name})
    done = {id(node) for node in folded}
    network.nodes = [node for node in network.nodes if id(node) not in done]
    return bool(folded)


def _foldable(network: Network, node: onnx.NodeProto) -> bool:
    """Whether a node may be evaluated: a tensor, the same at every run, and small, which is asked before it runs."""
    if node.op_type in RANDOM | SEQUENCES or any(True for _ in subgraphs(node)):
        return False
    sizes = [network.bytes(name) for name in node.output if name]
    if node.op_type in EXPANDING and None in sizes:
        return False  # until what it reads is constant, and shape inference can tell
    return sum(size or 0 for size in sizes) <= RUN_LIMIT_BYTES


def _worth(network: Network, node: onnx.NodeProto, values: dict[str, Any]) -> bool:
    """A node whose values are known, unless a small recipe would become a large constant."""
    names = [name for name in node.output if name]
    if any(not isinstance(values.get(name), np.ndarray) for name in names):
        return False
    made = sum(values[name].nbytes for name in names)
    read = sum(network.constants[name].nbytes for name in node.input if name in network.constants)
    if any(name and name not in network.constants and name not in values for name in node.input):
        return False
    return bool(made <= max(FOLD_LIMIT_BYTES, 2 * read))


def _run(network: Network, nodes: list[onnx.NodeProto]) -> dict[str, Any]:
    """Values of nodes that read only constants; one run for all, one by one if that fails."""
    try:
        return _run_together(network, nodes)
    except RUNTIME_ERRORS:
        values: dict[str, Any] = {}
        for node in nodes:
            try:
                values |= _run_together(network, [node], values)
            except RUNTIME_ERRORS:
                continue
        return values


def _run_together(
    network: Network, nodes: list[onnx.NodeProto], values: dict[str, Any] | None = None
) -> dict[str, Any]:
    made = [name for node in nodes for name in node.output if name]
    read = {name for node in nodes for name in node.input if name} - set(made)
    arrays = {name: network.constants[name] if name in network.constants else (values or {})[name] for name in read}
    graph = helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in made],
        initializer=[numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    opsets = [helper.make_opsetid("", network.opset), *(helper.make_opsetid(d, v) for d, v in network.domains.items())]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if network.opset <= 18 else 10)
    return dict(zip(made, run(session(model, optimize=False), {}), strict=True))


def _name_identities(network: Network) -> None:
    """Operators that change nothing.

    The converter drops them by itself, and if their result is an output it forgets the other readers of what
    they read.
    """
    makers = {name: node for node in network.nodes for name in node.output}
    for node in network.nodes:
        if node.domain in {"", "ai.onnx"} and (same := _same(network, node, makers)):
            node.op_type = "Identity"
            del node.input[:], node.output[1:], node.attribute[:]
            node.input.append(same)


def _same(network: Network, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> str | None:
    """The name of a value that is all that a node gives."""
    given = [name for name in node.input if name]
    alone = node.op_type in OF_ONE and len(given) == 1
    unbounded = node.op_type == "Clip" and len(given) == 1 and not node.attribute
    order = attributes(node).get("perm") if node.op_type == "Transpose" else None
    unused = node.op_type == "Dropout" and not any(node.output[1:])
    if alone or unbounded or unused or (order and list(order) == sorted(order)):
        return str(given[0])
    return _reshaped(network, node, makers) if node.op_type in SHAPING else None


def _reshaped(network: Network, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> str | None:
    """The value of a node's shape whose elements it gives, behind any number of such operators."""
    value: str = node.input[0]
    shape = network.shape(node.output[0])
    size = None if shape is None else math.prod(shape)
    while shape is not None and (found := network.shape(value)) is not None and math.prod(found) == size:
        if found == shape:
            return value
        if value not in makers or makers[value].op_type not in SHAPING:
            return None
        value = makers[value].input[0]
    return None


def _drop_identities(network: Network) -> bool:
    """Readers of an Identity read its input instead; an output keeps its name."""
    instead: dict[str, str] = {}
    kept = []
    for node in network.nodes:
        if node.op_type == "Identity" and node.output[0] not in network.outputs and node.domain in {"", "ai.onnx"}:
            instead[node.output[0]] = instead.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    if not instead:
        return False
    for node in kept:
        rename_inputs(node, instead)
    network.nodes = kept
    return True


def _name_makers(network: Network) -> bool:
    """What becomes an output through an Identity is made under the output's name."""
    outputs, made = set(network.outputs), {name: node for node in network.nodes for name in node.output}
    for identity in network.nodes:
        inside = identity.input[0] if identity.input else ""
        if identity.op_type != "Identity" or inside in outputs or inside not in made:
            continue
        maker, output = made[inside], identity.output[0]
        maker.output[list(maker.output).index(inside)] = output
        network.nodes = [node for node in network.nodes if node is not identity]
        for node in network.nodes:
            rename_inputs(node, {inside: output})
        return True
    return False


def rename_inputs(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Let a node (and the graphs inside it) read other names."""
    for i, name in enumerate(node.input):
        if name in names:
            node.input[i] = names[name]
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {name for inner in graph.node for name in inner.output}
        outer = {old: new for old, new in names.items() if old not in own}
        for inner in graph.node:
            rename_inputs(inner, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def _drop_dead(network: Network) -> bool:
    wanted, kept = set(network.outputs), []
    for node in reversed(network.nodes):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted.update(consumed(node))
    changed = len(kept) < len(network.nodes)
    network.nodes = kept[::-1]
    network.constants = {name: value for name, value in network.constants.items() if name in wanted}
    return changed


def settle(network: Network, resolve: Callable[[Network], bool]) -> None:
    """Infer shapes, fold, and resolve control flow, until nothing changes any more."""
    infer(network)
    while any([fold(network), resolve(network)]):
        infer(network)
