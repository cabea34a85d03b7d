"""What the verbs return to programs: nouns that print as the command line's screens, and as HTML in notebooks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, InputError
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.model import TensorRow
from edgekit.nouns.profile import Comparison, Device, DeviceVerification, Latency, Profile
from edgekit.nouns.results import Check, Health, Inspection, Measured, Result
from edgekit.nouns.sensing import Availability
from edgekit.nouns.target import Target
from edgekit.nouns.verification import Verification

if TYPE_CHECKING:
    from rich.console import RenderableType


class Shown:
    """Something that prints as a screen."""

    def screen(self) -> "RenderableType":
        """The screen, for rich."""
        raise NotImplementedError  # each result has its own

    def __str__(self) -> str:
        from edgekit.report import shown  # noqa: PLC0415  only what is shown needs rich

        return shown.text(self.screen())

    def _repr_html_(self) -> str:
        """The screen for notebooks."""
        from edgekit.report import shown  # noqa: PLC0415  as above

        return shown.html(self.screen())


@dataclass(frozen=True, repr=False)
class BuiltFile(Shown):
    """One file that was built. It can be given wherever a path can.

    Attributes:
        path: where it lies.
        described: what the manifest says of it.
    """

    path: Path
    described: ArtifactFile

    @property
    def verification(self) -> Verification | None:
        """The evidence that it computes what its source computes, with ``sqnr_db`` and ``verdict``."""
        return self.described.verification

    @property
    def precision(self) -> str:
        """Such as ``int8``."""
        return self.described.precision

    @property
    def size_bytes(self) -> int:
        """The size of all its parts."""
        return self.described.size_bytes

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        verdict = self.verification.verdict if self.verification is not None else "not verified"
        return f"<BuiltFile {self.path}: {self.precision}, {self.size_bytes} bytes, {verdict}>"

    def screen(self) -> "RenderableType":
        """Its repr."""
        return repr(self)


@dataclass(frozen=True, repr=False)
class BuiltFolder(Mapping[str, BuiltFile], Shown):
    """What was built for one target: a mapping of file name → `BuiltFile`.

    A precision is a key too, if a single file has it: ``folder["int8"]``.

    Attributes:
        target: its name.
        path: where the files and ``manifest.json`` lie.
        manifest: everything that is known of them.
    """

    target: str
    path: Path
    manifest: Manifest

    def __getitem__(self, key: str) -> BuiltFile:
        rows = self.manifest.artifacts
        found = [row for row in rows if row.file == key] or [row for row in rows if row.precision == key]
        if len(found) != 1:
            several = f"several files are {key}" if found else f"there is no {key}"
            raise KeyError(f"{several}; the files are {', '.join(f'{row.file} ({row.precision})' for row in rows)}")
        return BuiltFile(self.path / found[0].file, found[0])

    def __iter__(self) -> Iterator[str]:
        return (row.file for row in self.manifest.artifacts)

    def __len__(self) -> int:
        return len(self.manifest.artifacts)

    def __fspath__(self) -> str:
        return str(self.path)

    def screen(self) -> "RenderableType":
        """The screen that ends a build."""
        from edgekit.report import screens  # noqa: PLC0415  only what is shown needs rich

        return screens.results([Result(self.target, self.path, self.manifest)])

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class BuildResult(Mapping[str, BuiltFolder], Shown):
    """What became of each target: a mapping of name → `BuiltFolder`; the error of a target that failed is raised.

    Attributes:
        results: a row for each target, with its manifest or its error.
        measured: what was measured of the files, if ``profile`` asked for it.
        verified: what ``verify_on`` showed, by file name.
        measuring_errors: of the files that could not be measured.
    """

    results: tuple[Result, ...]
    measured: tuple[Measured, ...] = ()
    verified: tuple[tuple[str, DeviceVerification], ...] = ()
    measuring_errors: tuple[EdgekitError, ...] = ()

    @property
    def errors(self) -> dict[str, EdgekitError]:
        """Of the targets that failed, by name."""
        return {row.target: row.error for row in self.results if row.error is not None}

    def __getitem__(self, target: str) -> BuiltFolder:
        row = next((row for row in self.results if row.target == target), None)
        if row is None:
            raise KeyError(f"{target} was not built; the targets are {', '.join(self)}")
        if row.error is not None:
            raise row.error
        if row.manifest is None:
            raise KeyError(f"{target} has no manifest")
        return BuiltFolder(row.target, row.folder, row.manifest)

    def __iter__(self) -> Iterator[str]:
        return (row.target for row in self.results)

    def __len__(self) -> int:
        return len(self.results)

    def screen(self) -> "RenderableType":
        """The screen that ends a build, then errors and what was measured."""
        from rich.console import Group  # noqa: PLC0415  only what is shown needs rich
        from rich.text import Text  # noqa: PLC0415  as above

        from edgekit.report import profiles, screens  # noqa: PLC0415  as above

        failed = [Text(f"{name}: {error}") for name, error in self.errors.items()]
        seen = [profiles.verification(found, name) for name, found in self.verified]
        times = [profiles.profiles(self.measured)] if self.measured else []
        return Group(
            screens.results(self.results), *failed, *seen, *times, *(Text(str(e)) for e in self.measuring_errors)
        )

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class CheckResult(Sequence[Check], Shown):
    """Whether targets take a model: an `edgekit.nouns.results.Check` for each file of each target."""

    checks: tuple[Check, ...]

    @property
    def works(self) -> bool:
        """Whether all of them do."""
        return all(row.works for row in self.checks)

    def __getitem__(self, index: Any) -> Any:
        return self.checks[index]

    def __len__(self) -> int:
        return len(self.checks)

    def screen(self) -> "RenderableType":
        """A line for each file."""
        from edgekit.report import screens  # noqa: PLC0415  only what is shown needs rich

        return screens.checks(self.checks)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class InspectResult(Shown):
    """What a model is.

    Attributes:
        inspection: its signature (``model.signature``), its operators, parameters and MACs (``cost``).
        tensors: its tensors, by which it can be cut, if they were asked for.
        manifest: of a folder that was built, with the ``lineage`` of each of its ``artifacts``.
    """

    inspection: Inspection | None
    tensors: tuple[TensorRow, ...] = ()
    manifest: Manifest | None = None

    def screen(self) -> "RenderableType":
        """The tables of ``edgekit inspect``."""
        from edgekit.report import screens  # noqa: PLC0415  only what is shown needs rich
        from edgekit.report.lineage import lineage  # noqa: PLC0415  as above

        if self.manifest is not None:
            return lineage(self.manifest)
        return screens.tensors(self.tensors) if self.inspection is None else screens.inspection(self.inspection)

    def __getattr__(self, name: str) -> Any:
        """The inspection's own fields: ``result.model``, ``result.cost``."""
        if name in Inspection.__struct_fields__ and self.inspection is not None:
            return getattr(self.inspection, name)
        raise AttributeError(name)

    __repr__ = Shown.__str__


@dataclass(frozen=True)
class LatencyMs:
    """Latency in ms; None if it is not known. ``low`` and ``high`` are the median's 95 % interval."""

    median: float | None
    low: float | None
    high: float | None
    mean: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, found: Latency | None) -> "LatencyMs":
        """The figures of a profile."""
        if found is None:
            return cls(None, None, None, None, None, None)
        middle = found.median_ms
        return cls(middle.value, middle.low, middle.high, found.mean_ms.value, found.p90_ms.value, found.p99_ms.value)


@dataclass(frozen=True, repr=False)
class ProfileResult(Sequence[Measured], Shown):
    """What was measured: an `edgekit.nouns.results.Measured` for each file, with its profile and where that stands."""

    measured: tuple[Measured, ...]

    @property
    def profile(self) -> Profile:
        """The profile, if a single file was measured.

        Raises:
            InputError: several were.
        """
        if len(self.measured) != 1:
            names = ", ".join(row.profile.artifact for row in self.measured)
            raise InputError(
                f"{len(self.measured)} files were measured: {names}.",
                place="profile",
                fix="take one: result[0].profile",
            )
        return self.measured[0].profile

    @property
    def latency_ms(self) -> LatencyMs:
        """The latency, if a single file was measured.

        Raises:
            InputError: several were.
        """
        return LatencyMs.of(self.profile.latency)

    def __getitem__(self, index: Any) -> Any:
        return self.measured[index]

    def __len__(self) -> int:
        return len(self.measured)

    def screen(self) -> "RenderableType":
        """The table of ``edgekit profile``."""
        from edgekit.report import profiles  # noqa: PLC0415  only what is shown needs rich

        return profiles.profiles(self.measured)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class CompareResult(Shown):
    """Which of two files is faster.

    Attributes:
        comparison: the ratio of A's latency to B's with its 95 % interval, and the ``verdict``.
        names: of A and B.
        device: where they were measured.
        measured: both profiles.
    """

    comparison: Comparison
    names: tuple[str, str]
    device: str
    measured: tuple[Measured, ...] = ()

    @property
    def verdict(self) -> str:
        """``faster``, ``slower`` (A than B) or ``no difference shown``."""
        return self.comparison.verdict

    def screen(self) -> "RenderableType":
        """The verdict of ``edgekit compare``."""
        from edgekit.report import profiles  # noqa: PLC0415  only what is shown needs rich

        return profiles.comparison(self.comparison, *self.names, self.device)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class TargetsResult(Mapping[str, Target], Shown):
    """Targets by name."""

    targets: tuple[Target, ...]

    def __getitem__(self, name: str) -> Target:
        return {row.name: row for row in self.targets}[name]

    def __iter__(self) -> Iterator[str]:
        return (row.name for row in self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def screen(self) -> "RenderableType":
        """A line for each."""
        from edgekit.report import screens  # noqa: PLC0415  only what is shown needs rich

        return screens.targets(self.targets)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class DevicesResult(Mapping[str, Device], Shown):
    """Devices by id.

    Attributes:
        rows: each device with its meters.
    """

    rows: tuple[tuple[Device, dict[str, Availability]], ...]

    def __getitem__(self, name: str) -> Device:
        return {device.id: device for device, _ in self.rows}[name]

    def __iter__(self) -> Iterator[str]:
        return (device.id for device, _ in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def screen(self) -> "RenderableType":
        """The table of ``edgekit devices``."""
        from edgekit.report import profiles  # noqa: PLC0415  only what is shown needs rich

        return profiles.devices(self.rows)

    __repr__ = Shown.__str__


@dataclass(frozen=True, repr=False)
class DoctorResult(Shown):
    """What works here.

    Attributes:
        health: each part, and what would make it work.
    """

    health: Health

    def screen(self) -> "RenderableType":
        """The table of ``edgekit doctor``."""
        from edgekit.report import screens  # noqa: PLC0415  only what is shown needs rich

        return screens.health(self.health)

    __repr__ = Shown.__str__
