"""The waist's layout at its boundary: transposes there are peeled off and remembered as permutations.

The converter keeps ONNX's layouts at the boundary and puts a transpose beside it where the inside
is channels-last. Taking that transpose away and writing its own permutation into the signature is
sound whatever the dimensions are, equal ones too: nothing is guessed from shapes.
"""

from typing import Any

import numpy as np
import onnx
from onnx2tf.tflite_builder.ir import OperatorIR, TensorIR

CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
"""By rank: axis *k* of the channels-last tensor is axis ``CHANNELS_LAST[rank][k]`` of the channels-first one."""

CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
"""The inverse of `CHANNELS_LAST`."""

LAYOUTS = {3: ("NWC", "NCW"), 4: ("NHWC", "NCHW"), 5: ("NDHWC", "NCDHW")}
"""By rank: the names of the two layouts."""


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
    permutations: dict[str, tuple[int, ...]] = {}
    for flat in list(lowered.outputs):
        if flat.endswith(SUFFIX):
            _unflatten(lowered, flat, shapes[flat.removesuffix(SUFFIX)])
    if keep_layout:
        return permutations
    for name in list(lowered.inputs):
        if (order := _peel_input(lowered, name)) is not None:
            permutations[name] = order
    for name in list(lowered.outputs):
        if (order := _peel_output(lowered, name)) is not None:
            permutations[name] = order
    return permutations


def _unflatten(lowered: Any, flat: str, shape: tuple[int, ...]) -> None:
    """Take the reshape of `flatten_outputs` away, or let it give the output's own shape."""
    name = flat.removesuffix(SUFFIX)
    maker = next((operator for operator in lowered.operators if flat in operator.outputs), None)
    _free(lowered, name, unless=maker.inputs[0] if maker else "")
    if maker is None:  # a constant
        lowered.tensors[flat].data = np.reshape(lowered.tensors[flat].data, shape)
        lowered.tensors[flat].shape = lowered.tensors[flat].shape_signature = list(shape)
        _rename(lowered, flat, name)
        return
    inside = maker.inputs[0]
    whole = maker.op_type == "RESHAPE" and tuple(lowered.tensors[inside].shape) == shape
    if whole and inside not in lowered.outputs and inside not in lowered.inputs and _made(lowered, inside):
        lowered.operators = [operator for operator in lowered.operators if operator is not maker]
        lowered.outputs = [inside if value == flat else value for value in lowered.outputs]
        del lowered.tensors[flat]
        _rename(lowered, inside, name)
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
        _rename(lowered, name, inner)


def _rename(lowered: Any, old: str, new: str) -> None:
    """Give a tensor another name, everywhere; nothing where there is no such tensor."""
    if old not in lowered.tensors:
        return
    tensor = lowered.tensors[old]
    tensor.name = new
    lowered.tensors = {new if key == old else key: value for key, value in lowered.tensors.items()}
    for names in (lowered.inputs, lowered.outputs, *(x for o in lowered.operators for x in (o.inputs, o.outputs))):
        names[:] = [new if name == old else name for name in names]


def _peel_input(lowered: Any, name: str) -> tuple[int, ...] | None:
    """Peel where everything that reads the input moves its channels last in the same way."""
    readers = [operator for operator in lowered.operators if name in operator.inputs]
    tensor = lowered.tensors[name]
    wanted = CHANNELS_LAST.get(len(tensor.shape))
    if not readers or wanted is None or name in lowered.outputs:
        return None
    if any(_order(lowered, reader, wanted) != wanted for reader in readers):
        return None
    moved = [reader.outputs[0] for reader in readers]
    if any(value in lowered.outputs for value in moved):
        return None
    lowered.operators = [operator for operator in lowered.operators if not any(operator is r for r in readers)]
    for operator in lowered.operators:
        operator.inputs = [name if value in moved else value for value in operator.inputs]
    for value in moved:
        del lowered.tensors[value]
    _reshape(tensor, wanted)
    return wanted


def _peel_output(lowered: Any, name: str) -> tuple[int, ...] | None:
    """Peel where nothing else needs the output, nor is its channels-last form at the boundary already."""
    maker = next((operator for operator in lowered.operators if name in operator.outputs), None)
    tensor = lowered.tensors[name]
    rank = len(tensor.shape)
    if maker is None or rank not in CHANNELS_FIRST or any(name in operator.inputs for operator in lowered.operators):
        return None
    inside = maker.inputs[0]
    produced = any(inside in operator.outputs for operator in lowered.operators)
    if _order(lowered, maker, CHANNELS_FIRST[rank]) != CHANNELS_FIRST[rank]:
        return None
    if inside in lowered.inputs or inside in lowered.outputs or not produced:
        return None
    lowered.operators = [operator for operator in lowered.operators if operator is not maker]
    for operator in lowered.operators:
        operator.inputs = [name if value == inside else value for value in operator.inputs]
        operator.outputs = [name if value == inside else value for value in operator.outputs]
    del lowered.tensors[inside]
    _reshape(tensor, CHANNELS_LAST[rank])
    return CHANNELS_LAST[rank]


def _order(lowered: Any, operator: Any, wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """The permutation of a TRANSPOSE, or of a RESHAPE that moves the same bytes as the wanted one."""
    if operator.op_type == "TRANSPOSE":
        order = lowered.tensors[operator.inputs[1]].data
        return None if order is None else tuple(int(axis) for axis in np.asarray(order).reshape(-1))
    if operator.op_type != "RESHAPE":
        return None
    before = tuple(int(dim) for dim in lowered.tensors[operator.inputs[0]].shape)
    after = tuple(int(dim) for dim in lowered.tensors[operator.outputs[0]].shape)
    if len(before) != len(wanted) or after != tuple(before[axis] for axis in wanted):
        return None
    # Only axes of size 1 move: then, and only then, a transpose leaves the bytes in their order.
    moving = [axis for axis in wanted if before[axis] != 1]
    return wanted if moving == sorted(moving) else None


def _reshape(tensor: Any, order: tuple[int, ...]) -> None:
    tensor.shape = [tensor.shape[axis] for axis in order]
    tensor.shape_signature = list(tensor.shape)
