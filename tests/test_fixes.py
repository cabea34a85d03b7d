"""What a fix tells to type exists: every verb and option that it names, and no package of a stranger."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgekit.cli import VERBS, edgekit

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "edgekit").rglob("*.py"))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OTHERS = {"--now", "--rm", "--force-reinstall"}
"""Options of other programs that fixes name: systemctl, docker and pip."""


def options(command: click.Command) -> set[str]:
    """Every long option of a command and of those below it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            own |= options(below)
    return own | {"--help"}


def verb(name: str) -> click.Command:
    found = edgekit.get_command(click.Context(edgekit), name)
    assert found is not None
    return found


def fixes(path: Path) -> Iterator[str]:
    """The texts of every ``fix=`` in a module; what an f-string fills in is an ellipsis."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if not isinstance(node, ast.keyword) or node.arg != "fix":
            continue
        inside = {
            id(part)
            for joined in ast.walk(node.value)
            if isinstance(joined, ast.JoinedStr)
            for part in ast.walk(joined)
        }
        for text in ast.walk(node.value):
            if isinstance(text, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in text.values)
            elif isinstance(text, ast.Constant) and isinstance(text.value, str) and id(text) not in inside:
                yield text.value


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """The fixes of every module."""
    return {str(path.relative_to(ROOT)): list(fixes(path)) for path in MODULES}


def test_the_fixes_are_found(told: dict[str, list[str]]) -> None:
    assert sum(map(len, told.values())) > 200


def test_a_fix_names_only_options_that_exist(told: dict[str, list[str]]) -> None:
    known = options(edgekit) | OTHERS
    wrong = [(name, text) for name, texts in told.items() for text in texts if not set(OPTION.findall(text)) <= known]
    assert not wrong


def test_a_command_in_a_fix_can_be_typed(told: dict[str, list[str]]) -> None:
    wrong = []
    for module, texts in told.items():
        for text in texts:
            for name, rest in re.findall(r"`?\bedgekit ([a-z]+)((?: (?:--?)?[^\s;,()`]+)*)", text):
                if name in VERBS:
                    known = options(verb(name))
                    wrong += [(module, text) for option in OPTION.findall(rest) if option not in known]
                elif rest.startswith(" -"):
                    wrong.append((module, text))
    assert not wrong


def test_nothing_tells_to_install_the_strangers_package() -> None:
    """On the public package index the name edgekit belongs to somebody else."""
    told = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests" / "golden").rglob("*.txt")]
    strangers = re.compile(r"pip3? install(?: (?!&&)\S+)*? ['\"]?edgekit\b(?!/)")
    assert not [str(path) for path in (*MODULES, *told) if strangers.search(path.read_text(encoding="utf8"))]
