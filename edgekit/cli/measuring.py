"""What the verbs that measure share: their options, and what these ask for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from rich.console import Console, Group, RenderableType

from edgekit import config
from edgekit.cli import options, trusting
from edgekit.cli.console import say
from edgekit.engine.session import Session
from edgekit.errors import BudgetMissed, EdgekitError, InputError, Unsupported
from edgekit.measure import attached, profiling
from edgekit.measure.profiling import Wishes
from edgekit.measure.protocol import FULL, QUICK, Settings
from edgekit.measure.subject import Subject, subjects
from edgekit.nouns import manifest
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Delegate, Device
from edgekit.nouns.results import Measured, Result
from edgekit.report import profiles as screens


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
            click.option("--device", metavar="ID", help="Where to run.  [default: this host]"),
            click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."),
            click.option(
                "--delegate", type=click.Choice(get_args(Delegate)),
                help="What takes operators off LiteRT's own kernels.  [default: the file's, else xnnpack]",
            ),
            click.option(
                "--cores", metavar="0,1", callback=cores, help="Pin the process to these CPUs of the device."
            ),
            click.option("--require-full-delegation", is_flag=True, help="Exit 4 where the delegate leaves operators."),
            click.option("--energy", is_flag=True, help="Measure energy too, with the best meter there."),
            click.option("--meter", metavar="NAME", help="Measure energy with this meter."),
            click.option("--quick", is_flag=True, help="An answer within seconds; no figure to publish."),
            click.option("--input", "inputs", metavar="PATH", help="Samples to run on, instead of random ones."),
            click.option(
                "--shape", "shapes", multiple=True, metavar="NAME=1,3,224,224", callback=options.shape,
                help="Fix an ONNX input's dynamic dimensions.",
            ),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of random inputs and turns."),
            click.option("--benchmark-binary", metavar="FILE", help="Android's tool: a file, or `download`."),
            trusting.trust_option,
            click.option(
                "-o", "--output", metavar="DIR",
                help="Where profiles go.  [default: profiles/ in an artifact's folder, dist/NAME/profiles/ for a file]",
            ),
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
        cores=flags["cores"],
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
    return made, Wishes(
        delegate=flags["delegate"], inputs=flags["inputs"], meter=flags["meter"], output=flags["output"]
    )


def subjects_of(session: Session, path: Path, device: Device, flags: dict[str, Any]) -> list[Subject]:
    """The file, or all files of a folder that the device runs."""
    return subjects(session, path, device.runs, SourceOptions(shapes=flags["shapes"]))


def chosen(session: Session, device: str | None, settings: Settings, *, trusted: bool) -> Device:
    """The device to measure on; ``trusted`` says that the current folder's project may name it.

    Raises:
        InputError: there is none of that id, or an option is for another kind.
        DeviceError, MissingTool: it is not usable.
    """
    found = attached.choose(session, trusting.devices(trusted=trusted, wanted=device), device)
    if settings.run.benchmark_binary is not None and found.kind != "adb":
        raise InputError(
            f"{found.title} runs no benchmark_model; only phones do.", place="--benchmark-binary", fix="leave it out"
        )
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
    """0, or a missed budget's code where a device computes something else than this host."""
    wrong = any(row.profile.verification is not None and row.profile.verification.verdict == "fail" for row in measured)
    return BudgetMissed.exit_code if wrong else 0


@dataclass(frozen=True)
class Measurements:
    """What was measured after a build: the screen, the errors, and the exit code."""

    screen: RenderableType
    errors: list[EdgekitError]
    exit_code: int


@dataclass(frozen=True)
class AfterBuild:
    """The devices on which a build is to be verified and measured, known to be usable before the build begins."""

    session: Session
    wanted: config.Project
    verify_on: Device | None
    profile_on: Device | None

    @classmethod
    def of(cls, session: Session, wanted: config.Project, places: dict[str, str]) -> "AfterBuild":
        """Find the devices.

        Args:
            session: whose workers look.
            wanted: what names them, under ``verify_on`` and ``device``.
            places: where each of these two was said, for complaints.

        Raises:
            InputError: there is no such device.
            DeviceError, MissingTool: it is not usable.
        """
        configured = config.devices(wanted)

        def choose(key: str) -> Device:
            return attached.choose(session, configured, getattr(wanted, key), places[key])

        verify_on = choose("verify_on") if wanted.verify_on is not None else None
        if verify_on is not None:
            profiling.refuse_host(verify_on)
        return cls(session, wanted, verify_on, choose("device") if wanted.profile else None)

    def measure(self, results: list[Result]) -> Measurements:
        """Verify and profile every file just built; a file that fails does not keep the others from it."""
        parts: list[RenderableType] = []
        codes: list[int] = []
        errors: list[EdgekitError] = []
        for device, measure in ((self.verify_on, self._verify), (self.profile_on, self._profile)):
            if device is None:
                continue
            try:
                found = _built(self.session, results, device)
            except EdgekitError as error:
                errors.append(error)
                continue
            for subject in found:
                try:
                    screen, code = measure(device, subject)
                except EdgekitError as error:
                    errors.append(error)
                else:
                    parts.append(screen)
                    codes.append(code)
        first = errors[0].exit_code if errors else 0
        return Measurements(Group(*parts), errors, first or max(codes, default=0))

    def _verify(self, device: Device, subject: Subject) -> tuple[RenderableType, int]:
        wishes = Wishes(inputs=self.wanted.eval or self.wanted.calibration)
        name, found = profiling.verify_on(self.session, device, subject, wishes, self.wanted.seed)
        return screens.verification(found, name), BudgetMissed.exit_code if found.verdict == "fail" else 0

    def _profile(self, device: Device, subject: Subject) -> tuple[RenderableType, int]:
        settings = QUICK if self.wanted.quick else FULL
        seeded = replace(settings, protocol=msgspec.structs.replace(settings.protocol, seed=self.wanted.seed))
        measured = profiling.profile(self.session, device, [subject], seeded, Wishes())
        return screens.profiles(measured), exit_code(measured)


def _built(session: Session, results: list[Result], device: Device) -> list[Subject]:
    """The files of all results that a device runs.

    Raises:
        Unsupported: it runs none of them, so that nothing would be shown.
    """
    made = [result for result in results if result.manifest is not None]
    folders = [
        result.folder
        for result in made
        if result.manifest is not None and any(f.file.endswith(device.runs) for f in result.manifest.artifacts)
    ]
    if made and not folders:
        raise Unsupported(
            f"{device.title} runs none of the files that were built; it runs {', '.join(device.runs) or 'nothing'}.",
            place=f"device {device.id}",
            fix="choose another device, or build for another target",
        )
    return [subject for folder in folders for subject in subjects(session, folder, device.runs)]


def refreshed(results: list[Result]) -> list[Result]:
    """Results with their manifests as they are now that measurements stand in them."""
    return [
        result
        if result.manifest is None
        else msgspec.structs.replace(result, manifest=manifest.read(result.folder / manifest.FILE_NAME))
        for result in results
    ]
