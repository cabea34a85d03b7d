"""Which operator computes each output, looking through those that only move or store numbers."""

from pathlib import Path

from edgekit.waist import graph

MOVING = frozenset({"CAST", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE", "TRANSPOSE"})


def ends(path: Path) -> dict[str, str]:
    """By output's name in a TFLite file, the operator that computes it; outputs that none computes are left out.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    main = graph.read(path)[0]
    maker = {index: operator for operator in main.operators for index in operator.outputs}
    found = {}
    for output in main.outputs:
        index, operator = output, maker.get(output)
        while operator is not None and operator.name in MOVING:
            index = operator.inputs[0]
            operator = maker.get(index)
        if operator is not None:
            found[main.tensors[output].name] = operator.name
    return found
