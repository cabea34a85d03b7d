"""The waist's layout at its boundary: transposes there are peeled off and remembered as permutations.

The converter keeps ONNX's layouts at the boundary and puts a transpose beside it where the inside
is channels-last. Taking that transpose away and writing its own permutation into the signature is
sound whatever the dimensions are, equal ones too: nothing is guessed from shapes.
"""

from typing import Any

import numpy as np

CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
"""By rank: axis *k* of the channels-last tensor is axis ``CHANNELS_LAST[rank][k]`` of the channels-first one."""

CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
"""The inverse of `CHANNELS_LAST`."""

LAYOUTS = {3: ("NWC", "NCW"), 4: ("NHWC", "NCHW"), 5: ("NDHWC", "NCDHW")}
"""By rank: the names of the two layouts."""


def peel(lowered: Any) -> dict[str, tuple[int, ...]]:
    """Take channels-first/last transposes off the boundary, in place.

    Returns:
        For every input and output that changed the permutation: axis *k* of the file's tensor is
        axis ``permutation[k]`` of the source's.
    """
    permutations = {}
    for name in list(lowered.inputs):
        if (order := _peel_input(lowered, name)) is not None:
            permutations[name] = order
    for name in list(lowered.outputs):
        if (order := _peel_output(lowered, name)) is not None:
            permutations[name] = order
    return permutations


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
