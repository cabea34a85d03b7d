"""What every noun is.

Every noun is a msgspec struct, so that it travels as JSON between processes, into the cache and
into ``manifest.json``, and so that the published JSON Schema is generated from the types.
"""

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value that travels as JSON."""


class FileDigest(Noun, frozen=True, kw_only=True):
    """A file's content digest and size."""

    sha256: str
    bytes: int
