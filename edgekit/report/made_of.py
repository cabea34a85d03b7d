"""Which manifests a report was made of, as it says itself: what needs no new one is known without reading numbers."""

import hashlib
from pathlib import Path

import msgspec

from edgekit.nouns.manifest import Manifest

NAME = "report.html"
"""What the report in an artifact's folder is called."""

HEAD_BYTES = 4096
"""A report says it within so many of its first bytes."""


def mark(manifest: Manifest) -> str:
    """What a report carries of a manifest; when it was built does not matter."""
    plainly = msgspec.structs.replace(manifest, created_utc="", extras={})
    return f"manifest-{hashlib.sha256(msgspec.json.encode(plainly)).hexdigest()}"


def is_of(report: Path, manifest: Manifest) -> bool:
    """Whether a report is of this manifest."""
    try:
        with report.open("rb") as file:
            return mark(manifest).encode() in file.read(HEAD_BYTES)
    except OSError:
        return False
