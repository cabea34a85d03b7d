"""Explain artifacts on one HTML page."""

from pathlib import Path

import msgspec
import numpy as np

from edgekit.engine.session import Session
from edgekit.errors import CancelledError, EdgekitError, InputError
from edgekit.host import events, replacing
from edgekit.measure import record
from edgekit.nouns import manifest as manifests
from edgekit.nouns.diagnosis import Diagnosed
from edgekit.nouns.manifest import FILE_NAME, PROFILES, Manifest
from edgekit.nouns.model import FLOATS
from edgekit.report import html
from edgekit.report.html import Explained
from edgekit.report.made_of import NAME
from edgekit.verbs.diagnose import DiagnosisRequest, again, diagnose
from edgekit.waist.tensors import Array


def report(session: Session, folders: list[Path], output: Path | None = None, *, with_diagnosis: bool = False) -> Path:
    """Write the page of one or several folders.

    Args:
        session: whose cache holds the samples; workers diagnose.
        folders: that `edgekit build` wrote.
        output: the file; without one ``report.html`` in the folder, listed among its extras.
        with_diagnosis: look for the operators at which quantized files lose their signal, which takes a while.

    Returns:
        The file.

    Raises:
        InputError: a folder is no artifact, several are given without an output, or nothing can be written there.
    """
    if output is None and len(folders) > 1:
        raise InputError(
            "A report on several folders belongs into none of them.",
            place="-o",
            fix="name a file, such as -o report.html",
        )
    views = [_view(session, folder, with_diagnosis=with_diagnosis) for folder in folders]
    content = html.page(views).encode()
    if output is None:
        record.attach(folders[0] / FILE_NAME, NAME, content, "report")
        return folders[0] / NAME
    try:
        replacing.write(output, content)
    except OSError as error:
        raise InputError(
            f"The report cannot be written: {error.strerror}.", place=str(output), fix="choose another file with -o"
        ) from error
    return output


def _view(session: Session, folder: Path, *, with_diagnosis: bool) -> Explained:
    manifest = manifests.read(folder / FILE_NAME)
    raw = {profile.raw: found for profile in manifest.profiles if profile.raw and (found := _raw(folder, profile.raw))}
    samples, reason = _samples(session, manifest)
    diagnoses = _diagnoses(session, folder, manifest) if with_diagnosis else ()
    return Explained(folder, manifest, raw, samples, reason, diagnoses)


def _raw(folder: Path, name: str) -> dict[str, Array]:
    """The samples of a profile's blocks; nothing if they are no longer there, or somebody else's."""
    path = folder / PROFILES / Path(name).name
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, KeyError):
        return {}


def _samples(session: Session, manifest: Manifest) -> tuple[dict[str, Array], str]:
    """What the network saw of its calibration data, if the same is still there; or the reason."""
    data = manifest.calibration
    if data is None:
        return {}, "no calibration data was used"
    try:
        kept = again(session, data, manifest.source.signature, manifest.description)
    except CancelledError:
        raise
    except EdgekitError as error:
        return {}, error.problem.rstrip(".")
    from edgekit.samples import Samples  # noqa: PLC0415  only if there are any

    return dict(Samples.opened(kept.result, kept.folder).inputs), ""


def _diagnoses(session: Session, folder: Path, manifest: Manifest) -> list[Diagnosed]:
    """What is found of quantized files; one that cannot be diagnosed keeps no other from it."""
    found = []
    for file in manifest.artifacts:
        if file.precision in FLOATS:
            continue
        try:
            seen = diagnose(session, DiagnosisRequest(artifact=folder, file=file.file))
            found.append(msgspec.structs.replace(seen, file=file.file))
        except CancelledError:
            raise
        except EdgekitError as error:
            session.progress.tell("", events.Remark(f"{file.file} is not diagnosed: {error.problem}"))
    return found
