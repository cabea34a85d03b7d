"""Recipes: one TOML file each, those built in beside this module, or the user's own by its path."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from edgekit.config import toml
from edgekit.errors import InputError
from edgekit.nouns.model import FLOATS, Precision
from edgekit.nouns.recipe import Cluster, Distill, PassSettings, Prune, PruneChannels, Qat, Recipe, name_of

HERE = Path(__file__).parent

ORDER = {"distill": 0, "finetune": 0, "prune-channels": 0, "prune": 1, "cluster": 2, "qat": 3}
"""What a pass makes is lost by one of a lower number behind it: zeros by training, ranges by anything."""

type Overrides = Mapping[str, Mapping[str, Any]]
"""Settings by pass and key, which go before a recipe's own."""


def recipe_names() -> tuple[str, ...]:
    """Every recipe that is built in, sorted."""
    return tuple(sorted(file.stem for file in HERE.glob("*.toml")))


def recipe_file(name: str) -> Path:
    """Where a recipe lies.

    Raises:
        InputError: there is none; the nearest name is given.
    """
    file = Path(name) if name.endswith(".toml") else HERE / f"{name}.toml"
    if file.is_file() and (name.endswith(".toml") or name in recipe_names()):
        return file
    near = toml.nearest(Path(name).stem, recipe_names()) or f"choose one of: {', '.join(recipe_names())}"
    raise InputError(f"There is no recipe {name or repr(name)}.", place=f"--recipe {name}", fix=near)


def recipe(name: str, overrides: Overrides | None = None) -> Recipe:
    """The recipe of that name, or in the TOML file of that path.

    Args:
        name: of one that is built in, or a path that ends in ``.toml``.
        overrides: settings that go before its own, for all its passes of a name.

    Raises:
        InputError: there is none, something in its file is wrong, or its passes stand in no order that makes sense.
    """
    file = recipe_file(name)
    content = toml.read(file)
    said = content.pop("name", file.stem)
    if said != file.stem:
        raise toml.wrong(file, "name", toml.shown(said), f'leave it out: a recipe is named by its file, "{file.stem}"')
    made: Recipe = toml.convert(content, Recipe, file)
    return _checked(overridden(msgspec.structs.replace(made, name=file.stem), overrides or {}), str(file))


def shortcut(
    *,
    prune_channels: float | None = None,
    prune: float | None = None,
    cluster: int | None = None,
    qat: bool = False,
    precision: Precision | None = None,
    overrides: Overrides | None = None,
) -> Recipe:
    """The recipe that options such as ``--prune 0.5 --qat`` stand for, in the only order that makes sense.

    Args:
        prune_channels: the share of multiply-adds that is to go.
        prune: the share of weights that are to be zero.
        cluster: how many values each layer's weights have.
        qat: train with the arithmetic of the integers at the end.
        precision: of the only files that are wanted, whose integers are trained then.
        overrides: as in `recipe`.

    Raises:
        InputError: a setting is wrong.
    """
    passes: list[PassSettings] = []
    if prune_channels is not None:
        passes.append(PruneChannels(remove=prune_channels, rounds=3, epochs=20))
    if prune is not None:
        passes.append(Prune(sparsity=prune))
    if cluster is not None:
        passes.append(Cluster(clusters=cluster))
    if qat:
        passes.append(_replaced(Qat(), {} if precision is None or precision in FLOATS else {"precision": precision}))
    name = "-".join(name_of(one) for one in passes)
    return overridden(Recipe(name=name, description="as asked for by options", passes=tuple(passes)), overrides or {})


def overridden(found: Recipe, overrides: Overrides) -> Recipe:
    """A recipe with other settings.

    Raises:
        InputError: it has no such pass, or the pass no such setting.
    """
    names = dict.fromkeys(name_of(one) for one in found.passes)
    for name in overrides:
        if name not in names:
            near = toml.nearest(name, tuple(names)) or (f"it has {', '.join(names)}" if names else "it has no passes")
            raise InputError(f"The recipe {found.name} has no pass {name}.", place=f"--set {name}.…", fix=near)
    passes = tuple(_replaced(one, overrides.get(name_of(one), {})) for one in found.passes)
    return msgspec.structs.replace(found, passes=passes)


def _replaced(settings: PassSettings, said: Mapping[str, Any]) -> PassSettings:
    if not said:
        return settings
    told = {key: value for key, value in msgspec.to_builtins(settings).items() if value is not None}  # TOML has no null
    content = told | dict(said)
    made: PassSettings = toml.convert(content, type(settings), Path(f"--set {name_of(settings)}"))
    return made


def _checked(found: Recipe, place: str) -> Recipe:
    """A recipe whose passes stand in an order that makes sense.

    Raises:
        InputError: they do not.
    """
    names = [name_of(one) for one in found.passes]
    for before, after in pairwise(names):
        if ORDER[after] < ORDER[before]:
            raise InputError(
                f"{before} stands before {after}, which would undo it.",
                place=place,
                fix=f"put {after} before {before}",
            )
    for at, one in enumerate(found.passes):
        if at and isinstance(one, Distill) and one.student is not None:
            raise InputError(
                f"distill trains a network of its own, {one.student}, and what {names[at - 1]} made would be lost.",
                place=place,
                fix=f"put it first, or leave out {' and '.join(dict.fromkeys(names[:at]))}",
            )
    if names.count("qat") > 1:
        raise InputError("qat stands in it twice.", place=place, fix="leave out the first")
    return found
