"""A trained network with the channels between its layers apart, which computes the same."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.equalization import weights
from edgekit.waist import edit, graph


def as_float(model: Any) -> None:
    """Store int8 weights, of a file whose activations are float32, as float32."""
    for tensor in graph.describe(model)[0].tensors:
        if tensor.dtype == "int8":
            values = graph.constant(model, 0, tensor.index)
            assert values is not None
            shape = [-1 if axis == tensor.axis else 1 for axis in range(values.ndim)]
            stored = model.subgraphs[0].tensors[tensor.index]
            stored.type, stored.quantization = schema.TensorType.FLOAT32, None
            scaled = values * np.array(tensor.scales).reshape(shape if len(tensor.scales) > 1 else ())
            edit.set_constant(model, tensor.index, scaled.astype("f"))


def spread_out(model: Any, apart: float, seed: int = 0) -> int:
    """Multiply the channels between layers by up to ``apart``, in place, without changing the float function."""
    random = np.random.default_rng(seed)
    pairs = list(weights.pairs(model, graph.describe(model)[0]))
    for first, second, _ in pairs:

        def changed(found: Any, tensor: int, factor: Any) -> None:
            values = graph.constant(model, 0, tensor)
            assert values is not None
            edit.set_constant(model, tensor, (values * factor).astype("f"))

        factors = apart ** random.uniform(-0.5, 0.5, first.weights.shape[-1 if first.weights.shape[0] == 1 else 0])
        depthwise = first.operator.name == "DEPTHWISE_CONV_2D"
        changed(first, first.kernel, factors if depthwise else factors.reshape(-1, *[1] * (first.weights.ndim - 1)))
        changed(first, first.bias, factors)
        changed(second, second.kernel, 1 / factors)  # in the last axis, of all kinds without a multiplier or groups
    return len(pairs)
