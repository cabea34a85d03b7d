"""The table of leaves agrees with the leaves that there are, and with what pyproject.toml installs."""

import re
import tomllib
from importlib.metadata import packages_distributions

import pytest

from edgekit.engine import registry
from edgekit.nouns import leaves
from edgekit.nouns.leaves import LeafRow
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
EXTRAS: dict[str, set[str]] = {
    extra: {re.split(r"[=<>\[ ]", line)[0] for line in lines}
    for extra, lines in PYPROJECT["project"]["optional-dependencies"].items()
}
ROWS = [(room, name, row) for room, rows in leaves.LEAVES.items() for name, row in rows.items()]

NO_LEAF = {"plots", "all"}
"""Extras that no leaf needs."""


@pytest.mark.parametrize(("room", "name", "row"), ROWS, ids=[f"{room}/{name}" for room, name, _ in ROWS])
def test_a_row_is_that_of_a_leaf_and_of_its_extra(room: str, name: str, row: LeafRow) -> None:
    assert registry.built_in(room, name)
    assert bool(row.extra) == bool(row.modules)
    brought = packages_distributions()
    for module in row.modules:
        found = {name.lower().replace("_", "-") for name in brought.get(module, [])}
        assert found & EXTRAS[row.extra], f"{module} is not in the extra {row.extra}"


def test_every_extra_is_some_leafs() -> None:
    assert set(EXTRAS) - NO_LEAF == {row.extra for _, _, row in ROWS} - {""}
    assert EXTRAS["all"] == {"edgekit"}
    (everything,) = PYPROJECT["project"]["optional-dependencies"]["all"]
    assert set(re.findall(r"[\w-]+", everything)) == {"edgekit", *EXTRAS} - {"all"}


def test_what_is_installed_for_a_leaf_decides_its_answers() -> None:
    for room, _, row in ROWS:
        if room in {"sources", "backends"} and row.extra:
            assert EXTRAS[row.extra] <= {*row.distributions}


def test_every_meter_and_kind_of_device_has_its_row() -> None:
    assert set(leaves.METERS) == {name for name in registry.names("meters") if registry.built_in("meters", name)}
    assert set(leaves.DRIVERS) == {name for name in registry.names("drivers") if registry.built_in("drivers", name)}
    assert all(row.reaches and row.keys for row in leaves.DRIVERS.values())
