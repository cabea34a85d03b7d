"""The files of a user's module with all that it imports from beside it, found without running it.

Imports are read off the syntax tree, wherever they stand, and so are names that are given to
``importlib.import_module`` and ``__import__`` as constants. Of a package every module counts.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

SUFFIXES = (".py", *EXTENSION_SUFFIXES)
"""Files that an import loads."""


def files(reference: str, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Every file that ``module:function`` and its imports load, as far as they are the user's own, sorted.

    Args:
        reference: ``module:function``, or a module's name alone.
        folders: where modules are looked up, the first one first; after them the user's own folders on Python's
            path. What is installed is no user's own, but for the module that is named.
    """
    own = (*(folder.absolute() for folder in folders), *_users_path())
    first = reference.partition(":")[0].partition(".")[0]
    waiting, seen, found = [first], {first}, set()
    while waiting:
        name = waiting.pop()
        places = (*own, *map(Path, sys.path)) if name == first else own
        for file in _module(name, places):
            if file not in found:
                found.add(file)
                new = set(_imports(file)) - seen
                seen |= new
                waiting += sorted(new)
    return tuple(sorted(found))


def _users_path() -> Iterator[Path]:
    """Folders on Python's path that hold neither its own library nor what was installed."""
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    own = Path(__file__).resolve().parents[2]
    for entry in map(Path, filter(None, sys.path)):
        real = entry.resolve()
        if entry.is_dir() and real != own and not any(real.is_relative_to(folder) for folder in installed):
            yield entry


def _module(name: str, places: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files of the first module or package of that name."""
    for place in places:
        package = place / name
        if package.is_dir() and (inner := tuple(_code(package, set()))):
            return inner
        for suffix in SUFFIXES:
            if (file := place / f"{name}{suffix}").is_file():
                return (file,)
    return ()


def _code(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Every module in a package, links followed but for those that lead back."""
    real = folder.resolve()
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _code(path, above | {real})
        elif path.name.endswith(SUFFIXES):
            yield path


def _imports(file: Path) -> Iterator[str]:
    """The first names of all modules that a file imports; nothing if it is no Python."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.args[0].value.partition(".")[0]
