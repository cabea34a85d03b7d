"""Names for nodes that have none: OpenVINO numbers them through the process, so that no two builds agree on them.

A number outlives its node: what is folded, cloned or derived from it keeps the name. So networks are read twice, and
what the two readings call differently is nobody's name.
"""

import re
from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import Any

from edgekit.backends.openvino.holding import nodes

NUMBERED = re.compile(r"[A-Za-z0-9]+_\d+")
"""Names that OpenVINO gives: a node's type and its number."""


def settled(read: Callable[[], Any]) -> Any:
    """An ``openvino.Model`` whose names depend on what is read alone.

    Args:
        read: gives the model, anew with each call.
    """
    model = read()
    pairs = zip(nodes(model), nodes(read()), strict=True)
    _number(model, [one for one, other in pairs if one.get_friendly_name() != other.get_friendly_name()])
    return model


def names(model: Any) -> frozenset[str]:
    """Friendly names of all nodes of an ``openvino.Model``."""
    return frozenset(node.get_friendly_name() for node in nodes(model))


def settle(model: Any, known: Collection[str]) -> None:
    """Name what was added to a network since its names were settled, in place.

    Args:
        model: ``openvino.Model``.
        known: the names that it had then.
    """
    added = [node for node in nodes(model) if node.get_friendly_name() not in known]
    _number(model, [node for node in added if NUMBERED.fullmatch(node.get_friendly_name())])


def _number(model: Any, unnamed: Iterable[Any]) -> None:
    """Number nodes in their order, by names that `NUMBERED` leaves alone and no other node has."""
    taken, places = names(model), count()
    for node in unnamed:
        kind = node.get_type_name()
        node.set_friendly_name(next(name for place in places if (name := f"{kind}:{place}") not in taken))
