"""What the verbs that measure share: their options, and what these ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from rich.console import Console

from edgekit.cli import options, trusting
from edgekit.cli.console import say
from edgekit.engine.session import Session
from edgekit.errors import BudgetMissed, InputError
from edgekit.measure import discovery
from edgekit.measure.protocol import FULL, QUICK, MeasurementSettings, adjusted
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Delegate, Device
from edgekit.nouns.results import Measured
from edgekit.report import profiles as screens
from edgekit.verbs.profile import require_fit


def cores(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
    """``0,1`` → (0, 1).

    Raises:
        InputError: it is written otherwise.
    """
    if value is None:
        return ()
    numbers = value.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise InputError(f"Cores are numbers, not {value!r}.", place="--cores", fix="write for instance --cores 0,1")
    return tuple(int(number) for number in numbers)


def measuring_options[F: Callable[..., Any]](command: F) -> F:
    """Where and how a measurement runs."""
    for option in reversed(
        (
            click.option("--device", metavar="ID", help="Device to run on.  [default: this host]"),
            click.option(
                "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Number of CPU threads."
            ),
            click.option(
                "--delegate",
                type=click.Choice(get_args(Delegate)),
                help="Delegate to run on.  [default: the file's own, or xnnpack]",
            ),
            click.option("--cores", metavar="0,1", callback=cores, help="Pin the process to these CPU cores."),
            click.option("--require-full-delegation", is_flag=True, help="Exit 4 if operators are left to the CPU."),
            click.option("--energy", is_flag=True, help="Measure energy too, with the best meter available."),
            click.option("--meter", metavar="NAME", help="Measure energy with this meter."),
            click.option("--quick", is_flag=True, help="Measure for seconds only; not for figures to publish."),
            click.option("--input", "inputs", metavar="PATH", help="Samples to run on.  [default: random]"),
            click.option(
                "--shape",
                "shapes",
                multiple=True,
                metavar="NAME=1,3,224,224",
                callback=options.shape,
                help="Fix an ONNX input's dynamic dimensions.",
            ),
            click.option(
                "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Seed for random inputs and block order."
            ),
            click.option(
                "--benchmark-binary",
                metavar="FILE",
                help="The benchmark_model binary for Android: a file, or `download`.",
            ),
            trusting.trust_option,
            click.option(
                "-o",
                "--output",
                metavar="DIR",
                help="Folder for profiles.  [default: profiles/ beside the artifact, dist/NAME/profiles/ for a file]",
            ),
        )
    ):
        command = option(command)
    return command


def wanted(flags: dict[str, Any]) -> MeasurementSettings:
    """What `measuring_options` and the verb's own flags ask for."""
    binary = flags["benchmark_binary"]
    if binary not in {None, "download"}:
        binary = str(options.existing(binary).absolute())  # drivers run in another folder
    said = ("threads", "cores", "require_full_delegation", "seed", "energy", "meter", "delegate", "inputs", "output")
    return adjusted(
        QUICK if flags["quick"] else FULL,
        benchmark_binary=binary,
        operators=bool(flags.get("ops")),
        model_energy=bool(flags.get("model_energy")),
        **{name: flags[name] for name in said},
    )


def subjects_of(session: Session, path: Path, device: Device, flags: dict[str, Any]) -> list[Measurable]:
    """The file, or all files of a folder that the device runs."""
    return subjects(session, path, device.runs, SourceOptions(shapes=flags["shapes"]))


def chosen(session: Session, device: str | None, settings: MeasurementSettings, *, trusted: bool) -> Device:
    """The device to measure on; ``trusted`` says that the current folder's project may name it.

    Raises:
        InputError: there is none of that id, or an option is for another kind.
        DeviceError, MissingTool: it is not usable.
    """
    found = discovery.choose(session, trusting.devices(trusted=trusted, wanted=device), device)
    require_fit(found, settings)
    return found


def show(console: Console, measured: list[Measured]) -> None:
    """The table and remarks of profiles, then where they stand, on lines that are there to be copied."""
    console.print(screens.profiles(measured))
    say()
    for row in measured:
        say(str(row.file))


def document(row: Measured) -> dict[str, Any]:
    """A profile as plain data, with the paths of its files."""
    plain: dict[str, Any] = msgspec.to_builtins(row.profile)
    return plain | {"file": str(row.file), "raw": str(row.file.with_suffix(".npz"))}


def exit_code(measured: list[Measured]) -> int:
    """0, or a missed budget's code if a device computes something else than this host."""
    wrong = any(row.profile.verification is not None and row.profile.verification.verdict == "fail" for row in measured)
    return BudgetMissed.exit_code if wrong else 0
