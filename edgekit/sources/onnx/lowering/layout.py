"""The waist's layout at its boundary: transposes there are peeled off and remembered as permutations.

The converter keeps ONNX's layouts at the boundary and puts a transpose beside it, or behind what stands
first there, where the inside is channels-last. Moving that transpose through operators that commute with it
to the boundary, and writing its own permutation into the signature, is sound whatever the dimensions are,
equal ones too: nothing is guessed from shapes (see `edgekit.sources.onnx.lowering.moving`).
"""

from typing import Any

import numpy as np
import onnx
from onnx2tf.tflite_builder.ir import OperatorIR, TensorIR

from edgekit.sources.onnx.lowering.moving import rename, settle

CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
"""By rank: axis *k* of the channels-last tensor is axis ``CHANNELS_LAST[rank][k]`` of the channels-first one."""

SUFFIX = "/flat"
"""What the name of an output ends in while it is flattened."""


def flatten_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose image-like outputs are flattened, so that the order of their elements is binding.

    The converter's passes drop a transpose before an output by themselves, and say nothing (with
    equal dimensions not even the shape tells). Before a reshape they must keep it.
    """
    flat = onnx.ModelProto()
    flat.CopyFrom(model)
    for value in flat.graph.output:
        kind = value.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if len(sizes) not in CHANNELS_LAST:
            continue
        shape = onnx.numpy_helper.from_array(np.asarray([np.prod(sizes)], np.int64), f"{value.name}/size")
        flat.graph.initializer.append(shape)
        flat.graph.node.append(onnx.helper.make_node("Reshape", [value.name, shape.name], [value.name + SUFFIX]))
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name + SUFFIX, kind.elem_type, [int(np.prod(sizes))]))
    return flat


def peel(lowered: Any, shapes: dict[str, tuple[int, ...]], *, keep_layout: bool) -> dict[str, tuple[int, ...]]:
    """Settle the boundary, in place; with ``keep_layout`` it has the source's layout everywhere.

    Args:
        lowered: what the converter made of `flatten_outputs`.
        shapes: the outputs' shapes in the source.
        keep_layout: leave every transpose where it is.

    Returns:
        For every input and output that is not as in the source the permutation: axis *k* of the
        file's tensor is axis ``permutation[k]`` of the source's.
    """
    for flat in list(lowered.outputs):
        if flat.endswith(SUFFIX):
            _unflatten(lowered, flat, shapes[flat.removesuffix(SUFFIX)])
    return {} if keep_layout else settle(lowered, CHANNELS_LAST)


def _unflatten(lowered: Any, flat: str, shape: tuple[int, ...]) -> None:
    """Take the reshape of `flatten_outputs` away, or let it give the output's own shape."""
    name = flat.removesuffix(SUFFIX)
    maker = next((operator for operator in lowered.operators if flat in operator.outputs), None)
    _free(lowered, name, unless=maker.inputs[0] if maker else "")
    if maker is None:  # a constant
        lowered.tensors[flat].data = np.reshape(lowered.tensors[flat].data, shape)
        lowered.tensors[flat].shape = lowered.tensors[flat].shape_signature = list(shape)
        rename(lowered, flat, name)
        return
    inside = maker.inputs[0]
    whole = maker.op_type == "RESHAPE" and tuple(lowered.tensors[inside].shape) == shape
    if whole and inside not in lowered.outputs and inside not in lowered.inputs and _made(lowered, inside):
        lowered.operators = [operator for operator in lowered.operators if operator is not maker]
        lowered.outputs = [inside if value == flat else value for value in lowered.outputs]
        del lowered.tensors[flat]
        rename(lowered, inside, name)
        return
    _free(lowered, name)
    _append_reshape(lowered, flat, name, shape)
    lowered.outputs = [name if value == flat else value for value in lowered.outputs]
    _forget_chain(lowered, maker, flat)


def _made(lowered: Any, name: str) -> bool:
    return any(name in operator.outputs for operator in lowered.operators)


def _forget_chain(lowered: Any, maker: Any, flat: str) -> None:
    """Two reshapes in a row are one: the last may read what the first read."""
    last = lowered.operators[-1]
    if maker.op_type == "RESHAPE" and sum(flat in operator.inputs for operator in lowered.operators) == 1:
        last.inputs[0] = maker.inputs[0]
        lowered.operators = [operator for operator in lowered.operators if operator is not maker]
        del lowered.tensors[flat]


def _append_reshape(lowered: Any, value: str, out: str, shape: tuple[int, ...]) -> None:
    constant, sizes = f"{out}/shape", [int(size) for size in shape]
    lowered.tensors[out] = TensorIR(out, lowered.tensors[value].dtype, sizes, list(sizes))
    lowered.tensors[constant] = TensorIR(constant, "INT32", [len(sizes)], [len(sizes)], np.asarray(sizes, np.int32))
    lowered.operators.append(OperatorIR("RESHAPE", [value, constant], [out], {"newShape": sizes}))


def _free(lowered: Any, name: str, *, unless: str = "") -> None:
    """Take an output's name from the inner tensor that the converter gave it to (unless it is that output)."""
    if name in lowered.tensors and name != unless:
        inner = f"{name}/inside"
        while inner in lowered.tensors:
            inner += "_"
        rename(lowered, name, inner)
