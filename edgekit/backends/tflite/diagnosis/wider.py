"""Whether LiteRT has a kernel for an operator of integers whose activations would have 16 bits: it is tried."""

from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.backends.tflite.diagnosis.matching import Side
from edgekit.errors import Unsupported
from edgekit.waist import cutting, graph, run
from edgekit.waist.graph import Operator

LEVEL = 1 / 32768
"""The scale of activations: kernels whose results have a fixed range take no other, and all others take any."""

NARROW = {schema.TensorType.INT8, schema.TensorType.UINT8}


def runs(file: Side, operator: Operator) -> bool:
    """Whether an operator loads and runs by itself with int16 activations about 0, int8 weights and an int64 bias.

    Args:
        file: of integers.
        operator: one of its.
    """
    read = [t for t in dict.fromkeys(operator.inputs) if file.is_activation(t)]
    trees = [file.model.subgraphs[0].operators[operator.index]]
    model, _ = cutting.apart(file.model, trees, read, operator.outputs)
    for tensor in model.subgraphs[0].tensors:
        _widen(model, tensor)
    for tree in model.subgraphs[0].operators:
        if hasattr(tree.builtinOptions, "quantizedBiasType"):
            tree.builtinOptions = copy(tree.builtinOptions)
            tree.builtinOptions.quantizedBiasType = schema.TensorType.INT64
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{operator.name}.tflite"
        path.write_bytes(graph.pack(model))
        try:
            run.invoke(run.interpreter(path), path)
        except Unsupported:
            return False
    return True


def _widen(model: Any, tensor: Any) -> None:
    """Make int16 of an activation and int64 of a bias, in place."""
    held, scaled = model.buffers[tensor.buffer].data, tensor.quantization is not None
    if not scaled or tensor.quantization.scale is None:
        return
    if held is None and tensor.type in NARROW:
        tensor.type, tensor.quantization = schema.TensorType.INT16, copy(tensor.quantization)
        tensor.quantization.scale, tensor.quantization.zeroPoint = [LEVEL], [0]
    elif held is not None and tensor.type == schema.TensorType.INT32:
        bias = schema.BufferT()
        bias.data = np.asarray(held, np.uint8).view(np.int32).astype(np.int64).view(np.uint8)
        tensor.type, tensor.buffer = schema.TensorType.INT64, len(model.buffers)
        model.buffers.append(bias)
