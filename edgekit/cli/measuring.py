"""What the verbs that measure share: their options, and what these ask for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from rich.console import Group, RenderableType

from edgekit import config, manifest
from edgekit.cli import options
from edgekit.errors import BudgetMissed
from edgekit.flow import Result
from edgekit.measure import attached, profiling
from edgekit.measure.assembly import Measured
from edgekit.measure.profiling import Wishes
from edgekit.measure.protocol import FULL, QUICK, Settings
from edgekit.measure.subject import Subject, subjects
from edgekit.profiles import Delegate, Device
from edgekit.report import profiles as screens
from edgekit.session import Session


def measuring_options[F: Callable[..., Any]](command: F) -> F:
    """Where and how a measurement runs."""
    for option in reversed(
        (
            click.option("--device", metavar="ID", help="Where to run.  [default: this host]"),
            click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."),
            click.option(
                "--delegate", type=click.Choice(get_args(Delegate)), default="xnnpack", show_default=True,
                help="What takes operators off LiteRT's own kernels.",
            ),
            click.option("--require-full-delegation", is_flag=True, help="Exit 4 where the delegate leaves operators."),
            click.option("--energy", is_flag=True, help="Measure energy too, with the best meter there."),
            click.option("--meter", metavar="NAME", help="Measure energy with this meter."),
            click.option("--quick", is_flag=True, help="An answer within seconds; no figure to publish."),
            click.option("--input", "inputs", metavar="PATH", help="Samples to run on, instead of random ones."),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of random inputs and turns."),
            click.option("--benchmark-binary", metavar="FILE", help="Android's tool: a file, or `download`."),
            click.option("-o", "--output", metavar="DIR", help="Where profiles go, instead of beside the artifact."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def wanted(flags: dict[str, Any]) -> tuple[Settings, Wishes]:
    """What `measuring_options` and the verb's own flags ask for."""
    settings = QUICK if flags["quick"] else FULL
    binary = flags["benchmark_binary"]
    if binary not in {None, "download"}:
        binary = str(options.existing(binary).absolute())  # drivers run in another folder
    run = msgspec.structs.replace(
        settings.run,
        threads=flags["threads"],
        delegate=flags["delegate"],
        require_full_delegation=flags["require_full_delegation"],
        benchmark_binary=binary,
    )
    made = replace(
        settings,
        run=run,
        protocol=msgspec.structs.replace(settings.protocol, seed=flags["seed"]),
        energy=bool(flags["energy"] or flags["meter"]),
        operators=bool(flags.get("ops")),
        model_energy=bool(flags.get("model_energy")),
    )
    return made, Wishes(inputs=flags["inputs"], meter=flags["meter"], output=flags["output"])


def project() -> config.Project | None:
    """The ``edgekit.toml`` of the current folder, which may configure devices."""
    return config.project(Path.cwd()) if (Path.cwd() / config.FILE_NAME).is_file() else None


def document(row: Measured) -> dict[str, Any]:
    """A profile as plain data, with the paths of its files."""
    plain: dict[str, Any] = msgspec.to_builtins(row.profile)
    return plain | {"file": str(row.file), "raw": str(row.file.with_suffix(".npz"))}


def exit_code(measured: list[Measured]) -> int:
    """0, or a missed budget's code where a device computes something else than this host."""
    wrong = any(row.profile.verification is not None and row.profile.verification.verdict == "fail" for row in measured)
    return BudgetMissed.exit_code if wrong else 0


@dataclass(frozen=True)
class Measurements:
    """What was measured after a build: the results with their manifests as they are now, and the screen."""

    results: list[Result]
    screen: RenderableType
    exit_code: int


def after_build(session: Session, wanted: config.Project, results: list[Result]) -> Measurements:
    """Verify on a device, and profile, every file just built that the device runs.

    Raises:
        InputError: there is no such device.
        DeviceError: it is not usable, or went away.
    """
    configured = config.devices(wanted)
    parts: list[RenderableType] = []
    code = 0
    if wanted.verify_on is not None:
        device = attached.choose(session, configured, wanted.verify_on)
        samples = wanted.eval or wanted.calibration
        verified = [
            profiling.verify_on(session, device, subject, Wishes(inputs=samples), wanted.seed)
            for subject in _built(session, results, device)
        ]
        parts += [screens.verification(found, name) for name, found in verified]
        code = BudgetMissed.exit_code if any(found.verdict == "fail" for _, found in verified) else code
    if wanted.profile:
        device = attached.choose(session, configured, wanted.device)
        settings = QUICK if wanted.quick else FULL
        measured = profiling.profile(session, device, _built(session, results, device), settings, Wishes())
        parts.append(screens.profiles(measured))
        code = code or exit_code(measured)
    now = [
        result
        if result.manifest is None
        else replace(result, manifest=manifest.read(result.folder / manifest.FILE_NAME))
        for result in results
    ]
    return Measurements(now, Group(*parts), code)


def _built(session: Session, results: list[Result], device: Device) -> list[Subject]:
    """The files of all results that a device runs."""
    folders = [
        result.folder
        for result in results
        if result.manifest is not None and any(f.file.endswith(device.runs) for f in result.manifest.artifacts)
    ]
    return [subject for folder in folders for subject in subjects(session, folder, device.runs)]
