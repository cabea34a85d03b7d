"""Equal weights are stored once.

The converter gives every operator constants of its own. The steps of an unrolled LSTM all multiply
with the same matrix, and its file held that matrix once for each of them.
"""

import hashlib
from typing import Any

import numpy as np

WORTHWHILE_BYTES = 1024
"""Smaller constants stay apart: biases get scales of their own when they are quantized."""


def share(lowered: Any) -> None:
    """Let operators that read equal matrices read one, in the converter's intermediate form; in place.

    Args:
        lowered: onnx2tf's ``ModelIR``; subgraphs share among themselves only.
    """
    kept = {*lowered.inputs, *lowered.outputs}
    first: dict[tuple[str, tuple[int, ...], str], str] = {}
    instead: dict[str, str] = {}
    for name, tensor in lowered.tensors.items():
        if name not in kept and (content := _content(tensor)) is not None:
            equal = first.setdefault(content, name)
            if equal != name:
                instead[name] = equal
    for operator in lowered.operators:
        operator.inputs = [instead.get(name, name) for name in operator.inputs]
    for name in instead:
        del lowered.tensors[name]
    for subgraph in lowered.subgraphs:
        share(subgraph)


def _content(tensor: Any) -> tuple[str, tuple[int, ...], str] | None:
    """What makes two matrices equal; None for all else."""
    values = tensor.data
    if not isinstance(values, np.ndarray) or tensor.is_variable or tensor.quantization is not None:
        return None
    if values.ndim < 2 or values.nbytes < WORTHWHILE_BYTES:
        return None
    return tensor.dtype, tuple(tensor.shape), hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
