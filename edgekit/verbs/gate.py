"""Save a baseline, and hold artifacts against it and against their budget; what seems slower is measured again."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from edgekit import config
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.errors import InputError
from edgekit.measure import baseline as baselines
from edgekit.measure import figures, gating, regressions
from edgekit.measure.gated import GatedFile
from edgekit.measure.measurement import measure, steps
from edgekit.measure.protocol import FULL, QUICK, Bench, MeasurementSettings
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns import manifest as manifests
from edgekit.nouns.gating import Baseline, BaselineFile, Figure, Finding, Gate
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Device, Profile
from edgekit.nouns.results import Result
from edgekit.verbs import planning

type Find = Callable[[Session, str], Device]
"""Finds a device by its id."""


@dataclass(frozen=True)
class Gated:
    """What a gate is asked to judge.

    ``demanded`` is the project with the budget, ``baseline`` a file; without devices, what is measured on them is left
    out. ``find`` finds a device to measure on again; None judges by what is recorded.
    """

    folders: list[Path]
    demanded: Project = field(default_factory=Project)
    baseline: Path | None = None
    without_device: bool = False
    find: Find | None = None


def folders(project: Project, model: Path) -> list[Path]:
    """Where a project's results stand.

    Raises:
        InputError: it names no targets, or one that there is not.
    """
    made = [folder for _, folder in planning.folders(project, model)]
    if not made:
        raise InputError(
            "No folder is named, and the project has no targets.",
            place="FOLDER",
            fix="name a folder: dist/model/android",
        )
    return made


def save(where: list[Path], path: Path, *, files: bool = False) -> Baseline:
    """Write a baseline of artifact folders; with ``files`` copies of their networks too.

    Raises:
        InputError: a folder is no artifact, two are of one target, or nothing can be written there.
    """
    made = baselines.baseline(_read(where))
    baselines.write(made, path, where if files else None)
    return made


def _read(where: list[Path]) -> list[Manifest]:
    read = [manifests.read(folder / manifests.FILE_NAME) for folder in where]
    for i, found in enumerate(read):
        if any(found.target == other.target for other in read[:i]):
            raise InputError(
                f"Two folders are of the target {found.target}.", place=str(where[i]), fix="name one folder a target"
            )
    return read


def gate(session: Session, gated: Gated) -> Gate:
    """Judge every file of some folders.

    Raises:
        InputError: a folder is no artifact, the baseline is of another model or device, or nothing says what to judge.
        DeviceError, MissingTool, Unsupported: what is to be measured again cannot be.
    """
    found = None if gated.baseline is None else baselines.read(gated.baseline)
    read = _read(gated.folders)
    old = {} if found is None else {(file.target, file.file): file for file in found.files}
    here = [
        (folder, GatedFile(manifest, file, gated.demanded.demands(manifest.target), gated.without_device))
        for folder, manifest in zip(gated.folders, read, strict=True)
        for file in manifest.artifacts
    ]
    names = {(subject.manifest.target, subject.file.file) for _, subject in here}
    if old and not names & old.keys():
        raise InputError(
            "The baseline holds none of these files.",
            place=str(gated.baseline),
            fix=f"it is of {', '.join(sorted('/'.join(name) for name in old))}: name those folders, or save a new one",
        )
    findings: list[Finding] = []
    for folder, subject in here:
        before = old.get((subject.manifest.target, subject.file.file))
        findings += _Judge(session, gated, folder, subject, before).findings()
    if not findings:
        raise InputError(
            "There is nothing to judge by: no budget is stated, and there is no baseline.",
            place=", ".join(map(str, gated.folders)),
            fix=f"write [budget] into {config.FILE_NAME}, or save a baseline: edgekit baseline save",
        )
    return Gate(
        findings=(*findings, *_gone(read, old, names)), baseline=None if gated.baseline is None else str(gated.baseline)
    )


def over_budget(project: Project, results: list[Result]) -> Gate:
    """What was just built and is larger, or was measured and takes more, than the budget of its target allows.

    Accuracy is not among it: that is in the verdict of each file's verification.
    """
    found = [
        finding
        for result in results
        if result.manifest is not None
        for file in result.manifest.artifacts
        for finding in gating.by_budget(GatedFile(result.manifest, file, project.demands(result.manifest.target)))
        if finding.verdict == "missed" and (finding.figure == "size" or finding.device) and finding.limit is not None
    ]
    return Gate(findings=tuple(found))


def _gone(
    read: list[Manifest], old: dict[tuple[str, str], BaselineFile], names: set[tuple[str, str]]
) -> Iterator[Finding]:
    """Files of the baseline that their targets no longer have."""
    for target, file in sorted(old.keys() - names):
        manifest = next((found for found in read if found.target == target), None)
        if manifest is not None:
            reason = manifest.unavailable.get(file, "it was not built")
            yield Finding(target=target, file=file, figure="file", against="baseline", verdict="missed", reason=reason)


@dataclass(frozen=True)
class _Judge:
    """One file under judgement."""

    session: Session
    gated: Gated
    folder: Path
    subject: GatedFile
    old: BaselineFile | None

    def findings(self) -> list[Finding]:
        """What is found, with each suspicion of a device settled if that can be done."""
        network = self._network()
        found = list(gating.by_budget(self.subject))
        if self.old is not None:
            found += gating.by_baseline(self.subject, self.old, paired=network is not None)
        return [
            after
            for device in dict.fromkeys(row.device for row in found)
            for after in self._settled(device, found, network)
        ]

    def _network(self) -> Path | None:
        """The baseline's own file, if it is at hand and another than this one."""
        if self.old is None or self.gated.baseline is None or self.old.sha256 == self.subject.file.sha256:
            return None
        return None if self.gated.find is None else baselines.network(self.gated.baseline, self.old)

    def _settled(self, device: str, found: list[Finding], network: Path | None) -> list[Finding]:
        """What was found on a device, once what is doubtful has been measured again."""
        mine = [finding for finding in found if finding.device == device]
        doubtful = [finding for finding in mine if _is_doubtful(finding)]
        if not doubtful or self.gated.find is None:
            return mine
        again = _Again(self.session, self.gated.find(self.session, device), self.folder, self.subject)
        compared = [finding.figure for finding in doubtful if finding.against == "baseline"]
        shown: dict[Figure, tuple[str, str]] = {}
        if network is not None and compared:
            profile, shown = again.in_turns(network, compared, self.subject.tolerance)
        else:
            profile = again.measured()
        settled = []
        for finding in mine:
            if finding not in doubtful:
                settled.append(finding)
            elif finding.against == "baseline" and shown:
                verdict, reason = shown[finding.figure]
                settled.append(msgspec.structs.replace(finding, verdict=verdict, reason=reason))
            else:
                settled.append(self._seen_again(finding, profile))
        return settled

    def _seen_again(self, finding: Finding, profile: Profile) -> Finding:
        """A doubtful finding, by a second measurement: both have to miss."""
        subject = self.subject.measured_again(profile)
        if finding.against == "budget":
            rows = list(gating.by_budget(subject))
        else:
            assert self.old is not None
            rows = list(regressions.by_sessions(subject, self.old, profile))
        same = (finding.figure, finding.against, finding.device)
        after = next((row for row in rows if (row.figure, row.against, row.device) == same), finding)
        if not _is_doubtful(after):
            reason = f"at first {_shown(finding)}, but not when it was measured again"
            return msgspec.structs.replace(after, reason=reason)
        told = f"{after.reason}; measured twice".removeprefix("; ")
        return msgspec.structs.replace(after, verdict="missed", reason=told)


def _is_doubtful(finding: Finding) -> bool:
    """Whether it is to be measured again before it counts."""
    on_device = finding.figure in regressions.MEASURED or finding.figure == "delegate time"
    return finding.verdict == "suspected" or (bool(finding.device) and on_device and finding.verdict == "missed")


def _shown(finding: Finding) -> str:
    return finding.reason or "over the limit"


KEPT = ("threads", "cores", "benchmark_binary")
"""Of how a profile was measured, what it is measured with again; the protocol and the delegate are kept, too."""


@dataclass(frozen=True)
class _Again:
    """Measures a file again as its newest profile on a device was measured."""

    session: Session
    device: Device
    folder: Path
    subject: GatedFile

    def _settings(self, seed: int) -> MeasurementSettings:
        before = self.subject.profiles[self.device.id]
        base = QUICK if before.protocol.name == "quick" else FULL
        return replace(
            base,
            protocol=msgspec.structs.replace(base.protocol, seed=seed),
            run=msgspec.structs.replace(base.run, **{key: getattr(before.run, key) for key in KEPT}),
            limit_s=None,
            energy=before.energy is not None,
            operators=bool(before.operators),
            delegate=before.run.delegate if self.subject.file.file.endswith(".tflite") else None,
            output=str(self.folder / manifests.PROFILES),
        )

    def _file(self) -> Measurable:
        return subjects(self.session, self.folder / self.subject.file.file)[0]

    def measured(self) -> Profile:
        """A second profile of the file."""
        bench, settings = Bench(self.session, self.device), self._settings(1)
        self.session.progress.plan(steps(self.device, settings))
        return measure(bench, [self._file()], settings)[0].profile

    def in_turns(
        self, network: Path, wanted: list[Figure], tolerance: float
    ) -> tuple[Profile, dict[Figure, tuple[str, str]]]:
        """The verdict and its reason on each figure, by pairs of blocks with the baseline's file until they show it.

        Beside it stands the last profile of the file.
        """
        pairs: dict[Figure, list[tuple[float, float]]] = {figure: [] for figure in wanted}
        shown: dict[Figure, tuple[str, str]] = {}
        file, other = self._file(), subjects(self.session, network, options=SourceOptions())[0]
        for done, upto in itertools.pairwise((0, *regressions.PAIRS)):
            settings = self._settings(upto)
            settings = replace(settings, protocol=msgspec.structs.replace(settings.protocol, blocks=upto - done))
            self.session.progress.plan(2 * steps(self.device, settings))
            new, old = (row.profile for row in measure(Bench(self.session, self.device), [file, other], settings))
            for figure in (one for one in wanted if shown.get(one, ("suspected",))[0] == "suspected"):
                pairs[figure] += figures.pairs(new, old, figure)
                a, b = [x for x, _ in pairs[figure]], [y for _, y in pairs[figure]]
                verdict, found = regressions.judged_pairs(a, b, tolerance, last=upto == regressions.PAIRS[-1])
                told = regressions.ratio(found, regressions.LOOK_TAIL)
                told = f"{told} in {found.pairs} pairs of blocks that took turns with the baseline's file"
                shown[figure] = verdict, told if verdict == "missed" else f"{told}: no regression is shown"
            if not any(verdict == "suspected" for verdict, _ in shown.values()):
                break
        return new, shown
