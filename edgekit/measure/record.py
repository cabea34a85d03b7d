"""Recording profiles: a measurement is appended, never changed.

Beside an artifact stands ``profiles/`` with, for each measurement, ``NAME.json`` (the profile),
``NAME.npz`` (latencies and power of every block) and its plots; the artifact's ``manifest.json``
lists the profiles of the files that it holds. A file on its own is recorded in ``dist/NAME/profiles/``.
"""

import errno
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.engine import contents
from edgekit.engine.publish import refuse_cache
from edgekit.errors import InputError
from edgekit.host import ownership, replacing
from edgekit.measure.protocol import Observations
from edgekit.measure.subject import Measurable
from edgekit.nouns import manifest as manifests
from edgekit.nouns.base import decoded
from edgekit.nouns.manifest import PROFILES, Extra, Manifest
from edgekit.nouns.profile import DeviceVerification, Profile
from edgekit.waist.tensors import Array

RAW_LATENCIES = 100_000
"""Most latencies of a block that are kept; of more, every k-th is (a block of µs-long inferences has millions)."""


def folder(subject: Measurable, output: str | None = None) -> Path:
    """Where a subject's profiles stand."""
    if output is not None:
        return Path(output)
    if subject.manifest is not None:
        return subject.manifest.parent / PROFILES
    return Path("dist") / subject.path.stem / PROFILES


def check(subject: Measurable, output: str | None = None) -> None:
    """Look, before anything is measured, whether profiles can be written and listed; leaves nothing behind.

    Raises:
        InputError: they cannot.
    """
    refuse_cache(folder(subject, output))
    with _writing(folder(subject, output), subject.manifest):
        _check_all(subject, output)


def _check_all(subject: Measurable, output: str | None) -> None:
    _check(folder(subject, output), "choose another folder with -o")
    if subject.manifest is not None:
        _check(subject.manifest.parent, "measure a copy of this folder, whose manifest can list them")


def _check(where: Path, fix: str) -> None:
    there = next(parent for parent in (where.absolute(), *where.absolute().parents) if parent.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed", str(there))
        Path(tempfile.mkdtemp(prefix=".edgekit-", dir=there)).rmdir()
    except OSError as error:
        raise InputError(
            f"Profiles cannot be written there: {(error.strerror or str(error)).lower()}.",
            place=str(where),
            fix=fix,
        ) from error


def name(subject: Measurable, device: str, now: datetime) -> str:
    """The name of a measurement's files: when, where and of what."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{re.sub(r'[^A-Za-z0-9.]+', '_', device)}-{subject.path.stem}"


def raw(observations: Observations, which: int) -> dict[str, Array]:
    """Every block's samples: ``latencies_ms_I`` float64 ``[readings]``; power of block I as ``power_w_I_RAIL`` or
    ``energy_j_I_RAIL``, ``[2, n]`` (t_s on the device's clock; value), and of the idle baselines as
    ``…_before_RAIL`` and ``…_after_RAIL``.
    """
    arrays: dict[str, Array] = {}
    for i, (block, where) in enumerate(zip(observations.blocks[which], observations.folders[which], strict=True)):
        if block.latencies is not None:
            taken = np.load(where / block.latencies, allow_pickle=False)
            arrays[f"latencies_ms_{i}"] = taken[:: -(-len(taken) // RAW_LATENCIES)]
    when = [*map(str, range(len(observations.traces[which]))), "before", "after"]
    for part, trace in zip(
        when, [*observations.traces[which], *(trace for _, trace in observations.idle)], strict=False
    ):
        if trace is not None:
            prefix = "energy_j" if trace.quantity == "energy" else "power_w"
            for rail, series in trace.rails.items():
                arrays[f"{prefix}_{part}_{rail}"] = np.array([series.t_s, series.values], np.float64)
    return arrays


def write(profile: Profile, samples: dict[str, Array], plots: dict[str, str], subject: Measurable, where: Path) -> Path:
    """Append a profile: its files appear whole, and the manifest lists it.

    Args:
        profile: whose ``raw`` names the ``.npz``.
        samples: what `raw` collected.
        plots: SVG by the end of its file's name.
        subject: what was measured.
        where: the folder; made if it is not there.

    Returns:
        The profile's ``.json``.

    Raises:
        InputError: nothing can be written there.
    """
    stem = Path(profile.raw or "profile.npz").stem
    with _writing(where, subject.manifest):
        where.mkdir(parents=True, exist_ok=True)
        with replacing.replacing(where / f"{stem}.npz") as aside, aside.open("wb") as file:
            np.savez_compressed(file, **dict[str, Any](samples))
        for end, svg in plots.items():
            replacing.write(where / f"{stem}-{end}.svg", svg.encode())
        document = msgspec.json.format(msgspec.json.encode(profile)) + b"\n"
        replacing.write(where / f"{stem}.json", document)
        if subject.manifest is not None:
            _list(subject.manifest, partial(_with_profile, profile=profile))
    return where / f"{stem}.json"


@contextmanager
def _writing(where: Path, manifest: Path | None) -> Iterator[None]:
    """Write at a place while nobody replaces the artifact's folder, and name that place if it cannot be done."""
    try:
        if manifest is None:
            yield
            return
        folder = manifest.parent.resolve()
        with ownership.writing(folder):
            for left in folder.iterdir():  # by runs that were killed: whoever writes holds the lock
                if manifests.PART.fullmatch(left.name):
                    left.unlink(missing_ok=True)
            yield
    except OSError as error:
        raise InputError(
            f"The profile cannot be written: {error.strerror}.",
            place=str(where),
            fix="free some space, or choose another folder with -o",
        ) from error


def _with_profile(old: Manifest, profile: Profile) -> Manifest:
    """A manifest that lists a profile too, unless a rebuild has meanwhile put another file in that place."""
    if profile.artifact_sha256 not in {file.sha256 for file in old.artifacts}:
        return old
    return msgspec.structs.replace(old, profiles=(*old.profiles, profile))


def _list(path: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Change a manifest, which `_writing` keeps from others; the file is replaced whole."""
    document = msgspec.json.format(msgspec.json.encode(change(manifests.read(path)))) + b"\n"
    replacing.write(path, document)


def read(path: Path) -> Profile:
    """A recorded profile.

    Raises:
        InputError: the file is none.
    """
    try:
        return decoded(path.read_bytes(), Profile)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path.name} is no profile: {error}.", place=str(path), fix="name a .json below a profiles/ folder"
        ) from error


def attach(path: Path, name: str, content: bytes, by: str) -> None:
    """Put a file beside a manifest, which lists it among its extras, in the place of an earlier one of that name.

    Args:
        path: the manifest.
        name: of the file, in the manifest's folder.
        content: what it holds.
        by: the verb that made it.

    Raises:
        InputError: the user's own file has that name, or nothing can be written there.
    """
    extra = Extra(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), by=by)
    with _writing(path.parent, path):
        contents.of(path.parent).refuse(path.parent, {name})
        replacing.write(path.parent / name, content)
        _list(path, lambda old: msgspec.structs.replace(old, extras=old.extras | {name: extra}))


def verified(path: Path, file: str, verification: DeviceVerification) -> None:
    """Put a verification on a device into the manifest, in the place of an earlier one on the same device."""

    def change(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(
            manifest,
            artifacts=tuple(
                msgspec.structs.replace(
                    artifact,
                    device_verifications=(
                        *(v for v in artifact.device_verifications if v.device != verification.device),
                        verification,
                    ),
                )
                if artifact.file == file
                else artifact
                for artifact in manifest.artifacts
            ),
        )

    with _writing(path, path):
        _list(path, change)
