"""Baselines: what the files of a project were when somebody was content with them."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit import __version__ as edgekit_version
from edgekit.engine.store import file_digest
from edgekit.errors import InputError
from edgekit.host import replacing
from edgekit.measure import figures
from edgekit.nouns.base import decoded
from edgekit.nouns.gating import Baseline, BaselineFile, BaselineSession
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.model import TensorSpec
from edgekit.nouns.profile import Profile
from edgekit.nouns.verification import TaskMetric

SESSIONS = 8
"""The most measurements of a file on one device that are kept, the newest; they show how much sessions differ."""


def baseline(manifests: list[Manifest]) -> Baseline:
    """What is to be kept of some artifacts."""
    return Baseline(
        edgekit=edgekit_version,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        files=tuple(kept(manifest, file) for manifest in manifests for file in manifest.artifacts),
    )


def kept(manifest: Manifest, file: ArtifactFile) -> BaselineFile:
    """What is kept of one file; the same of a new one is what it is compared by."""
    judged = file.verification
    metric = None if judged is None else judged.metric
    data = manifest.evaluation or manifest.calibration
    sessions: dict[str, list[Profile]] = {}
    for profile in manifest.profiles_of(file):
        if profile.latency is not None:
            sessions.setdefault(profile.device.id, []).append(profile)
    return BaselineFile(
        target=manifest.target,
        file=file.file,
        model=manifest.source.name,
        inputs=tuple(map(_tensor, file.signature.inputs)),
        outputs=tuple(map(_tensor, file.signature.outputs)),
        sha256=file.sha256,
        files=file.files,
        data=None if data is None else data.sha256,
        samples=0 if judged is None else judged.samples,
        metric=None if metric is None else metric.name,
        metric_value=None if metric is None else metric.artifact,
        higher_is_better=None if metric is None else _higher_is_better(metric),
        agreement=None if judged is None else judged.agreement,
        sqnr_db=None if judged is None else judged.sqnr_db,
        sessions=tuple(session(profile) for one in sessions.values() for profile in one[-SESSIONS:]),
    )


def _higher_is_better(metric: TaskMetric) -> bool | None:
    """Which way a metric is better, as a loss against the source tells; None if there is none."""
    if not metric.drop or metric.source == metric.artifact:
        return None
    return (metric.source > metric.artifact) == (metric.drop > 0)


def _tensor(spec: TensorSpec) -> str:
    """What it is, without its name: training again often counts layers on, and so names tensors anew."""
    return f"{spec.source_dtype} {list(spec.source_shape)}"


def session(profile: Profile) -> BaselineSession:
    """What is kept of a profile."""
    seen = {name: tuple(v for v in values if v is not None) for name, values in figures.by_block(profile).items()}
    return BaselineSession(
        created_utc=profile.created_utc,
        device=msgspec.structs.replace(profile.device, state=None, problems=(), config=None),
        runtime=profile.runtime,
        threads=profile.run.threads,
        delegate=profile.run.delegate,
        protocol=profile.protocol.name,
        latency_ms=seen["latency"],
        energy_mj=seen["energy"],
        energy_by=figures.energy_by(profile),
        peak_bytes=seen["peak memory"],
    )


def write(made: Baseline, path: Path, folders: list[Path] | None) -> None:
    """Write a baseline, and, if their ``folders`` are given, copies of its files beside it.

    Copies that an earlier baseline of that name lists go; what else lies in their folder stays as it is.

    Raises:
        InputError: nothing can be written there, or a copy would take the place of a file of the user's.
    """
    try:
        _check_names(made)
        if folders is not None:
            _remove_copies(path)
            for folder, target in zip(folders, dict.fromkeys(file.target for file in made.files), strict=True):
                for name in (name for file in made.files if file.target == target for name in file.files):
                    place = _beside(path) / target / name
                    _refuse_other(place, folder / name)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / name, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        replacing.write(path, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    except OSError as error:
        raise InputError(
            f"The baseline cannot be written: {error.strerror}.", place=str(path), fix="choose another place with -o"
        ) from error


def _remove_copies(path: Path) -> None:
    """Remove the files that an earlier baseline keeps, and their folders if nothing else lies in them."""
    try:
        earlier = read(path)
    except InputError:  # there is none
        return
    for file in earlier.files:
        for name, digest in file.files.items():
            place = _beside(path) / file.target / name
            if place.is_file() and file_digest(place) == digest:
                place.unlink()
    for place in {_beside(path) / file.target for file in earlier.files} | {_beside(path)}:
        with suppress(OSError):  # others lie there
            place.rmdir()


def _refuse_other(place: Path, copied: Path) -> None:
    """Refuse to write a copy over a file that is another.

    Raises:
        InputError: it is.
    """
    if place.is_file() and file_digest(place) != file_digest(copied):
        raise InputError(
            f"{place.name} lies there already, and no baseline describes it.",
            place=str(place),
            fix="move that away, or choose another place with -o",
        )


def _check_names(made: Baseline) -> None:
    """Refuse names that lead out of the baseline's folder, whoever wrote them.

    Raises:
        msgspec.ValidationError: one does.
    """
    for file in made.files:
        for name in (file.target, file.file, *file.files):
            parts = Path(name).parts
            if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
                raise msgspec.ValidationError(f"{name!r} is no plain name of a file")


def _beside(path: Path) -> Path:
    """The folder of a baseline's own files."""
    return path.with_suffix("")


def network(path: Path, file: BaselineFile) -> Path | None:
    """A file of a baseline, if it was kept with it.

    Raises:
        InputError: it is not the one that the baseline describes.
    """
    folder = _beside(path) / file.target
    if not all((folder / name).is_file() for name in file.files):
        return None
    for name, expected in file.files.items():
        if file_digest(folder / name) != expected:
            raise InputError(
                f"{name} is not the file that the baseline describes.",
                place=str(folder / name),
                fix="save both anew: edgekit baseline save --files, or take the folder away",
            )
    return folder / file.file


def read(path: Path) -> Baseline:
    """A baseline.

    Raises:
        InputError: there is none, or it is not of this version's.
    """
    try:
        found = decoded(path.read_bytes(), Baseline)
        _check_names(found)
        return found
    except OSError as error:
        raise InputError(
            f"There is no baseline {path.name}.", place=str(path), fix="write it with: edgekit baseline save"
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{path.name} is no baseline: {error}.", place=str(path), fix="save it anew: edgekit baseline save"
        ) from error
