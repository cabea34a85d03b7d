"""Options that several verbs share, and what stands behind them: session, console, progress."""

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from edgekit import config
from edgekit.cli.console import put_json
from edgekit.config import toml
from edgekit.engine.session import Session, opened
from edgekit.errors import InputError
from edgekit.host import cachedir
from edgekit.nouns.model import Constant
from edgekit.nouns.quantization import Quantization
from edgekit.nouns.training import Training
from edgekit.report import shown
from edgekit.report.lines import watcher


def stderr() -> Console:
    """The console for people (`edgekit.report.shown.screen`)."""
    return shown.screen()


WIDE = 200
"""Columns of a table that a program reads: one row in one line, so that grep and awk can be used on it."""


def stdout(*, as_json: bool = False) -> Console:
    """The console for results that may be piped: standard output, or, if that carries JSON, standard error."""
    if as_json:
        return stderr()
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return shown.PlainConsole(soft_wrap=False, width=width)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    put_json(msgspec.json.format(msgspec.json.encode(document)).decode())


def shape(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """``NAME=1,3,224,224`` → {NAME: (1, 3, 224, 224)}.

    Raises:
        InputError: it is written otherwise.
    """
    shapes = {}
    for value in values:
        name, equals, numbers = value.rpartition("=")
        dimensions = numbers.split(",")
        if not equals or not name or not all(n.strip().isdecimal() and 0 < int(n) < 2**31 for n in dimensions):
            raise InputError(
                f"A shape is a name and positive dimensions, not {value!r}.",
                place="--shape",
                fix="write for instance --shape input=1,3,224,224",
            )
        shapes[name] = tuple(int(n) for n in dimensions)
    return shapes


def size(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """``2G`` → bytes; None stays None.

    Raises:
        InputError: it is written otherwise.
    """
    return None if value is None else cachedir.parsed(value, parameter.opts[0])


def memory(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A size as it was written, once it is known to be one.

    Raises:
        InputError: it is none, or too little to load any library.
    """
    if value is not None:
        config.memory_bytes(value, parameter.opts[0])
    return value


def duration(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A duration as it was written, once it is known to be one.

    Raises:
        InputError: it is none, or 0.
    """
    if value is not None:
        config.seconds(value, parameter.opts[0])
    return value


def constant(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Constant]:
    """``NAME=16000``, ``NAME=1,2,3`` or ``NAME=true`` → {NAME: (16000,)} and so on.

    Raises:
        InputError: it is written otherwise.
    """
    constants: dict[str, Constant] = {}
    for value in values:
        name, equals, given = value.rpartition("=")
        numbers = tuple(_number(part.strip()) for part in given.split(","))
        if not equals or not name or None in numbers:
            raise InputError(
                f"A constant is a name and its value or values, not {value!r}.",
                place="--constant",
                fix="write for instance --constant sr=16000, --constant sizes=1,2,3 or --constant flag=true",
            )
        constants[name] = tuple(number for number in numbers if number is not None)
    return constants


def _number(text: str) -> bool | int | float | None:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def settings(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``KEY=VALUE`` of quantization, and ``PASS.KEY=VALUE`` of a recipe's passes → the project's tables, if any.

    Raises:
        InputError: it is written otherwise, or quantization has no such key or value.
    """
    dotted = [value for value in values if "." in value.partition("=")[0]]
    plain = tuple(value for value in values if value not in dotted)
    found: dict[str, Any] = {"quantization": quantization(context, parameter, plain)} if plain else {}
    return found | ({"passes": pass_settings(parameter.opts[0], dotted)} if dotted else {})


def pass_settings(option: str, values: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``qat.epochs=3`` → {"qat": {"epochs": 3}}; which passes and keys there are is for the recipe to say."""
    passes: dict[str, dict[str, Any]] = {}
    for value in values:
        key, equals, said = (part.strip() for part in value.partition("="))
        name, _, field = key.partition(".")
        if not equals or not name or not field or not said:
            raise InputError(
                f"A pass's setting is its name, a key and a value, not {value!r}.",
                place=option,
                fix=f"write for instance {option} qat.epochs=3",
            )
        several = isinstance(getattr(Training(), field, None), tuple)
        number = _number(said)
        one = said if number is None else number
        passes.setdefault(name, {})[field] = _several(said) if several else one
    return passes


def _several(said: str) -> list[str]:
    """What a list holds: ``A,B``, or as a file has it, ``["A", "B"]``."""
    bare = said[1:-1] if said.startswith("[") and said.endswith("]") else said
    parts = (part.strip() for part in bare.split(","))
    return [part[1:-1] if len(part) > 1 and part[0] == part[-1] in "\"'" else part for part in parts]


def quantization(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``KEY=VALUE`` → values by key, as `Quantization` has them; what a list holds stands between commas.

    Raises:
        InputError: it is written otherwise, or there is no such key or value.
    """
    option, content = parameter.opts[0], dict[str, Any]()
    for value in values:
        key, equals, said = (part.strip() for part in value.partition("="))
        if not equals or not key or not said:
            raise InputError(
                f"A setting is a key and its value, not {value!r}.",
                place=option,
                fix=f"write for instance {option} weights=learned or {option} float_operators=SOFTMAX,MEAN",
            )
        several = isinstance(getattr(Quantization(), key, None), tuple)
        numbers = [int(part) if part.isdecimal() else part for part in _several(said)]
        content[key] = numbers if several else {"true": True, "false": False}.get(said.lower(), said)
    checked: Quantization = toml.convert(content, Quantization, Path(option))
    return {key: getattr(checked, key) for key in content}


def listed(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """``A,B`` → (A, B)."""
    return () if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


MAX_SECONDS = click.option(
    "--max-seconds",
    type=click.FloatRange(1, 86400),
    metavar="N",
    help="Time limit for one inference, beyond what its operators explain.  [default: 10]",
)

SOURCE_OPTIONS = (
    click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar="NAME=1,3,224,224",
        callback=shape,
        help="Give an input the size to build for.",
    ),
    click.option(
        "--constant",
        "constants",
        multiple=True,
        metavar="NAME=VALUE",
        callback=constant,
        help="Replace an input by a constant.",
    ),
    click.option("--inputs", metavar="A,B", callback=listed, help="Cut the network: these tensors become its inputs."),
    click.option(
        "--outputs", metavar="C,D", callback=listed, help="Cut the network: these tensors become its outputs."
    ),
    click.option(
        "--custom-objects",
        metavar="MODULE:FUNCTION",
        help="Function that returns the custom classes of a Keras model.",
    ),
    click.option(
        "--keep-layout",
        is_flag=True,
        default=None,
        help="Keep the source's layout (NCHW) for inputs and outputs.",
    ),
    click.option(
        "--allow-unsafe",
        is_flag=True,
        default=None,
        help="Allow operators that do more than compute, and Python bytecode.",
    ),
    click.option(
        "--max-memory",
        metavar="SIZE",
        callback=memory,
        help="Memory limit for reading a model (24G).  [default: 80% of the machine's]",
    ),
    MAX_SECONDS,
)
"""How the source is read."""


def source_options[F: Callable[..., Any]](command: F) -> F:
    """A command with `SOURCE_OPTIONS`."""
    for option in reversed(SOURCE_OPTIONS):
        command = option(command)
    return command


class Number(click.FloatRange):
    """A finite number, in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; click alone takes nan, which is in every range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"A finite number is expected, not {value}.", param, ctx)
        return number


class MetricChoice(click.Choice[str]):
    """A built-in metric, or ``module:function``."""

    besides = ", or name your own function as module:function"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it was written."""
        return value if config.is_function(value) else str(super().convert(value, param, ctx))


RECIPE_OPTIONS = (
    click.option(
        "--recipe", metavar="NAME|FILE", help="Train or prune the network first (edgekit recipes lists the recipes)."
    ),
    click.option("--qat", is_flag=True, default=None, help="Short for a recipe: quantization-aware training."),
    click.option(
        "--prune",
        type=Number(0, 1, min_open=True, max_open=True),
        metavar="X",
        help="Short for a recipe: set this share of the weights to zero.",
    ),
    click.option("--yes", is_flag=True, default=None, help="Prune weights although no file becomes faster by it."),
    click.option(
        "--prune-channels",
        type=Number(0, 1, min_open=True, max_open=True),
        metavar="X",
        help="Short for a recipe: remove channels with this share of the MACs.",
    ),
    click.option(
        "--data", metavar="PATH", help="Samples to train on, labelled or not.  [default: those of --calibration]"
    ),
    click.option("--teacher", metavar="MODEL", help="Model whose outputs training is to meet.  [default: MODEL]"),
)
"""What is done to a network before files are made of it."""


def recipe_options[F: Callable[..., Any]](command: F) -> F:
    """A command with `RECIPE_OPTIONS`."""
    for option in reversed(RECIPE_OPTIONS):
        command = option(command)
    return command


def ensure_gain(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags without ``yes``, which ``prune`` asks for: zeros are rarely what its user has in mind.

    XNNPACK's sparse kernels for 1×1 convolutions want a format that edgekit does not write, and are never taken on x86
    with AVX (``src/subgraph.c``, ``xnn_is_chw_compatible_config``). All other kernels that edgekit's targets have
    multiply zeros, too.

    Raises:
        InputError: the user has not said yes.
    """
    if flags.get("prune") is not None and not flags.get("yes"):
        raise InputError(
            "Zeros make a file smaller only once it is compressed, and not faster: no kernel of edgekit's targets "
            "skips them in the files that it writes.",
            place=f"--prune {flags['prune']:g}",
            fix=f"remove whole channels (--prune-channels {flags['prune']:g}), or add --yes",
        )
    return {name: value for name, value in flags.items() if name != "yes"}


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")


@contextmanager
def session(
    console: Console,
    cache_limit: int | None = None,
    max_memory: str | None = None,
    max_seconds: float | None = None,
) -> Iterator[Session]:
    """A session with the user's cache, a log file, and progress on a terminal.

    ``cache_limit`` in bytes is what the cache's answers may take, instead of `edgekit.host.cachedir.limit_bytes`;
    ``max_memory``, a size, what a process may that reads models, and ``max_seconds`` what an inference may.

    A request to end, or the end of the terminal, is an interruption as from the keyboard: what lies on a
    device is taken back. Whoever started edgekit with nohup wants it to go on.
    """
    heard = [signal.SIGTERM, signal.SIGHUP]
    before = {
        number: signal.signal(number, _interrupted) for number in heard if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        with _session(console, cache_limit, max_memory, max_seconds) as running:
            yield running
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _session(
    console: Console, cache_limit: int | None, max_memory: str | None, max_seconds: float | None
) -> Iterator[Session]:
    memory_bytes = None if max_memory is None else config.memory_bytes(max_memory, "--max-memory")
    for doubt in cachedir.doubts(cachedir.cache_folder()):
        console.print(f"warning: {doubt}", style="yellow")
    with watcher(console) as watching, opened(watching, cache_limit, memory_bytes, max_seconds) as running:
        yield running


def existing(path: str, named_in: str | None = None) -> Path:
    """A path that must exist.

    Args:
        path: as the user gave it.
        named_in: the file and the key that give it, if no argument does.

    Raises:
        InputError: it does not.
    """
    if not Path(path).exists():
        fix = "check the path" if named_in is None else "correct it there"
        raise InputError(f"There is no file or folder {path}.", place=named_in or path, fix=fix)
    return Path(path)
