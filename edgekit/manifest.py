"""``manifest.json``: the contract of an artifact folder with other tools."""

from typing import Literal

from edgekit.profiles import DeviceVerification, Profile
from edgekit.types import (
    Boundary,
    Cost,
    FileDigest,
    Model,
    Noun,
    Placement,
    Precision,
    Recipe,
    Signature,
    SourceOptions,
    Verification,
)


class ArtifactFile(Noun, frozen=True, kw_only=True):
    """One runnable file of an artifact with its evidence; ``files`` names all parts with digests."""

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
    notes: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}


class DataSet(Noun, frozen=True, kw_only=True):
    """Which samples were used, and what the calibration linter had to say about them."""

    origin: str
    sha256: str
    samples: int
    used: int
    warnings: tuple[str, ...] = ()


class Manifest(Noun, frozen=True, kw_only=True):
    """Everything known about what one folder holds.

    ``profiles`` are those measured of the files that the folder holds now; older ones stay in ``profiles/``.
    """

    schema_version: Literal[1] = 1
    edgekit: str
    tools: dict[str, str]
    created_utc: str
    source: Model
    recipe: Recipe
    source_options: SourceOptions
    target: str
    artifacts: tuple[ArtifactFile, ...]
    calibration: DataSet | None = None
    evaluation: DataSet | None = None
    profiles: tuple[Profile, ...] = ()
    unavailable: dict[str, str] = {}
