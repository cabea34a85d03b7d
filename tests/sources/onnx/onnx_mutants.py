"""ONNX files that somebody damaged or made to do harm: small models with one to three changes of their structure."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from tests.sources.onnx.onnx_cases import CASES

Random = np.random.Generator

SIZES = (-1, 0, 1, 2, 3, 7, 255, 65_537, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
"""Dimensions, axes and counts that break arithmetic or memory."""

KINDS = (
    "Relu", "Reshape", "Expand", "Tile", "ConstantOfShape", "Range", "Gather", "Concat", "Split", "Squeeze", "Resize",
    "Pad", "Slice", "TopK", "Identity", "LSTM", "If", "Einsum", "DFT", "OneHot", "Shape", "Cast",
)  # fmt: skip


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of mutants of `CASES`, the same for the same seed."""
    names = sorted(CASES)
    for number in range(count):
        random = np.random.default_rng((seed, number))
        name = names[int(random.integers(len(names)))]
        model = onnx.ModelProto()
        model.CopyFrom(CASES[name])
        changes = [MUTATIONS[int(random.integers(len(MUTATIONS)))] for _ in range(int(random.integers(1, 4)))]
        for change in changes:
            change(model, random)
        content = model.SerializeToString()
        if random.random() < 0.1:
            content = _flipped(content, random)
        yield f"{number} of {name}: {', '.join(change.__name__.strip('_') for change in changes)}", content


def _flipped(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for place in random.integers(len(changed), size=3):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _size(random: Random) -> int:
    return int(SIZES[int(random.integers(len(SIZES)))])


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    return model.graph.node[int(random.integers(len(model.graph.node)))] if model.graph.node else onnx.NodeProto()


def _name(model: onnx.ModelProto, random: Random) -> str:
    names = [name for node in model.graph.node for name in (*node.input, *node.output)] or ["x"]
    return names[int(random.integers(len(names)))]


def _domain(model: onnx.ModelProto, random: Random) -> None:
    _node(model, random).domain = ("ai.onnx", "com.microsoft", "ai.onnx.ml", "strange")[int(random.integers(4))]


def _kind(model: onnx.ModelProto, random: Random) -> None:
    _node(model, random).op_type = KINDS[int(random.integers(len(KINDS)))]


def _read_another(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.input:
        node.input[int(random.integers(len(node.input)))] = ("", "nothing", _name(model, random))[
            int(random.integers(3))
        ]


def _make_another(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.output:
        node.output[int(random.integers(len(node.output)))] = ("", _name(model, random))[int(random.integers(2))]


def _one_input_less(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.input:
        del node.input[int(random.integers(len(node.input)))]


def _node_less(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.node:
        del model.graph.node[int(random.integers(len(model.graph.node)))]


def _node_twice(model: onnx.ModelProto, random: Random) -> None:
    model.graph.node.append(_node(model, random))


def _turned_round(model: onnx.ModelProto, random: Random) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _attribute(model: onnx.ModelProto, random: Random) -> None:
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    if not attributes:
        return
    chosen = attributes[int(random.integers(len(attributes)))]
    chosen.i = _size(random)
    if chosen.ints:
        chosen.ints[int(random.integers(len(chosen.ints)))] = _size(random)
    chosen.s = b"\xff" if random.random() < 0.1 else chosen.s


def _attribute_less(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.attribute:
        del node.attribute[int(random.integers(len(node.attribute)))]


def _dimension(model: onnx.ModelProto, random: Random) -> None:
    values = [*model.graph.input, *model.graph.output]
    dims = values[int(random.integers(len(values)))].type.tensor_type.shape.dim
    if dims:
        dims[int(random.integers(len(dims)))].dim_value = _size(random)


def _dtype(model: onnx.ModelProto, random: Random) -> None:
    values = [*model.graph.input, *model.graph.output]
    values[int(random.integers(len(values)))].type.tensor_type.elem_type = int(random.integers(0, 25))


def _weight_shape(model: onnx.ModelProto, random: Random) -> None:
    tensors = [tensor for tensor in model.graph.initializer if tensor.dims]
    if tensors:
        dims = tensors[int(random.integers(len(tensors)))].dims
        dims[int(random.integers(len(dims)))] = _size(random)


def _weight_values(model: onnx.ModelProto, random: Random) -> None:
    """Weights that stand for shapes, axes and indices become extreme ones."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT64 and 0 < len(tensor.raw_data) <= 512:
            values = np.frombuffer(tensor.raw_data, np.int64).copy()
            values[int(random.integers(values.size))] = _size(random)
            tensor.raw_data = values.tobytes()


def _weight_less(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[int(random.integers(len(model.graph.initializer)))]


def _opset(model: onnx.ModelProto, random: Random) -> None:
    for entry in model.opset_import:
        entry.version = int(random.integers(0, 30))


def _ir_version(model: onnx.ModelProto, random: Random) -> None:
    model.ir_version = int(random.integers(0, 14))


def _expanded(model: onnx.ModelProto, random: Random) -> None:
    """A constant of gigabytes that the file spells in a few bytes."""
    size = int(random.choice([2**10, 2**24, 2**31, 2**40]))
    shape = numpy_helper.from_array(np.asarray([size], np.int64), "bomb_shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["bomb_shape"], ["bomb"]))
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["bomb"], ["bomb_sum"], keepdims=0))
    model.graph.output.append(onnx.helper.make_tensor_value_info("bomb_sum", onnx.TensorProto.FLOAT, []))


MUTATIONS: tuple[Callable[[onnx.ModelProto, Random], None], ...] = (
    _domain, _kind, _read_another, _make_another, _one_input_less, _node_less, _node_twice, _turned_round, _attribute,
    _attribute_less, _dimension, _dtype, _weight_shape, _weight_values, _weight_less, _opset, _ir_version, _expanded,
)  # fmt: skip
