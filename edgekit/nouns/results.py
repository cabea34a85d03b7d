"""What the verbs return."""

from pathlib import Path

import msgspec

from edgekit.errors import EdgekitError
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Placement
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import CALIBRATED, Cost, Model, SourceOptions, Waist
from edgekit.nouns.profile import Profile
from edgekit.nouns.target import BuildOptions, Target, Variant


class Result(msgspec.Struct, frozen=True):
    """What became of one target: its folder and manifest, or the error that prevented them.

    ``kept`` are the user's own files in the folder, ``gone`` those of an earlier result that are no longer in it.
    """

    target: str
    folder: Path
    manifest: Manifest | None = None
    error: EdgekitError | None = None
    kept: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Inspection(Noun, frozen=True, kw_only=True):
    """What ``edgekit inspect`` tells of a model.

    ``waist`` is None if nothing can be built from it (``reason``). ``cost`` is that of the waist; without
    one it is that of the file itself, or None if LiteRT does not load that.
    """

    model: Model
    waist: Waist | None
    cost: Cost | None
    reason: str = ""


class Check(Noun, frozen=True, kw_only=True):
    """Whether a target takes a model: for each of its files where the operators would run, or why it fails."""

    target: str
    file: str
    works: bool
    placements: tuple[Placement, ...] = ()
    reason: str = ""


class Capability(Noun, frozen=True, kw_only=True):
    """A source format, a target, a tool or a guard: does it work, and if not, what would make it."""

    kind: str
    name: str
    works: bool
    detail: str
    fix: str = ""


class Health(Noun, frozen=True, kw_only=True):
    """The whole examination."""

    python: str
    platform: str
    cache: str
    tools: dict[str, str]
    parts: tuple[Capability, ...]


class Plan(msgspec.Struct, frozen=True):
    """What a build will make: for each target its folder and the files with their precision.

    ``refused`` are targets that do not offer what is asked for, beside others that do.
    """

    recipe: BuildOptions
    options: SourceOptions
    targets: tuple[tuple[Target, Path, tuple[Variant, ...]], ...]
    refused: tuple[Result, ...] = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All files of all targets."""
        return tuple(variant for _, _, variants in self.targets for variant in variants)

    def calibrated(self, source: Model) -> tuple[str, ...]:
        """Files that need calibration data: integers that the source does not bring itself."""
        return tuple(v.file for v in self.variants if v.precision in CALIBRATED - {source.precision})


class Measured(msgspec.Struct, frozen=True):
    """A profile with the file that it was recorded in."""

    profile: Profile
    file: Path


class CacheSize(msgspec.Struct, frozen=True):
    """Where the cache lies, what it holds, and what it may hold; ``doubts`` are what seems wrong with the folder."""

    folder: Path
    answers: int
    bytes: int
    limit_bytes: int
    doubts: tuple[str, ...] = ()


class PrunedCache(msgspec.Struct, frozen=True):
    """The answers that were dropped, and what they took."""

    dropped: int
    bytes: int
