"""Which devices there are, and what is said of a table that leads to none."""

from typing import Any, cast

import pytest

from edgekit.engine.proxies import LeafProxies
from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.measure import discovery
from edgekit.nouns.profile import Device, DeviceConfig


class Bare(LeafProxies):
    """A session in whose leaves nothing hangs but this host and what is configured."""

    def _call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> tuple[Device, ...]:
        """What `edgekit.drivers.Driver.find` would give."""
        assert (room, method) == ("drivers", "find")
        configured: discovery.Configured = arguments["configured"]
        here = (Device(id="local", kind="local", title="this host"),) if leaf == "local" else ()
        return (*here, *(Device(id=name, kind=leaf, title=name, config=own) for name, own in configured.items()))


BARE = cast("Session", Bare())
ODD = {"pi": DeviceConfig(kind="shs", host="10.0.0.1"), "twin": DeviceConfig(kind="local")}


def test_a_device_of_a_misspelt_kind_is_listed_with_its_problem() -> None:
    here, twin, pi = discovery.find(BARE, ODD)
    assert (here.id, twin.id) == ("local", "twin")
    assert (pi.id, pi.title, pi.usable) == ("pi", "10.0.0.1", False)
    assert "no kind of device named shs. fix: choose one of: adb, emulated, local" in pi.problems[0]
    assert discovery.find(BARE, ODD, ("local",)) == [here, twin]  # who asks one kind hears of no other


def test_a_misspelt_kind_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match="no kind of device named shs") as caught:
        discovery.choose(BARE, ODD, "pi")
    assert caught.value.place == "devices.pi.kind"


@pytest.mark.parametrize("more", [{}, {"place": "--verify-on"}])
def test_an_unknown_device_is_complained_of_where_it_was_named(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="There is no device twi") as caught:
        discovery.choose(BARE, ODD, "twi", **more)
    assert caught.value.place == more.get("place", "--device")
    assert caught.value.fix == "did you mean twin?"
