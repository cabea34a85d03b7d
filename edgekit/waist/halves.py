"""Weights that a file stores as float16 behind a DEQUANTIZE: the form of TFLite's float16 files."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph


def decode(model: Any) -> int:
    """Make float32 constants of all that DEQUANTIZE gives of float16 constants, in place.

    A float16 file computes in float32 on a CPU, so that nothing changes; but what looks for weights
    (quantizers, counters) finds them only so.

    Returns:
        How many constants were decoded.
    """
    decoded = 0
    for number, described in enumerate(graph.describe(model)):
        subgraph = model.subgraphs[number]
        operators = list(subgraph.operators or [])
        kept = []
        for operator, seen in zip(operators, described.operators, strict=True):
            source = seen.inputs[0] if seen.name == "DEQUANTIZE" else -1
            stored = source >= 0 and model.subgraphs[number].tensors[source].type == schema.TensorType.FLOAT16
            values = graph.constant(model, number, source) if stored else None
            if values is None:
                kept.append(operator)
                continue
            edit.set_constant(model, seen.outputs[0], values.astype(np.float32), number)
            decoded += 1
        if len(kept) < len(operators):
            subgraph.operators = kept
    return decoded
