"""The front desk: a table of verbs, one module per verb, and the only place that catches errors.

`edgekit --help` reads the table and imports nothing heavier than click.
"""

import importlib
import sys
from collections.abc import Iterable
from typing import Any

import click

from edgekit.cli import console
from edgekit.errors import EdgekitError, InputError, from_os

VERBS = {
    "build": "Turn a model into verified artifacts for one or more targets.",
    "compress": "Train, prune or distill a model, and write the float network that comes of it.",
    "recipes": "List recipes, or show one.",
    "inspect": "Show signature, operators, parameters, MACs and memory of a model.",
    "check": "Tell whether targets take a model, and where its operators would run.",
    "run": "Run a built file on a photo or other input, and say what its outputs mean.",
    "diagnose": "Find at which operators a file loses accuracy, why, and what would help.",
    "profile": "Measure latency, memory and energy of an artifact on a device.",
    "compare": "Tell which of two artifacts is faster on a device, or that no difference is shown.",
    "report": "Explain artifacts on one HTML page.",
    "baseline": "Keep what artifacts are now, for edgekit gate to compare later ones with.",
    "gate": "Check artifacts against a budget and a baseline; exit 1 if one is missed.",
    "devices": "List attached devices, what they run and what is wrong; configure boards.",
    "targets": "List targets, or explain one.",
    "doctor": "Show what is installed, what works, and how to add the rest.",
    "cache": "Show or prune the cache.",
    "init": "Write an edgekit.toml for a model.",
}
"""Every verb with its one line of help; a module of this package defines ``verb``: see `_MODULES`."""

_MODULES = {"run": "running"}
"""Modules that are not named as their verbs are: ``edgekit.cli.run`` is the function that runs a command line."""


class Verbs(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """The verbs in the order of a user's work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"edgekit.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.verb
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown verb is answered with the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.NoSuchOption(
                args[0], f"There is no verb {args[0]}.", possibilities=_nearest(args[0], VERBS), ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the table."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _nearest(word: str, words: Iterable[str]) -> list[str]:
    import difflib  # noqa: PLC0415  only after a mistake

    return difflib.get_close_matches(word, list(words), n=1)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgekit")
def edgekit() -> None:
    """Make a trained network run well on phones, boards and accelerators, and prove that it does.

    \b
    edgekit build model.onnx --target android --calibration samples.npz
    """


def main() -> None:
    """Run the command line; every failure becomes a message and an exit code."""
    code = run(sys.argv[1:])
    console.settle()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command line.

    Returns:
        The exit code (see `edgekit.errors`).
    """
    with console.streams():
        try:
            return _run(arguments)
        except console.ClosedPipeError:
            return 141


def _run(arguments: list[str]) -> int:
    try:
        console.check_text(arguments)
        outcome = edgekit.main(arguments, prog_name="edgekit", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        return _complain(_usage(error), arguments)
    except (click.Abort, KeyboardInterrupt):
        console.say("Interrupted. Nothing half-written stays behind.")
        return 130
    except EdgekitError as error:
        return _complain(error, arguments)
    except console.ClosedPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the one place where every bug ends
        mended = console.gone(error) or (from_os(error) if isinstance(error, OSError) else None)
        return _bug(arguments) if mended is None else _complain(mended, arguments)
    return outcome if isinstance(outcome, int) else 0


def _usage(error: click.UsageError) -> InputError:
    """Click's complaint in our form: the problem, the option it is about, the nearest right word."""
    place = error.ctx.command_path if error.ctx else "edgekit"
    problem, fix = error.format_message().partition(" Did you mean")[0], f"see {place} --help"
    nearest = getattr(error, "possibilities", None) or ()
    if (
        isinstance(error, click.BadParameter)
        and error.param is not None
        and not isinstance(error, click.MissingParameter)
    ):
        place, problem = error.param.opts[0], error.message[:1].upper() + error.message[1:]
        choices, more = getattr(error.param.type, "choices", ()), getattr(error.param.type, "besides", "")
        word = problem.split("'")[1] if choices else ""
        nearest, fix = _nearest(word, choices), f"choose from {', '.join(choices)}{more}" if choices else fix
        problem = f"Invalid value {word!r} for {place}." if choices else _plain(problem)
    if nearest:
        fix = f"did you mean {' or '.join(sorted(nearest))}?"
    return InputError(problem, place=place, fix=fix)


def _plain(problem: str) -> str:
    """Click's names of number types as people say them."""
    return problem.replace("integer range", "whole number").replace("float range", "number")


def _complain(error: EdgekitError, arguments: list[str]) -> int:
    """Say problem, place and fix on stderr; with --json also on stdout."""
    first, *rest = console.told(error)
    click.echo(click.style(f"{_title(error)}: ", fg="red", bold=True) + first, err=True)
    if rest:
        console.say(*rest)
    if "--json" in arguments and error.place != console.OUTPUT:
        try:
            console.put_json(_json(error))
        except InputError as unwritten:
            console.say(*console.told(unwritten))
    return error.exit_code


def _title(error: EdgekitError) -> str:
    return {1: "Budget missed", 3: "Missing tool", 4: "Unsupported", 5: "Device error"}.get(error.exit_code, "Error")


def _json(error: EdgekitError) -> str:
    import json  # noqa: PLC0415  only if it is asked for

    return json.dumps({"error": as_dict(error)}, indent=2)


def as_dict(error: EdgekitError) -> dict[str, Any]:
    """An error as plain data: remedy, problem, place, fix, exit code."""
    return {
        "remedy": type(error).__name__,
        "problem": error.problem,
        "place": error.place,
        "fix": error.fix,
        "exit_code": error.exit_code,
    }


def _bug(arguments: list[str]) -> int:
    """Write the traceback to a log file, show its path."""
    import traceback  # noqa: PLC0415

    trace = traceback.format_exc()
    try:
        from edgekit.engine.session import log_file  # noqa: PLC0415

        log = log_file()
        with log.open("a", encoding="utf8") as file:
            file.write(trace)
        place = str(log)
    except (OSError, InputError):  # no place for a log: the screen is all there is
        console.say(trace)
        place = "the lines above, since no log file can be written"
    return _complain(
        EdgekitError(
            "Something went wrong inside edgekit; this is a bug in it, not in your input.",
            place=place,
            fix="report it with that, please",
        ),
        arguments,
    )
