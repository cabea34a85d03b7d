"""What every noun is.

Every noun is a msgspec struct, so that it travels as JSON between processes, into the cache and
into ``manifest.json``, and so that the published JSON Schema is generated from the types.
"""

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value that travels as JSON."""


def decoded[T](content: bytes, kind: type[T]) -> T:
    """JSON that somebody else wrote, decoded.

    Raises:
        msgspec.MsgspecError: it is none, or says something else, whatever is wrong with it.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


class FileDigest(Noun, frozen=True, kw_only=True):
    """A file's content digest and size."""

    sha256: str
    bytes: int
