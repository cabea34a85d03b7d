"""What range a network's first layer expects: one that starts by dividing by 255 wants 0..255.

Only what the waist still shows is seen. Where a converter folds a factor into the first convolution's
weights, its source tells (`edgekit.nouns.model.Waist`), or nothing can be told.
"""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.waist import graph

SMALLEST_TOP = 16.0
"""A first factor above 1/16 may be any scale; below, it brings raw sensor values (pixels) to about 1."""


def input_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """The range of each input that the waist's first operators scale to 0..1, or shift to -1..1.

    Args:
        path: a float TFLite file.

    Returns:
        By the input's name in the file (lowest, highest), for inputs that are first multiplied by one
        small positive constant (or divided by one large); other inputs are left out.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = graph.load(path)
    main = graph.read(path)[0]
    found = {}
    for index in main.inputs:
        first = _only_user(main, index)
        factor = None if first is None else _factor(model, first, index)
        if first is None or factor is None:
            continue
        then = _only_user(main, first.outputs[0])
        told = expected(factor, 0.0 if then is None else _shift(model, then, first.outputs[0]))
        if told is not None:
            found[main.tensors[index].name] = told
    return found


def expected(factor: float, shift: float) -> tuple[float, float] | None:
    """The lowest and highest value of an input that is first multiplied, then shifted; None if it may be any scale.

    With a shift down the network wants -1..1, the other habit beside 0..1.
    """
    if factor * SMALLEST_TOP > 1.0:
        return None
    return ((-1 - shift) / factor, (1 - shift) / factor) if shift < 0 else (0, 1 / factor)


def _only_user(main: graph.Graph, index: int) -> graph.Operator | None:
    users = [operator for operator in main.operators if index in operator.inputs]
    return users[0] if len(users) == 1 else None


def _scalar(model: Any, operator: graph.Operator, index: int) -> float | None:
    """The one constant that the operator combines the tensor with."""
    others = [i for i in operator.inputs if i != index]
    values = graph.constant(model, 0, others[0]) if len(operator.inputs) == 2 and others and others[0] >= 0 else None
    return float(np.asarray(values, np.float64).reshape(())) if values is not None and values.size == 1 else None


def _factor(model: Any, operator: graph.Operator, index: int) -> float | None:
    """What the operator multiplies the tensor by; None if it does anything else."""
    value = _scalar(model, operator, index)
    if value is None or not np.isfinite(value) or value <= 0:
        return None
    if operator.name == "DIV" and operator.inputs[0] == index:
        return 1.0 / value
    return value if operator.name == "MUL" else None


def _shift(model: Any, operator: graph.Operator, index: int) -> float:
    """What the operator adds to the tensor; 0 if it does anything else."""
    value = _scalar(model, operator, index)
    if value is None or not np.isfinite(value):
        return 0.0
    if operator.name == "SUB" and operator.inputs[0] == index:
        return -value
    return value if operator.name == "ADD" else 0.0
