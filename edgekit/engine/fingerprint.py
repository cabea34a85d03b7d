"""What of edgekit, and of what is installed beside it, decides the answer of a step.

That is the code of its leaf, with all that this may import, and the versions of the leaf's own distributions:
a line changed in one leaf, or a new version of a library that only another one uses, leaves the answer as it is.
"""

import hashlib
import os
import re
import sys
from functools import cache
from pathlib import Path

from edgekit.engine import closure, registry
from edgekit.nouns import leaves

ROOT = Path(__file__).parents[1]
"""edgekit's own package."""

ABOVE = frozenset({"cli", "verbs", "measure", "report", "steps", "engine"})
"""Rooms that no leaf may import. A module of theirs counts if a step names it, never for being imported."""

IMPORT = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+edgekit((?:\.\w+)*)(?:[ \t]+import[ \t]+(?:\(([^)]*)\)|([^\n]*)))?", re.MULTILINE
)
"""An import of edgekit's own. Read as text: the syntax trees of all modules would take longer than a whole build
that the cache answers. ``tests/engine/test_fingerprint.py`` compares the two."""

INSTALLED = re.compile(r"([^-]+)-([^-]+)(?:-.*)?\.(?:dist|egg)-info")
"""The folder that an installer leaves for a distribution: name and version, neither with a hyphen in it.

Source: the Python packaging user guide, "Recording installed projects".
"""


@cache
def code(leaf: str, modules: tuple[str, ...] = ()) -> str:
    """Digest of the code that a step runs, with the data files that lie in its packages.

    Args:
        leaf: ``room/name``, or "".
        modules: of edgekit, by their full names; a package stands for its ``__init__`` and its data alone.
    """
    digest = hashlib.sha256()
    for name, content in sorted((_name(file), _read(file)[0]) for file in files(leaf, modules)):
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def files(leaf: str, modules: tuple[str, ...] = ()) -> frozenset[Path]:
    """The files of which `code` is the digest."""
    waiting = [*(_leaf(leaf) if leaf else ()), *(file for module in modules for file in _module(module))]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            for name in _read(file)[1]:
                if name.partition(".")[0] not in ABOVE:
                    waiting += _module(f"edgekit.{name}")
    return frozenset(found)


def _leaf(leaf: str) -> list[Path]:
    """All files of a leaf: of its module, or of its package with everything in it."""
    room, _, name = leaf.partition("/")
    place = ROOT / room / name
    if place.is_dir():
        inner = [file for file in place.rglob("*") if file.is_file() and file.suffix != ".pyc"]
        return [*inner, *_module(f"edgekit.{room}")]
    if place.with_suffix(".py").is_file():
        return _module(f"edgekit.{room}.{name}")
    point = registry.third_party(room, name)
    own = closure.files(point.module, ()) if point is not None else ()
    return [*own, *_module(f"edgekit.{room}")]


@cache
def _module(name: str) -> list[Path]:
    """The files that the import of a module loads: its own, and those of the packages that it lies in."""
    found, place = [], ROOT
    for part in name.split(".")[1:]:
        place /= part
        if place.is_dir():
            found += _package(place)
        elif (file := place.with_suffix(".py")).is_file():
            found.append(file)
    return found


@cache
def _package(folder: Path) -> list[Path]:
    """A package's ``__init__.py``, and the data that lies in it and in folders of it that are no packages."""
    found = [file] if (file := folder / "__init__.py").is_file() else []
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if name != "__pycache__" and not Path(place, name, "__init__.py").is_file()]
        found += [Path(place, name) for name in names if not name.endswith((".py", ".pyc"))]
    return found


@cache
def _read(file: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of a file, and the names below ``edgekit`` that it may import, which may be those of no modules."""
    content = file.read_bytes()
    names: set[str] = set()
    if file.suffix == ".py":
        for package, several, one in IMPORT.findall(content):
            base = package.decode().removeprefix(".")
            listed = re.sub(rb"#[^\n]*", b"", several or one).decode()
            names |= {base} if base else set()
            names |= {f"{base}.{word[0]}".removeprefix(".") for part in listed.split(",") if (word := part.split())}
    return hashlib.sha256(content).hexdigest(), tuple(sorted(names))


def _name(file: Path) -> str:
    text, root = str(file), f"{ROOT}{os.sep}"
    return text[len(root) :] if text.startswith(root) else file.name


@cache
def tools(leaf: str, modules: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions of the distributions that can change what a step makes: those of its leaf, and what all need.

    Args:
        leaf: ``room/name``, or "".
        modules: of edgekit; the rows of their rooms count.
    """
    room, _, own_name = leaf.partition("/")
    rooms = {module.split(".")[1] for module in modules}
    rows = [row for name in rooms for row in leaves.LEAVES.get(name, {}).values()]
    rows += [leaves.row(room, own_name)] if leaf else []
    wanted = {*leaves.COMMON, *(name for row in rows for name in row.distributions)}
    own = registry.distribution(leaf) if leaf else {}
    return {name: version for name, version in tool_versions().items() if name in wanted} | own


@cache
def tool_versions() -> dict[str, str]:
    """Version of every installed distribution that can change a result.

    Read off the names of folders: `importlib.metadata` would take as long as all else of a build that
    the cache answers.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for match in filter(None, (INSTALLED.fullmatch(path.name) for path in Path(folder).glob("*-info"))):
            name = re.sub(r"[_.]+", "-", match[1]).lower()
            if name in leaves.TOOLS:
                found.setdefault(name, match[2])
    return dict(sorted(found.items()))
