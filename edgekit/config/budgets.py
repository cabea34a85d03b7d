"""``[budget]`` and ``[budget.TARGET]``, and the demands among a project's own keys, which hold for every target."""

from pathlib import Path
from typing import Any

import msgspec

from edgekit.config import toml
from edgekit.config.targets import target_names
from edgekit.errors import InputError
from edgekit.host import cachedir
from edgekit.nouns.budget import Demands

EVERY = "*"
"""The name in `edgekit.config.Project.budget` that stands for all targets."""

SHORT = ("max_drop", "min_agreement", "min_sqnr", "min_mapped")
"""Demands that are keys of a project, too, and options of ``edgekit build``."""

SIZES = ("max_size", "max_peak_memory")


def by_target(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """A project's content with what ``[budget]`` says of all targets under `EVERY`, beside the tables of each.

    Raises:
        InputError: a demand stands both in a table and among the project's own keys.
    """
    table = content.get("budget")
    if not isinstance(table, dict) or EVERY in table:
        return content
    every = {key: value for key, value in table.items() if not isinstance(value, dict)}
    own = {key: value for key, value in table.items() if isinstance(value, dict)}
    if every:
        toml.check(every, Demands, file, "budget")
    for name, demands in {"": every, **own}.items():
        for key in SHORT:
            if key in demands and content.get(key) is not None:
                where = toml.join("budget", name) if name else "budget"
                raise InputError(
                    f"{file.name}: `{key}` stands both at the top and in [{where}].",
                    place=f"{file}: {where}.{key}",
                    fix="keep it in [budget] alone",
                )
    return content | {"budget": ({EVERY: every} if every else {}) | own}


def check(budget: dict[str, Demands], targets: tuple[str, ...], file: Path) -> None:
    """See that tables are of targets that there are, and that sizes are sizes.

    Raises:
        InputError: with the nearest name.
    """
    known = (*target_names(), *(Path(name).stem for name in targets if name.endswith(".toml")))
    for name, demands in budget.items():
        key = "budget" if name == EVERY else toml.join("budget", name)
        if name != EVERY and name not in known:
            raise InputError(
                f"{file.name} has a budget for {name}, and there is no such target.",
                place=f"{file}: {key}",
                fix=toml.nearest(name, known) or f"name one of: {', '.join(known)}",
            )
        for size in SIZES:
            if (said := getattr(demands, size)) is not None:
                cachedir.parsed(said, f"{file}: {key}.{size}")


def of(budget: dict[str, Demands], target: str, said: dict[str, float | None]) -> Demands:
    """What is demanded of a target: what is ``said`` of all goes before its own table, and that before ``[budget]``."""
    own, every = budget.get(target, Demands()), budget.get(EVERY, Demands())
    return msgspec.convert(said, Demands).over(own.over(every))
