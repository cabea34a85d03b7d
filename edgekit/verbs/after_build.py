"""Verify and measure on devices what was just built."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgekit import config
from edgekit.engine.session import Session
from edgekit.errors import BudgetMissed, CancelledError, EdgekitError, Unsupported
from edgekit.measure import discovery
from edgekit.measure.protocol import FULL, QUICK
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns import manifest
from edgekit.nouns.profile import Device, DeviceVerification
from edgekit.nouns.results import Measured, Result
from edgekit.verbs.profile import profile
from edgekit.verbs.verify_on import refuse_host, verify_on


@dataclass(frozen=True)
class Devices:
    """The devices on which a build is to be verified and measured; None if that is not asked for."""

    verify_on: Device | None
    profile_on: Device | None


@dataclass(frozen=True)
class Measurements:
    """What was seen on devices of the files that were built, and the errors of those that could not be measured."""

    verified: tuple[tuple[str, DeviceVerification], ...]
    measured: tuple[Measured, ...]
    errors: tuple[EdgekitError, ...]

    @property
    def exit_code(self) -> int:
        """That of the first error, else a missed budget's if a device computes something else than this host."""
        if self.errors:
            return self.errors[0].exit_code
        found = [row for _, row in self.verified] + [m.profile.verification for m in self.measured]
        wrong = any(row is not None and row.verdict == "fail" for row in found)
        return BudgetMissed.exit_code if wrong else 0


def find_devices(session: Session, project: config.Project, places: dict[str, str]) -> Devices:
    """Find the devices that a project names, before a build begins.

    Args:
        session: whose workers look.
        project: what names them, under ``verify_on`` and ``device``.
        places: what named each of these two, for complaints.

    Raises:
        InputError: there is no such device.
        DeviceError, MissingTool: it is not usable.
    """
    configured = config.devices(project)

    def choose(key: str) -> Device:
        return discovery.choose(session, configured, getattr(project, key), places[key])

    on = choose("verify_on") if project.verify_on is not None else None
    if on is not None:
        refuse_host(on)
    return Devices(on, choose("device") if project.profile else None)


def measure_built(
    session: Session,
    project: config.Project,
    devices: Devices,
    results: list[Result],
    files: Mapping[str, Path] | None = None,
) -> Measurements:
    """Verify and profile every file just built; a file that fails does not keep the others from it.

    ``files`` are those of `edgekit.steps.data.load`.
    """
    settings = QUICK if project.quick else FULL
    settings = replace(settings, protocol=msgspec.structs.replace(settings.protocol, seed=project.seed))
    given = replace(QUICK, protocol=settings.protocol, inputs=_samples(project, files or {}))
    verified: list[tuple[str, DeviceVerification]] = []
    measured: list[Measured] = []
    errors: list[EdgekitError] = []

    def verify(device: Device, file: Measurable) -> None:
        verified.append(verify_on(session, device, file, given))

    def time(device: Device, file: Measurable) -> None:
        measured.extend(profile(session, device, [file], settings))

    for device, work in ((devices.verify_on, verify), (devices.profile_on, time)):
        if device is None:
            continue
        try:
            found = _built(session, results, device)
        except CancelledError:
            raise
        except EdgekitError as error:
            errors.append(error)
            continue
        for file in found:
            try:
                work(device, file)
            except CancelledError:
                raise
            except EdgekitError as error:
                errors.append(error)
    return Measurements(tuple(verified), tuple(measured), tuple(errors))


def _samples(project: config.Project, files: Mapping[str, Path]) -> str | None:
    """Where the samples are on which devices are verified."""
    key = "eval" if project.eval else "calibration"
    return str(files[key]) if key in files else getattr(project, key)


def _built(session: Session, results: list[Result], device: Device) -> list[Measurable]:
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
    return [file for folder in folders for file in subjects(session, folder, device.runs)]


def refreshed(results: list[Result]) -> list[Result]:
    """Results with their manifests as they are now that measurements stand in them."""
    return [
        result
        if result.manifest is None
        else msgspec.structs.replace(result, manifest=manifest.read(result.folder / manifest.FILE_NAME))
        for result in results
    ]
