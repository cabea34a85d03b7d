"""What LiteRT's quantizer needs to know about LSTM operators, and dies without.

It takes the range of an LSTM's hidden state from the last of five *intermediate* tensors, which
TensorFlow's converter writes only when it calibrates by itself; without them it reads past the end
of an empty list. Source: ``operator_property.cc`` of LiteRT, case UNIDIRECTIONAL_SEQUENCE_LSTM.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

Range = tuple[float, float]

INTERMEDIATES = 5
"""Tensors between the gates; an LSTM without layer normalization uses the last, its hidden state."""

CELL_STATE = 19
"""Which of an LSTM's inputs is its cell state."""

CELL_HEADROOM = 4.0
"""Cell states are seen after the last step only, so they get 2 of their 16 bits as reserve."""


def add_intermediates(model: Any, ranges: dict[int, Range]) -> None:
    """Give every fused LSTM of a float file its intermediate tensors, and its cell state a wider range; in place.

    Args:
        model: object tree of the file; ranges are already written into its tensors.
        ranges: by tensor index of the main subgraph.
    """
    main = model.subgraphs[0]
    lstm = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    for operator in main.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode != lstm:
            continue
        hidden, cell = int(operator.outputs[0]), int(operator.inputs[CELL_STATE])
        if hidden not in ranges:
            continue
        if operator.intermediates is None or not len(operator.intermediates):
            operator.intermediates = np.array([_scalar(main, hidden, i) for i in range(INTERMEDIATES)], np.int32)
        for index in operator.intermediates:
            main.tensors[index].quantization = _ranged(*ranges[hidden])
        if cell in ranges:
            low, high = ranges[cell]
            main.tensors[cell].quantization = _ranged(low * CELL_HEADROOM, high * CELL_HEADROOM)


def _scalar(main: Any, hidden: int, number: int) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = b"intermediate_%d_%d" % (hidden, number), np.array([], np.int32)
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
    main.tensors.append(tensor)
    return len(main.tensors) - 1


def _ranged(low: float, high: float) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.min, quantization.max = [low], [high]
    return quantization
