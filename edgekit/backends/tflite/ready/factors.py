"""Products of activations whose second factor has a zero point that nobody may choose.

XNNPACK's int8 BATCH_MATMUL takes the second factor's zero point for 0, and the runtime sets that of a softmax and of a
logistic to -128. With the factors exchanged, ``A · B = (Bᵀ · Aᵀ)ᵀ``, it is the first one's, which the kernel heeds.
"""

from typing import Any

import numpy as np

from edgekit.backends.tflite.ranges import UNCHANGED
from edgekit.waist import edit, graph
from edgekit.waist.graph import Operator

OFF_CENTRE = frozenset({"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"})
"""Operators whose results the runtime gives a grid of their own, with another zero point than 0."""


def exchange(model: Any) -> None:
    """Exchange the factors of such products, in place; if both have such a grid, the second gets another one."""
    described = graph.describe(model)[0]
    makers = {tensor: operator for operator in described.operators for tensor in operator.outputs}
    main, put = model.subgraphs[0], 0
    for operator in described.operators:
        if operator.name != "BATCH_MATMUL" or not _off_centre(makers, operator.inputs[1]):
            continue
        place, (first, second) = operator.index + put, operator.inputs
        name, shape = described.tensors[operator.outputs[0]].name, described.tensors[operator.outputs[0]].shape
        if _off_centre(makers, first):
            one = edit.add_constant(model, f"{name}/one", np.ones(1, np.float32))
            freed = edit.add_tensor(main, f"{name}/second", described.tensors[second].shape)
            edit.redirect(main.operators[place], second, freed)
            edit.add_operator(model, "MUL", [second, one], [freed], at=place, kind="MulOptions")
        else:
            turned = edit.add_tensor(main, f"{name}/turned", (*shape[:-2], shape[-1], shape[-2]))
            del main.operators[place]
            flags = {"adjX": not operator.options.get("adjY"), "adjY": not operator.options.get("adjX")}
            edit.add_operator(
                model, "BATCH_MATMUL", [second, first], [turned], at=place, kind="BatchMatMulOptions", **flags
            )
            order = np.asarray([*range(len(shape) - 2), len(shape) - 1, len(shape) - 2], np.int32)
            back = [turned, edit.add_constant(model, f"{name}/order", order)]
            main.operators.insert(place + 1, edit.operator(model, "TRANSPOSE", back, list(operator.outputs)))
        put += 1


def _off_centre(makers: dict[int, Operator], tensor: int) -> bool:
    """Whether a tensor's integers lie on the grid of a softmax or a logistic."""
    maker = makers.get(tensor)
    while maker is not None and maker.name in UNCHANGED:
        maker = makers.get(maker.inputs[1 if maker.name == "SPLIT" else 0])
    return maker is not None and maker.name in OFF_CENTRE
