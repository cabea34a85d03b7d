"""Operators that LiteRT's quantizer must not see: it quantizes all that it knows, and cannot be told otherwise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph

COVER = schema.BuiltinOperator.MATRIX_DIAG
"""An operator that the quantizer leaves float, whatever it reads and writes (it never runs under the veil)."""

CALLERS = {"WHILE", "IF", "CALL_ONCE"}
"""Operators that call subgraphs, of which nobody saw the ranges."""


@dataclass(frozen=True)
class _Face:
    """What an operator was."""

    opcode: int
    options: tuple[Any, Any, Any, Any]


NARROW = {schema.TensorType.INT8, schema.TensorType.INT16}
"""Types of which the quantizer takes it that they have a scale, and dies if they are integers of the network's own."""


class Veil:
    """Operators of a file under another name, and its further subgraphs put aside; narrow integers as wide ones.

    Args:
        model: the object tree, changed in place.
        kept: operators of the main subgraph, by index, that go under the veil; those that call
            subgraphs always do.
    """

    def __init__(self, model: Any, kept: frozenset[int]) -> None:
        main = model.subgraphs[0]
        callers = {operator.index for operator in graph.describe(model)[0].operators if operator.name in CALLERS}
        self._known = list(model.operatorCodes)
        self._others, model.subgraphs = model.subgraphs[1:], [main]
        self._faces: dict[int, _Face] = {}
        _own_constants(model, kept | callers)
        for index in sorted(kept | callers):
            operator = main.operators[index]
            self._faces[len(model.operatorCodes)] = _Face(
                operator.opcodeIndex,
                (
                    operator.builtinOptionsType,
                    operator.builtinOptions,
                    operator.builtinOptions2Type,
                    operator.builtinOptions2,
                ),
            )
            operator.opcodeIndex = len(model.operatorCodes)
            operator.builtinOptionsType = operator.builtinOptions2Type = 0
            operator.builtinOptions = operator.builtinOptions2 = None
            model.operatorCodes.append(_cover())
        used = {operator.opcodeIndex for operator in main.operators}
        self._narrow = _widened(main)
        self._idle = set(range(len(self._known))) - used
        for index in self._idle:  # it fails on codes that no operator uses
            model.operatorCodes[index] = model.operatorCodes[max(used)]

    def lift(self, model: Any) -> None:
        """Give the operators of a quantized file their faces again, and the file its subgraphs; in place.

        Quantizers append operator codes, and keep the order of those that are there.
        """
        for operator in model.subgraphs[0].operators:
            face = self._faces.get(operator.opcodeIndex)
            if face is not None:
                operator.opcodeIndex = face.opcode
                (
                    operator.builtinOptionsType,
                    operator.builtinOptions,
                    operator.builtinOptions2Type,
                    operator.builtinOptions2,
                ) = face.options
        for tensor in model.subgraphs[0].tensors:
            if tensor.type == schema.TensorType.INT32:
                tensor.type = self._narrow.get(bytes(tensor.name or b""), tensor.type)
        for index in self._idle:
            model.operatorCodes[index] = self._known[index]
        model.subgraphs = [model.subgraphs[0], *self._others]


def _widened(main: Any) -> dict[bytes, int]:
    """Let computed integers of 8 and 16 bits pass for ones of 32; their types by name."""
    made = {int(index) for operator in main.operators for index in operator.outputs} | set(map(int, main.inputs))
    found = {}
    for tensor in (main.tensors[index] for index in sorted(made)):
        if tensor.type in NARROW and (tensor.quantization is None or tensor.quantization.scale is None):
            found[bytes(tensor.name or b"")] = tensor.type
            tensor.type = schema.TensorType.INT32
    return found


def _own_constants(model: Any, kept: set[int] | frozenset[int]) -> None:
    """Give operators that stay float their own copy of constants that others read, too: those become integers."""
    main = model.subgraphs[0]
    others = [operator for index, operator in enumerate(main.operators) if index not in kept]
    shared = {tensor for operator in others for tensor in graph.ints(operator.inputs)}
    for index in sorted(kept):
        for tensor in shared.intersection(graph.ints(main.operators[index].inputs)):
            values = graph.constant(model, 0, tensor) if tensor >= 0 else None
            if values is not None and values.dtype == np.float32:
                copy = edit.add_constant(model, f"{bytes(main.tensors[tensor].name or b'').decode()}_float", values)
                edit.redirect(main.operators[index], tensor, copy)


def _cover() -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = COVER, COVER, 1
    return code
