"""Operators in the configuration of a layer, so that a lifted model can be saved and loaded as a Keras model.

Each is a TFLite file of its own that holds this operator alone, with the constants that it reads.
"""

import base64
from collections.abc import Collection
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, File, Operand, carried
from edgekit.waist import cutting, edit, graph
from edgekit.waist.tensors import Array

ORIGIN = Path("layer.tflite")
"""What complaints call such a file."""


def packed(call: Call) -> str:
    """An operator of a main graph, in base64.

    Raises:
        Unsupported: it runs other subgraphs.
    """
    if call.operator.calls:
        raise Unsupported(
            f"{call.operator.name} {call.results[0].name} runs other parts of the file, which no Keras layer holds.",
            place=call.results[0].name,
            fix="save the TFLite file instead",
        )
    operands = zip(call.operator.inputs, call.operands, strict=True)
    known = {tensor: operand.values for tensor, operand in operands if operand is not None and operand.known}
    read = [tensor for tensor in dict.fromkeys(call.operator.inputs) if tensor >= 0 and tensor not in known]
    whole = call.file.tree
    tree, places = cutting.apart(
        whole, [whole.subgraphs[0].operators[call.operator.index]], read, call.operator.outputs
    )
    tree.buffers = [copy(buffer) for buffer in tree.buffers]
    for tensor in read:  # weights are the layer's own
        tree.buffers[tree.subgraphs[0].tensors[places[tensor]].buffer].data = None
    for tensor, values in known.items():
        edit.set_constant(tree, places[tensor], np.ascontiguousarray(values))
    for result in call.results:
        tree.subgraphs[0].tensors[places[result.index]].shape = np.array(result.shape, np.int32)
    return base64.b64encode(graph.pack(tree)).decode()


def unpacked(text: str, weights: Collection[int]) -> Call:
    """The operator again.

    Args:
        text: what `packed` made.
        weights: slots of operands that are the layer's own variables.
    """
    file = File(graph.parse(base64.b64decode(text), ORIGIN))
    main = file.graphs[0]
    (operator,) = main.operators

    def operand(slot: int, tensor: int) -> Operand | None:
        """What an operator reads: a weight's form, samples ``[None, *shape]``, or a constant; None for no tensor."""
        if tensor < 0:
            return None
        described = main.tensors[tensor]
        if slot in weights:
            return Operand(tf.TensorSpec(described.shape, described.dtype))
        if tensor in main.inputs:
            return Operand(tf.TensorSpec([None, *described.shape], carried(described)), sampled=True)
        return file.constant((0, tensor))

    operands = tuple(operand(slot, tensor) for slot, tensor in enumerate(operator.inputs))
    return Call(operator, operands, tuple(main.tensors[tensor] for tensor in operator.outputs), file)


def text_of(values: Array) -> dict[str, Any]:
    """An array in a configuration."""
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return {"data": data, "dtype": str(values.dtype), "shape": list(values.shape)}


def array_of(told: dict[str, Any]) -> Array:
    """The array again."""
    return np.frombuffer(base64.b64decode(told["data"]), told["dtype"]).reshape(told["shape"])
