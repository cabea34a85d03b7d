"""Operators that a user names: by what they make, by their own names, or by their kind."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from edgekit.errors import InputError, Unsupported


def nodes(model: Any, wanted: Iterable[int | str]) -> frozenset[str]:
    """Friendly names of the operators that are meant.

    Args:
        model: float ``openvino.Model``.
        wanted: names of tensors or of operators, or kinds, such as ``Softmax`` or ``SOFTMAX``.

    Raises:
        InputError: there is no such operator.
        Unsupported: one is meant by its place, which only a TFLite network has.
    """
    known = [
        node for node in model.get_ordered_ops() if node.get_type_name() not in {"Constant", "Parameter", "Result"}
    ]
    found: set[str] = set()
    for one in wanted:
        if isinstance(one, int):
            raise Unsupported(
                f"OpenVINO reads the source itself, whose operators have no places: {one} names none.",
                place=f"float_operators = {one}",
                fix="name the operator by the tensor that it makes, or by its kind",
            )
        chosen = {node.get_friendly_name() for node in known if one in _names(node)}
        if not chosen:
            raise _unknown(one, known)
        found |= chosen
    return frozenset(found)


def _names(node: Any) -> Iterator[str]:
    yield node.get_friendly_name()
    yield node.get_type_name()
    yield node.get_type_name().upper()
    for output in node.outputs():
        yield from output.get_names()


def _unknown(one: str, known: list[Any]) -> InputError:
    kinds = sorted({node.get_type_name() for node in known})
    near = difflib.get_close_matches(one, [*kinds, *(node.get_friendly_name() for node in known)], 1)
    return InputError(
        f"The network has no operator {one}.",
        place=f"float_operators = {one}",
        fix=f"did you mean {near[0]}?" if near else f"name a tensor that it makes, or one of: {', '.join(kinds)}",
    )
