"""Leaves in worker processes, as type checkers and callers see them."""

import inspect
from importlib import import_module
from typing import Any, get_type_hints

import pytest

from edgekit.engine import registry
from edgekit.engine.proxies import LeafProxies
from edgekit.nouns.sensing import Probe

ALONE = {"samples": "reader", "rewrites": "optimizer"}
"""Rooms with one leaf → what it is called."""

NAMED = {"passes": "training_pass"}
"""Rooms whose leaves have another name than the room's singular."""

CONTRACTS = {room: getattr(import_module(f"edgekit.{room}"), base) for room, base in registry.ROOMS.items()}


def singular(room: str) -> str:
    return NAMED.get(room, room.removesuffix("s"))


class Recorded(LeafProxies):
    """Keeps what is called instead of calling it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def _call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> str:
        self.calls.append((room, leaf, method, arguments))
        return "answered"

    def of(self, room: str) -> Any:
        return getattr(self, ALONE[room])() if room in ALONE else getattr(self, singular(room))("any")


@pytest.mark.parametrize(
    ("room", "method"),
    [
        (room, name)
        for room, contract in CONTRACTS.items()
        for name, _ in inspect.getmembers(contract, inspect.isfunction)
    ],
)
def test_every_method_of_a_contract_is_passed_on_with_its_arguments_by_name(room: str, method: str) -> None:
    _, *parameters = inspect.signature(getattr(CONTRACTS[room], method)).parameters.values()
    names, recorded = [parameter.name for parameter in parameters], Recorded()
    assert getattr(recorded.of(room), method)(**{name: name for name in names}) == "answered"
    by_place = [one.name for one in parameters if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    getattr(recorded.of(room), method)(*by_place, **{name: name for name in names if name not in by_place})
    leaf = ALONE.get(room, "any")
    assert recorded.calls == [(room, leaf, method, {name: name for name in names})] * 2


def test_what_no_contract_holds_is_not_passed_on() -> None:
    recorded = Recorded()
    for wrong in (lambda: recorded.source("onnx").describes, lambda: recorded.meter("rapl").provenance):  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            wrong()
    with pytest.raises(TypeError, match="too many"):
        recorded.meter("rapl").start(Probe(meter="rapl"), Probe(meter="rapl"))  # type: ignore[call-arg]
    assert not recorded.calls


def test_a_proxy_has_the_type_of_its_contract() -> None:
    typed = vars(import_module("edgekit.sources")) | {contract.__name__: contract for contract in CONTRACTS.values()}
    for room, contract in CONTRACTS.items():
        method = getattr(LeafProxies, ALONE.get(room, singular(room)))
        assert get_type_hints(method, typed)["return"] is contract
