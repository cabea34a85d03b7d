"""Write the pages of this folder from the code.

    uv run python docs/reference/generate.py            write them
    uv run python docs/reference/generate.py --check    exit 1 if one is stale

`pages` returns them as text, so that a test can compare without writing.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from click.testing import CliRunner

import edgekit
from edgekit import api, cli, config
from edgekit.config import recipes
from edgekit.errors import REMEDIES, EdgekitError
from edgekit.nouns import leaves
from edgekit.nouns.budget import Demands
from edgekit.nouns.description import Input, ModelCard, Output
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.profile import DeviceConfig
from edgekit.nouns.quantization import Quantization
from edgekit.nouns.recipe import PassSettings, name_of
from edgekit.nouns.target import Target
from edgekit.nouns.training import Training

HERE = Path(__file__).parent
COMMAND = "uv run python docs/reference/generate.py"
NOTE = f"<!-- Written by `{COMMAND}` from {{source}}; do not edit. -->\n"


def pages() -> dict[str, str]:
    """Every generated page: file name → content."""
    return {
        "cli.md": _cli(),
        "errors.md": _errors(),
        "edgekit-toml.md": _project(),
        "manifest.md": _manifest(),
        "manifest.schema.json": msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Manifest))).decode() + "\n",
        "python.md": _python(),
        "recipes.md": _recipes(),
        "targets.md": _targets(),
    }


def _page(title: str, source: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", NOTE.format(source=source), *parts]).rstrip() + "\n"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines) + "\n"


def _prose(text: str) -> str:
    """A docstring as Markdown: its double backticks become single ones."""
    return inspect.cleandoc(text).replace("``", "`")


def _cli() -> str:
    parts = []
    for words in _commands(cli.edgekit, ()):
        shown = CliRunner().invoke(cli.edgekit, [*words, "--help"], prog_name="edgekit", terminal_width=80)
        parts.append(f"## `{' '.join(('edgekit', *words))}`\n\n```\n{shown.output.rstrip()}\n```\n")
    return _page("Command line", "every verb's `--help`", *parts)


def _commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            if under is not None:
                yield from _commands(under, (*words, name))


def _python() -> str:
    """The verbs of the package, then the classes that they return, from their docstrings."""
    verbs = [name for name in edgekit.__all__ if name != "errors"]
    parts = [
        "`import edgekit` is light; each name is imported when it is first used. A build in a notebook is the "
        "[tutorial](../tutorial/python.md).\nErrors are [those of the command line](errors.md), as exceptions in "
        "`edgekit.errors`.\n"
    ]
    for name in verbs:
        verb = getattr(edgekit, name)
        parts += [f"## `edgekit.{name}`\n", f"```python\n{_signature(name, verb)}\n```\n", _docstring(verb)]
    parts.append("## What the verbs return\n")
    for name in api.__all__:
        kind = getattr(api, name)
        if name not in verbs:
            parts += [f"### `{name}`\n", _docstring(kind)]
            members = [(n, m) for n, m in vars(kind).items() if isinstance(m, property) and m.__doc__]
            parts += [_table(("property", "what it is"), [(f"`{n}`", _line(m.__doc__ or "")) for n, m in members])] * (
                len(members) > 0
            )
    return _page("Python", "the docstrings of `edgekit/api/`", *parts)


def _signature(name: str, verb: Any) -> str:
    """A signature with its names and defaults, a line each; types are told in words."""
    shown, keyword = [], False
    for parameter in inspect.signature(verb).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            shown, keyword = [*shown, "*"], True
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        shown.append(f"{parameter.name}{default}")
    line = f"edgekit.{name}({', '.join(shown)})"
    return line if len(line) < 100 else f"edgekit.{name}(\n" + "".join(f"    {part},\n" for part in shown) + ")"


def _docstring(thing: Any) -> str:
    """A docstring as Markdown: its sections as headings and lists, its indented lines as code."""
    out, section = [], ""
    for line in _prose(thing.__doc__ or "").splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            section = line
            out.append(f"**{line.rstrip(':')}**\n")
        elif section and (found := re.match(r" {4}(\w+): (.*)", line)):
            out.append(f"* `{found[1]}`: {found[2]}")
        elif section:
            out.append(f"  {line.strip()}" if line.strip() else "")
        else:
            out.append(line)
    return "\n".join(out) + "\n"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", _prose(text).split("\n\n")[0])


def _errors() -> str:
    kinds = sorted(REMEDIES.values(), key=lambda kind: kind.exit_code)
    rows = [("0", "", "Built, and every stated budget is met.")]
    rows += [(str(kind.exit_code), f"`{kind.__name__}`", _prose(kind.__doc__ or "")) for kind in kinds]
    rows.append((str(EdgekitError.exit_code), "", "A bug in edgekit; the traceback is in the log file that is shown."))
    rows.append(("130", "`CancelledError`", "Interrupted, or cancelled. Nothing half-written stays behind."))
    return _page(
        "Exit codes and errors",
        "`edgekit/errors.py`",
        "Every error says the problem, the place (`at:`) and the command or edit that helps (`fix:`), on stderr.\n"
        'With `--json`, stdout carries the same as `{"error": {"remedy", "problem", "place", "fix", "exit_code"}}`.\n',
        _table(("exit code", "class", "what it means"), rows),
    )


def _project() -> str:
    documented = _keys(config.Project.__doc__ or "")
    rows = [
        (f"`{field.name}`", _type(hint), _default(field), documented[field.name])
        for field, hint in _fields(config.Project)
    ]
    told, asked = _keys(DeviceConfig.__doc__ or ""), _keys(Quantization.__doc__ or "")
    demanded = _keys(Demands.__doc__ or "")
    return _page(
        "edgekit.toml",
        "`edgekit.config.Project`, `edgekit.nouns.description`, `edgekit.nouns.budget.Demands`, "
        "`edgekit.nouns.quantization.Quantization` and `edgekit.nouns.profile.DeviceConfig`",
        "Every key is optional; flags win over the file; paths are relative to the file.\n",
        _table(("key", "type", "default", "what it is"), rows),
        "## Inputs and outputs\n",
        "Tables `[[input]]`, told apart by their `kind`, and `[[output]]`, by their `task` "
        "([how to](../how-to/describe-inputs-and-outputs.md)).\n",
        *(part for kind in (*typing.get_args(Input), *typing.get_args(Output)) for part in _tagged(kind)),
        "### ModelCard\n",
        "A table `[metadata]`.\n",
        _table(
            ("key", "type", "what it is"),
            [(f"`{f.name}`", _type(hint), _keys(ModelCard.__doc__ or "")[f.name]) for f, hint in _fields(ModelCard)],
        ),
        "## Budget\n",
        "Tables `[budget]`, for all targets, and `[budget.TARGET]`, for one ([how to](../how-to/ci-gate.md)).\n",
        _table(
            ("key", "type", "what it is"),
            [(f"`{field.name}`", _type(hint), demanded[field.name]) for field, hint in _fields(Demands)],
        ),
        "## Quantization\n",
        "A table `[quantization]`; on the command line `--set KEY=VALUE`.\n",
        _table(
            ("key", "type", "what it is"),
            [(f"`{field.name}`", _type(hint), asked[field.name]) for field, hint in _fields(Quantization)],
        ),
        "## DeviceConfig\n",
        "A table `[devices.ID]`, in `edgekit.toml` or in the user's own `devices.toml` (`edgekit devices add`).\n",
        _table(
            ("key", "kinds", "type", "default", "what it is"),
            [
                (f"`{field.name}`", _kinds(field.name), _type(hint), _default(field), told[field.name])
                for field, hint in _fields(DeviceConfig)
            ],
        ),
    )


def _recipes() -> str:
    parts = [
        "What is done to a network before files are made of it ([how to](../how-to/compress.md)). A recipe of your\n"
        "own is a TOML file of the same form: `--recipe my.toml`.\n"
    ]
    for name in recipes.recipe_names():
        file = recipes.recipe_file(name).read_text(encoding="utf8")
        parts += [f"## `{name}`\n", f"```toml\n{file.rstrip()}\n```\n"]
    parts += ["## What all passes have\n", *_pass(Training)]
    for kind in PassSettings.__args__:
        parts += [f"## The pass `{name_of(kind())}`\n", *_pass(kind)]
    return _page("Recipes and passes", "`edgekit/config/recipes/` and `edgekit.nouns.recipe`", *parts)


def _pass(kind: type[msgspec.Struct]) -> list[str]:
    """What a pass does, and its own keys: those of `Training` only if it has other defaults."""
    told, usual = _keys(kind.__doc__ or "") | _keys(Training.__doc__ or ""), msgspec.structs.asdict(Training())
    rows = [
        (f"`{field.name}`", _type(hint), _default(field), told[field.name])
        for field, hint in _fields(kind)
        if kind is Training or usual.get(field.name, msgspec.UNSET) != field.default
    ]
    first = _prose(kind.__doc__ or "").partition("\n\nKeys:")[0] + "\n"
    return [first, *([_table(("key", "type", "default", "what it is"), rows)] if rows else [])]


def _tagged(kind: type[msgspec.Struct]) -> list[str]:
    """A table that one of its keys tells apart from others."""
    said, config_ = _keys(kind.__doc__ or ""), kind.__struct_config__
    about = _prose(kind.__doc__ or "").partition("Keys:\n")[0].strip()
    rows = [(f"`{config_.tag_field}`", f"`{config_.tag}`", "required", "")]
    rows += [(f"`{field.name}`", _type(hint), _default(field), said[field.name]) for field, hint in _fields(kind)]
    return [f"### {kind.__name__}\n", about + "\n", _table(("key", "type", "default", "what it is"), rows)]


def _kinds(key: str) -> str:
    """Which kinds of device read a key."""
    return ", ".join(kind for kind, row in sorted(leaves.DRIVERS.items()) if key in (row.keys or ())) or "all"


def _keys(docstring: str) -> dict[str, str]:
    """The ``Keys:`` section: name → description."""
    section = inspect.cleandoc(docstring).partition("Keys:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", _prose(text)) for name, text in found}


def _manifest() -> str:
    parts = [
        "`manifest.json` stands in every folder that `edgekit build` writes. Its JSON Schema is\n"
        "[manifest.schema.json](manifest.schema.json). What is not known is `null`, or stands in `unavailable`\n"
        "with the reason; it is never 0.\n"
    ]
    for kind in _structs(Manifest):
        rows = [(f"`{field.name}`", _type(hint), _default(field)) for field, hint in _fields(kind)]
        parts += [f"## {kind.__name__}\n", _prose(kind.__doc__ or "") + "\n", _table(("key", "type", "default"), rows)]
    return _page("The manifest", "`edgekit/nouns/`", *parts)


def _structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """A struct and every struct that it holds, in order of first mention."""
    found: list[type[msgspec.Struct]] = []

    def visit(hint: Any) -> None:
        if inspect.isclass(hint) and issubclass(hint, msgspec.Struct) and hint not in found:
            found.append(hint)
            for _, inner in _fields(hint):
                visit(inner)
        for argument in typing.get_args(hint):
            visit(argument)

    visit(kind)
    return found


def _fields(kind: type[msgspec.Struct]) -> list[tuple[Any, Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in msgspec.structs.fields(kind)]


def _type(hint: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        words = _type(arguments[0])
    elif origin is typing.Literal:
        words = ", ".join(f"`{value}`" for value in arguments)
    elif origin in {typing.Union, types.UnionType}:
        words = " or ".join(_type(a) for a in arguments)
    elif origin is tuple and arguments[-1] is ...:
        words = f"list of {_type(arguments[0])}"
    elif origin is tuple:
        words = f"[{', '.join(_type(a) for a in arguments)}]"
    elif origin is dict:
        words = f"table of {_type(arguments[0])} → {_type(arguments[1])}"
    elif hint is type(None):
        words = "null"
    elif inspect.isclass(hint) and issubclass(hint, msgspec.Struct):
        words = f"[{hint.__name__}](#{hint.__name__.lower()})"
    else:
        words = {str: "text", int: "integer", float: "number", bool: "true or false"}.get(hint, str(hint))
    return words


def _default(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ("", (), {}):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def _targets() -> str:
    parts = [
        "One TOML file each in `targets/`. A file of your own is looked up in `./targets` first\n"
        "([how to](../how-to/own-target.md)).\n"
    ]
    for path in sorted((HERE.parent.parent / "targets").glob("*.toml")):
        parts += _target(config.target(str(path)))
    return _page("Targets", "`targets/*.toml`", *parts)


def _target(target: Target) -> list[str]:
    files = [
        (f"`{v.file}`", v.precision, f"{v.backend}{f', from {v.base}' if v.base else ''}", v.delegate or "", v.use)
        for v in target.variants
    ]
    facts = [(f"`{name}`", f"{f.value:g}", f.unit, f"<{f.source}>") for name, f in target.facts.items()]
    return [
        f"## `{target.name}`: {target.title}\n",
        f"{target.summary} Documentation: <{target.documentation}>.\n",
        _table(("file", "precision", "made by", "delegate", "use"), files),
        _table(("fact", "value", "unit", "source"), facts),
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` only say which are stale."""
    fresh = pages()
    stale = [name for name, text in fresh.items() if not _same(HERE / name, text)]
    if "--check" in arguments:
        for name in stale:
            click.echo(f"docs/reference/{name} is stale; fix: {COMMAND}", err=True)
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(fresh[name], encoding="utf8")
        click.echo(f"wrote docs/reference/{name}", err=True)
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
