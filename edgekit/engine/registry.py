"""The one door to the leaves: a name becomes a class.

Built-in leaves are found by file name (``sources/onnx.py`` or ``sources/onnx/`` is the source
``onnx``); third-party leaves by entry point (group ``edgekit.sources``, ``edgekit.backends`` and so on). What is known
of a leaf without opening it is in `edgekit.nouns.leaves`.
Only this module opens that door, and only worker processes should walk through it, because behind
it stand the heavy libraries.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path
from typing import Any

from edgekit.errors import InputError, MissingTool
from edgekit.nouns import leaves

ROOMS = {
    "sources": "Source", "backends": "Backend", "drivers": "Driver", "meters": "Meter", "samples": "Reader",
    "rewrites": "Optimizer", "passes": "TrainingPass",
}  # fmt: skip
"""Every room of leaves → the name of its base class."""


def install(extra: str) -> str:
    """The command that adds an extra. On the public index edgekit is another project's name: never give it to pip."""
    return f"in your clone of edgekit: pip install '.[{extra}]'"


def require(room: str, name: str) -> None:
    """Check, without importing anything, that a leaf's libraries are there.

    Raises:
        MissingTool: one is not installed.
    """
    row = leaves.row(room, name) if built_in(room, name) else leaves.LeafRow()
    for module in row.modules:
        if importlib.util.find_spec(module) is None:
            raise MissingTool(
                f"{name} needs {module}, which is not installed.",
                place=f"this Python environment, for the leaf {name}",
                fix=install(row.extra),
            )


def names(room: str) -> tuple[str, ...]:
    """Every leaf of a room, sorted; imports none of them."""
    package = importlib.import_module(f"edgekit.{room}")
    built_in = {module.name for module in pkgutil.iter_modules(package.__path__)}
    third_party = {point.name for point in _entry_points(group=f"edgekit.{room}")}
    return tuple(sorted(name for name in built_in | third_party if not name.startswith("_")))


def leaf(room: str, name: str) -> Any:
    """An instance of a leaf; imports its libraries.

    Raises:
        InputError: there is no leaf of that name.
        MissingTool: its libraries are not installed.
    """
    require(room, name)
    module = _module(room, name)
    base = getattr(importlib.import_module(f"edgekit.{room}"), ROOMS[room])
    for kind in vars(module).values():
        if not inspect.isclass(kind) or not issubclass(kind, base) or inspect.isabstract(kind):
            continue
        if _package(kind.__module__) == _package(module.__name__):  # not a leaf of edgekit's that a guest builds upon
            return kind()
    raise TypeError(f"{module.__name__} holds no {ROOMS[room]}")


def _package(module: str) -> str:
    return module.partition(".")[0]


def _module(room: str, name: str) -> Any:
    if not built_in(room, name):
        if (point := third_party(room, name)) is not None:
            return importlib.import_module(point.module)
        raise InputError(
            f"There is no {ROOMS[room].lower()} named {name}.",
            place=f"edgekit.{room}",
            fix=f"choose one of: {', '.join(names(room))}",
        )
    return importlib.import_module(f"edgekit.{room}.{name}")


def built_in(room: str, name: str) -> bool:
    """Whether edgekit brings a leaf itself; the name of such a one is not for others to take."""
    place = Path(__file__).parents[1] / room / name
    return place.is_dir() or place.with_suffix(".py").is_file()


def third_party(room: str, name: str) -> Any:
    """The entry point of a leaf that another distribution brings; None if there is none."""
    return next(iter(_entry_points(group=f"edgekit.{room}", name=name)), None)


def distribution(leaf: str) -> dict[str, str]:
    """Name → version of the distribution that brings a third-party leaf (``room/name``); empty for edgekit's own."""
    room, _, name = leaf.partition("/")
    point = None if built_in(room, name) else third_party(room, name)
    return {} if point is None or point.dist is None else {point.dist.name: point.dist.version}


def _entry_points(**wanted: Any) -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415  as slow as a whole build that the cache answers

    return entry_points(**wanted)
