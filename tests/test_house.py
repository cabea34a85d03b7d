"""The house's habits, where a test can see them: short modules, documented names, no machine's own paths."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit import cli
from edgekit.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "edgekit").rglob("*.py"))

LINES = 400
"""The longest a module may be (the house's numbers)."""

OURS = re.compile(
    r"/root/|/work/|/home/\w+/|/Users/\w+/|"
    r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org|repo\.maven\.apache\.org"
)
"""Paths of one machine, and hosts of package registries: neither belongs into a repository for all."""

ALLOWED_PATHS = {"tests/test_house.py", "tests/backends/edgetpu/logs/yolov3_tiny.log"}
"""This file, and a log that its author published with a path of theirs."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public functions and classes of a module, with the methods of public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every module of edgekit, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf8")) for path in MODULES}


def test_a_module_is_short() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf8").splitlines()) for path in MODULES}
    assert len(lengths) > 300
    assert not {name: length for name, length in lengths.items() if length > LINES}


def test_every_module_says_what_it_is(trees: dict[Path, ast.Module]) -> None:
    assert not [
        named(path) for path, tree in trees.items() if path.name != "__main__.py" and not ast.get_docstring(tree)
    ]


def test_every_public_name_says_what_it_is(trees: dict[Path, ast.Module]) -> None:
    bare = [
        f"{named(path)}: {name}"
        for path, tree in trees.items()
        for name, node in public(tree.body)
        if not ast.get_docstring(node)
    ]
    assert not bare


CALLS_USERS_CODE = Path("samples", "functions.py")
"""What a user's own function raises may be of any class, and is the user's to mend."""


def test_only_the_front_desk_catches_everything(trees: dict[Path, ast.Module]) -> None:
    broad = [
        f"{named(path)}:{node.lineno}"
        for path, tree in trees.items()
        if "cli" not in path.parts and not path.match(str(CALLS_USERS_CODE))
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & {ast.unparse(t) for t in _caught(node.type)})
        and ast.unparse(node.body[-1]) != "raise"  # clearing up on the way out catches nothing
    ]
    assert not broad


def _caught(kind: ast.expr) -> list[ast.expr]:
    return kind.elts if isinstance(kind, ast.Tuple) else [kind]


def test_one_name_is_one_thing(trees: dict[Path, ast.Module]) -> None:
    places: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(named(path))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        if not path.is_file() or named(path) in ALLOWED_PATHS:
            continue
        try:
            text = path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue  # models and data
        found += [f"{named(path)}: {match[0]}" for match in OURS.finditer(text)]
    assert not found


def test_nothing_shared_or_generated_is_tracked() -> None:
    names = {path.name for path in tracked()}
    assert "uv.lock" not in names
    assert not [name for name in names if name.startswith("sym_shape_infer_temp")]


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example_first(verb: str) -> None:
    shown = CliRunner().invoke(cli.edgekit, [verb, "--help"], prog_name="edgekit").output
    example = shown.find(f"\n  edgekit {verb}")
    assert 0 < example < shown.find("\nOptions:")


def test_the_reader_of_names_sees_what_is_bare() -> None:
    tree = ast.parse("class A:\n    '''a'''\n    def b(self): pass\n    def _c(self): pass\n")
    assert [name for name, node in public(tree.body) if not ast.get_docstring(node)] == ["A.b"]
