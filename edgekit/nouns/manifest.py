"""``manifest.json``: the contract of an artifact folder with other tools."""

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from edgekit.errors import InputError
from edgekit.nouns.base import FileDigest, Noun, decoded
from edgekit.nouns.building import Placement, Tried
from edgekit.nouns.description import Description
from edgekit.nouns.ladder import Rung
from edgekit.nouns.lineage import Step
from edgekit.nouns.model import Boundary, Cost, Model, Precision, Signature, SourceOptions
from edgekit.nouns.profile import DeviceVerification, Profile
from edgekit.nouns.recipe import PassReport
from edgekit.nouns.target import BuildOptions, IntegrationKind
from edgekit.nouns.verification import Verification

FILE_NAME = "manifest.json"

PROFILES = "profiles"
"""The folder inside a result in which measurements are recorded; they outlive a rebuild."""

INTEGRATION = "integration"
"""The folder inside a result that holds its `Bundle`."""

PART = re.compile(r"\.edgekit-[a-z0-9_]{8}\.part")
"""The name of a file of edgekit's that is being written, or that a killed run left."""


class ArtifactFile(Noun, frozen=True, kw_only=True):
    """One runnable file of an artifact with its evidence; ``files`` names all parts with digests.

    ``conversion`` says how the source became what the backend read, ``notes`` how the file was made from that;
    ``warnings`` are what whoever uses it must know or do.
    ``tools`` are the programs that made it, if they are not in the manifest's own list. ``lineage`` holds the steps
    from the source to this file and its verification; empty in a manifest of schema version 1. ``rungs`` are what a
    search for a budget tried, in order; the file is that of the chosen one. ``tried`` are the ways that the file's
    backend chose from (`Built`).
    """

    file: str
    precision: Precision
    backend: str
    use: str
    delegate: str | None
    io: Boundary | None
    files: dict[str, FileDigest]
    signature: Signature
    cost: Cost | None
    verification: Verification | None
    device_verifications: tuple[DeviceVerification, ...] = ()
    placements: tuple[Placement, ...] = ()
    conversion: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    lineage: tuple[Step, ...] = ()
    rungs: tuple[Rung, ...] = ()
    tried: tuple[Tried, ...] = ()
    unavailable: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """The digest of all its files (see `digest`)."""
        return digest({name: part.sha256 for name, part in self.files.items()})

    @property
    def size_bytes(self) -> int:
        """The size of all its files."""
        return sum(part.bytes for part in self.files.values())


class DataSet(Noun, frozen=True, kw_only=True):
    """Which samples were used, and what the calibration linter had to say about them.

    ``notes`` say how they were read, if that had to be guessed or changed: the column of labels, casts.
    """

    origin: str
    sha256: str
    samples: int
    used: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Extra(FileDigest, frozen=True, kw_only=True):
    """A file that a later verb put beside the artifacts: ``by`` names the verb."""

    by: str


class Bundle(Noun, frozen=True, kw_only=True):
    """Code that takes a file of the folder into an app, in the folder `INTEGRATION`, with a test that proves it.

    ``artifact`` is the file that it carries a copy of; ``files`` are all that belong to it, by their names in the
    result's folder. ``name`` is what the code calls the network.
    """

    kind: IntegrationKind
    name: str
    artifact: str
    files: dict[str, FileDigest]


class Manifest(Noun, frozen=True, kw_only=True):
    """Everything known about what one folder holds.

    ``unavailable`` maps the target's files that could not be made of this source to the reason.
    ``schema_version`` 2 adds to 1 the lineage of each file, 3 adds budgets of SQNR and agreement, and the
    rungs of a search, 4 the passes of a recipe, the ``description`` and the ``integration``; all can be read, but for
    folders whose inputs hold a ``preprocessing`` of their own, from before the latter, and for those that tell of one
    ``worst_part`` of an output: they must be built again.
    ``passes`` are what the recipe's passes cost and gained, in order, and ``training`` is what they trained on.
    ``description`` says what inputs and outputs mean to an app, in the source's names and layouts.
    ``profiles`` are those measured of the files that the folder holds now; older ones stay in ``profiles/``.
    ``integration`` is code for apps; None if the target has none, or nobody wanted it.
    ``extras`` are other files that verbs made of these, by name. What is listed nowhere is the user's own.
    """

    schema_version: Literal[1, 2, 3, 4] = 4
    edgekit: str
    tools: dict[str, str]
    created_utc: str
    source: Model
    recipe: BuildOptions
    source_options: SourceOptions
    target: str
    artifacts: tuple[ArtifactFile, ...]
    passes: tuple[PassReport, ...] = ()
    training: DataSet | None = None
    calibration: DataSet | None = None
    evaluation: DataSet | None = None
    description: Description = Description()
    integration: Bundle | None = None
    profiles: tuple[Profile, ...] = ()
    unavailable: dict[str, str] = {}
    extras: dict[str, Extra] = {}

    def profiles_of(self, file: ArtifactFile) -> list[Profile]:
        """What was measured of a file, the oldest first."""
        mine = (profile for profile in self.profiles if profile.artifact_sha256 == file.sha256)
        return sorted(mine, key=lambda profile: profile.created_utc)

    def newest(self, file: ArtifactFile) -> dict[str, Profile]:
        """The newest profile of a file on each device, by the device's id."""
        return {profile.device.id: profile for profile in self.profiles_of(file)}


def digest(files: dict[str, str]) -> str:
    """The digest of an artifact's files (name → sha256): the file's own if there is one, else of all together."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256(msgspec.json.encode(files, order="sorted")).hexdigest()


def read(path: Path) -> Manifest:
    """A manifest.

    Raises:
        InputError: there is none, or it is none of this version's, or it names files outside of its folder.
    """
    try:
        found = decoded(path.read_bytes(), Manifest)
    except OSError as error:
        given = path.parent
        fix = "name a .tflite, .xml or .onnx file, or a folder that edgekit build wrote"
        raise InputError(
            f"{given} is no artifact folder: it has no {path.name}.",
            place=str(given),
            fix=f"name the folder in which edgekit build wrote it: {given.parent}" if given.is_file() else fix,
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{path.name} cannot be read: {error}.", place=str(path), fix="build it again") from error
    bundled = () if found.integration is None else tuple(found.integration.files)
    for file in (*found.artifacts, None):
        for name in (*found.extras, *bundled) if file is None else (file.file, *file.files):
            if not _inside(path.parent, name):
                raise InputError(
                    f"{path.name} names {name!r}, which lies outside of its folder.",
                    place=str(path),
                    fix="build it again",
                )
    return found


def _inside(folder: Path, name: str) -> bool:
    """Whether a name is that of a file below a folder, links followed."""
    relative = Path(name)
    if "\0" in name or not relative.parts or relative.is_absolute() or ".." in relative.parts:
        return False
    return Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))


def carried(old: Path, fresh: Manifest) -> Manifest:
    """A manifest that is about to take the place of ``old``, with what was measured of files that stay the same.

    Extras stay where all files do: they may tell of any of them.
    """
    try:
        before = read(old)
    except InputError:
        return fresh
    verified = {file.sha256: file.device_verifications for file in before.artifacts}
    now = {file.sha256 for file in fresh.artifacts}
    extras = {name: extra for name, extra in before.extras.items() if (old.parent / name).is_file()}
    return msgspec.structs.replace(
        fresh,
        artifacts=tuple(
            msgspec.structs.replace(file, device_verifications=verified.get(file.sha256, ()))
            for file in fresh.artifacts
        ),
        profiles=tuple(profile for profile in before.profiles if profile.artifact_sha256 in now),
        extras=extras if verified.keys() == now else {},
    )
