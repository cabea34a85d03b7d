"""What a folder of results must hold."""

from pathlib import Path

import msgspec

from edgekit.engine.store import file_digest
from edgekit.nouns.manifest import Manifest


def whole(out: Path) -> bool:
    """All files that the manifest names are there with their digests, and no others."""
    manifest = msgspec.json.decode((out / "manifest.json").read_bytes(), type=Manifest)
    files = {name: digest.sha256 for artifact in manifest.artifacts for name, digest in artifact.files.items()}
    if manifest.integration is not None:
        files |= {name: digest.sha256 for name, digest in manifest.integration.files.items()}
    files |= {name: extra.sha256 for name, extra in manifest.extras.items()}
    intact = all(file_digest(out / name).sha256 == sha256 for name, sha256 in files.items())
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    return intact and there == {*files, "manifest.json"}
