"""A file that a gate judges."""

from dataclasses import dataclass, replace

import msgspec

from edgekit.nouns.budget import TOLERANCE, Demands
from edgekit.nouns.gating import Figure, Finding
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.profile import Profile


@dataclass(frozen=True)
class GatedFile:
    """One file that is judged, with its folder's manifest, what is demanded of it, and whether devices are left out."""

    manifest: Manifest
    file: ArtifactFile
    demands: Demands
    without_device: bool = False

    @property
    def profiles(self) -> dict[str, Profile]:
        """Its newest profile on each device."""
        return self.manifest.newest(self.file)

    @property
    def tolerance(self) -> float:
        """How much worse than the baseline it may be, as a share."""
        return TOLERANCE if self.demands.tolerance is None else self.demands.tolerance

    def measured_again(self, profile: Profile) -> "GatedFile":
        """The same file, known by another profile alone."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, profiles=(profile,)))

    def finding(self, figure: Figure, against: str, verdict: str, **more: object) -> Finding:
        """A finding about this file."""
        return Finding(
            target=self.manifest.target,
            file=self.file.file,
            figure=figure,
            against=against,  # type: ignore[arg-type]
            verdict=verdict,  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )
