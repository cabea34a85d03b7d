"""Bounds that keep a division off zero, where no kernel makes NaN of them."""

from typing import Any

import numpy as np

from edgekit.waist import edit, graph


def bound_roots(model: Any) -> int:
    """Bound what a RSQRT takes instead of what it gives, in place: min(1/√s, c) is 1/√max(s, c⁻²).

    TensorFlow's converter turns the max of ``l2_normalize`` round. But RSQRT(0) is NaN in XNNPACK, so that
    the bound comes too late.

    Args:
        model: the object tree of a float file.

    Returns:
        How many roots were bounded.
    """
    main, bounded = model.subgraphs[0], 0
    while (found := _unbounded(model)) is not None:
        root, minimum, limit = found
        squared = np.asarray(1 / np.square(limit, dtype=np.float64), np.float32)
        taken = int(root.inputs[0])
        name = main.tensors[int(root.outputs[0])].name.decode()
        like = main.tensors[taken]
        bound = edit.add_constant(model, f"{name}/bound", squared)
        inside = edit.add_tensor(main, f"{name}/bounded", graph.ints(like.shape))
        place = next(k for k, operator in enumerate(main.operators) if operator is root)
        root.inputs, root.outputs = [inside], [int(minimum.outputs[0])]
        main.operators = [operator for operator in main.operators if operator is not minimum]
        edit.add_operator(model, "MAXIMUM", [taken, bound], [inside], at=place, kind="MaximumMinimumOptions")
        bounded += 1
    return bounded


def _unbounded(model: Any) -> tuple[Any, Any, np.ndarray[Any, np.dtype[Any]]] | None:
    """A RSQRT, the MINIMUM that alone reads it, and that one's positive constant of one element."""
    main, told = model.subgraphs[0], graph.describe(model)[0]
    roots = {told.operators[k].outputs[0]: k for k in range(len(told.operators)) if told.operators[k].name == "RSQRT"}
    for k, operator in enumerate(told.operators):
        if operator.name != "MINIMUM":
            continue
        for value, other in (operator.inputs, operator.inputs[::-1]):
            limit = graph.constant(model, 0, other)
            alone = sum(value in reader.inputs for reader in told.operators) == 1 and value not in told.outputs
            if value in roots and alone and limit is not None and limit.size == 1 and np.all(limit > 0):
                return main.operators[roots[value]], main.operators[k], limit
    return None
