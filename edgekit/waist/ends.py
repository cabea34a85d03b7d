"""Which operators compute each output, looking through those that only move or store numbers."""

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


JOINING = MOVING | frozenset(
    {
        "CONCATENATION",
        "GATHER",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "PACK",
        "SLICE",
        "SPLIT",
        "SPLIT_V",
        "STRIDED_SLICE",
        "SUB",
    }
)
"""Operators that make no error of single values larger, if all values are within 0..1."""


def sigmoids(path: Path) -> frozenset[str]:
    """Names of the outputs of a TFLite file that sigmoids alone compute: joined, chosen from or multiplied at most.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    main = graph.read(path)[0]
    maker = {index: operator for operator in main.operators for index in operator.outputs}

    def computes(output: int) -> bool:
        waiting, found = [output], set[int]()
        while waiting:
            index = waiting.pop()
            operator = maker.get(index)
            if index in main.inputs:
                return False
            if operator is None or operator.index in found:
                continue
            found.add(operator.index)
            if operator.name in JOINING:
                waiting.extend(operator.inputs)
            elif operator.name != "LOGISTIC":
                return False
        return any(main.operators[index].name == "LOGISTIC" for index in found)

    return frozenset(main.tensors[output].name for output in main.outputs if computes(output))
