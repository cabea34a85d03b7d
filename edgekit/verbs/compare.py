"""Tell which of two files is faster on a device."""

from pathlib import Path

import msgspec

from edgekit.engine.session import Session
from edgekit.errors import InputError, Unsupported
from edgekit.measure import energy, figures, statistics
from edgekit.measure.measurement import measure, steps
from edgekit.measure.protocol import Bench, MeasurementSettings
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Comparison, Device, Profile
from edgekit.nouns.results import Measured


def compare(
    session: Session, device: Device, pair: tuple[Measurable, Measurable], settings: MeasurementSettings
) -> tuple[list[Measured], Comparison]:
    """Measure two files in blocks that take turns, record both, and judge the ratio of their latencies.

    Raises:
        As `edgekit.verbs.profile.profile`; and
        Unsupported: this device gives no times.
    """
    bench = Bench(session, device)
    if not device.times:
        raise Unsupported(
            f"{device.title} gives no times, so that nothing can be compared on it.",
            place=f"device {device.id}",
            fix="compare on this host, or on a phone or board",
        )
    session.progress.plan(2 * steps(device, settings))
    measured = measure(bench, list(pair), settings)
    return measured, compare_profiles(measured[0].profile, measured[1].profile)


def compare_profiles(a: Profile, b: Profile) -> Comparison:
    """Judge two recorded profiles.

    Raises:
        InputError: they are of different devices, or were not measured in turns: what the device did
            between two measurements is in no interval.
    """
    for what, first, second in (
        ("devices", a.device.id, b.device.id),
        ("numbers of threads", str(a.run.threads), str(b.run.threads)),
    ):
        if first != second:
            raise InputError(
                f"The profiles are of different {what}: {first} and {second}.",
                place=f"{a.artifact} and {b.artifact}",
                fix="compare the artifacts themselves, which measures both in turns: edgekit compare A B",
            )
    if a.session != b.session:
        raise InputError(
            "The profiles were not measured in turns, so what the device did in between is in no interval.",
            place=f"{a.artifact} ({a.created_utc}) and {b.artifact} ({b.created_utc})",
            fix="compare the artifacts themselves, which measures both in turns: edgekit compare A B",
        )
    pairs = figures.pairs(a, b, "latency")
    found = statistics.compare([x for x, _ in pairs], [y for _, y in pairs])
    return msgspec.structs.replace(found, energy=energy.compared(a.energy, b.energy))


def pair(
    session: Session, paths: tuple[Path, Path], device: Device, options: SourceOptions
) -> tuple[Measurable, Measurable]:
    """The two files to compare, each a file or a folder that holds one that the device runs.

    Raises:
        InputError: a folder holds several.
    """
    first, second = (_one(session, path, device, options) for path in paths)
    return first, second


def _one(session: Session, path: Path, device: Device, options: SourceOptions) -> Measurable:
    found = subjects(session, path, device.runs, options)
    if len(found) > 1:
        raise InputError(
            f"{path} holds several files: {', '.join(file.name for file in found)}.",
            place=str(path),
            fix=f"name one of them: {found[0].path}",
        )
    return found[0]


def names(files: tuple[Measurable, Measurable]) -> tuple[str, str]:
    """File names, with as much of their paths as tells them apart."""
    first, second = files
    if first.name != second.name:
        return first.name, second.name
    if first.path.resolve() == second.path.resolve():
        return lettered((first.name, second.name))
    return str(first.path), str(second.path)


def lettered(names: tuple[str, str]) -> tuple[str, str]:
    """Names that are the same, told apart."""
    return f"{names[0]} (A)", f"{names[1]} (B)"
