"""Operators that NNCF must leave float, by what they compute (see `edgekit.waist.exact`), whatever the source.

Beside index arithmetic and guards:

* **Masks.** -1e9, the lowest float and -inf before a softmax leave nothing of an integer range for the
  scores. What is between the layers and such a softmax stays float.
* **Spectra.** The power of a spectrum spans many decades, and a logarithm tells all of them apart: what
  leads from an input to a LOG by linear layers and squares alone (a STFT and its mel bank) stays float.
* **Inputs far from 0** beside what they change by (see `edgekit.waist.offsets`): what reads them stays float.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.backends.openvino.wiring import LAYER, Read
from edgekit.waist import offsets
from edgekit.waist.exact import ELEMENTWISE, GUARDED, MOVES, REDUCTIONS, guarded, index_arithmetic
from edgekit.waist.graph import Operator
from edgekit.waist.movement import LOOKED_AT
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

LARGE = 64.0
"""Constants as large as that, before a softmax, are masks: exp(-64) is below the last bit of any float32 sum."""

SPECTRA = "they compute a spectrum for a logarithm"
"""Why layers stay float."""

_MASKING = {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SELECT_V2"}

_POWER = {"SQUARE", "ABS", "POW", "SQRT"}

_SPECTRAL = MOVES | REDUCTIONS | _POWER | {LAYER, "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "NEG"}
"""What a spectrum is made by: no activation function is among them."""


def names(model: Any, samples: Sequence[Mapping[str, Array]] = ()) -> dict[str, frozenset[str]]:
    """Friendly names of the operators that stay float, by reason. Names that occur twice are made unique, in place.

    Args:
        model: float ``openvino.Model``.
        samples: ``[*shape]`` each, by the name of an input.
    """
    _distinct(model)
    read = Read(model)
    given = {port.any_name: place for place, port in zip(read.wiring.graph.inputs, model.inputs, strict=True)}
    shown = [samples[place] for place in evenly(len(samples), LOOKED_AT)]
    seen = {given[name]: np.stack([sample[name] for sample in shown]) for name in (shown[0] if shown else ())}
    found = {
        "whole numbers are computed from them": index_arithmetic(read.wiring) | _grids(read),
        "they divide, or lead to a root or a logarithm": guarded(read.wiring, GUARDED),
        "they mask a softmax": frozenset(_masks(read)),
        SPECTRA: frozenset(_spectra(read)),
        offsets.READERS: offsets.readers(read.wiring, offsets.inputs(read.wiring, seen)),
    }
    return {
        reason: frozenset(read.nodes[index].get_friendly_name() for index in operators)
        for reason, operators in found.items()
        if operators
    }


def _distinct(model: Any) -> None:
    taken: set[str] = set()
    for place, node in enumerate(model.get_ordered_ops()):
        if node.get_friendly_name() in taken:
            node.set_friendly_name(f"{node.get_friendly_name()}/{place}")
        taken.add(node.get_friendly_name())


def _grids(read: Read) -> frozenset[int]:
    """What leads to the coordinates of a GridSample."""
    grids = [operator.inputs[1] for operator in read.wiring.graph.operators if operator.name == "GridSample"]
    return frozenset(operator.index for operator in read.wiring.chain(grids, MOVES | ELEMENTWISE))


def _masks(read: Read) -> Iterator[int]:
    """What lies between layers and a softmax, if something there is a mask."""
    for softmax in read.wiring.graph.operators:
        if softmax.name != "SOFTMAX":
            continue
        behind = list(read.wiring.chain(softmax.inputs[:1], MOVES | ELEMENTWISE))
        if any(_masking(read, operator) for operator in behind):
            yield from (operator.index for operator in behind)


def _masking(read: Read, operator: Operator) -> bool:
    """Whether an operator chooses, holds a large constant, or joins something that no layer made."""
    if operator.name not in _MASKING:
        return False
    large = any(np.abs(values).max(initial=0) >= LARGE for values in read.constants(operator))
    operands = read.wiring.activations(operator)
    given = len(operands) > 1 and any(_given(read, tensor) for tensor in operands)
    return operator.name == "SELECT_V2" or large or given


def _given(read: Read, tensor: int) -> bool:
    """Whether an operand is computed from inputs alone, element by element."""
    behind = {made for operator in read.wiring.chain([tensor], MOVES | ELEMENTWISE) for made in operator.outputs}
    ends = {tensor, *behind} | {
        operand
        for operator in read.wiring.chain([tensor], MOVES | ELEMENTWISE)
        for operand in read.wiring.activations(operator)
    }
    return ends - behind <= set(read.wiring.graph.inputs)


def _spectra(read: Read) -> Iterator[int]:
    for operator in read.wiring.graph.operators:
        if operator.name != "LOG":
            continue
        behind = list(read.wiring.chain(operator.inputs, frozenset(_SPECTRAL)))
        made = {tensor for each in behind for tensor in each.outputs}
        ends = {tensor for each in behind for tensor in read.wiring.activations(each)} - made
        kinds = {each.name for each in behind}
        if ends <= set(read.wiring.graph.inputs) and LAYER in kinds and (kinds & _POWER or any(map(_squared, behind))):
            yield from (each.index for each in behind)


def _squared(operator: Operator) -> bool:
    return operator.name == "MUL" and len(set(operator.inputs)) == 1
