"""How text and numbers stand in code: names of networks are strangers' text, and no language may read them as code."""

from collections.abc import Callable, Iterable
from html import escape


class Text(str):
    """What people call something: it gets into code through one of `FILTERS` alone (`edgekit.bundles.rendering`)."""

    __slots__ = ()


def kotlin(text: str) -> str:
    """A literal of Kotlin, whose escapes are units of UTF-16."""

    def escaped(character: str) -> str:
        units = chr(_scalar(character)).encode("utf-16-be").hex()
        return "".join(f"\\u{units[i : i + 4].upper()}" for i in range(0, len(units), 4))

    return _literal(text, '"\\$', escaped)


def swift(text: str) -> str:
    """A literal of Swift, whose escapes of Unicode have braces."""
    return _literal(text, '"\\', lambda character: f"\\u{{{_scalar(character):X}}}")


def c(text: str) -> str:
    """A literal of C++ in UTF-8, byte by byte: octal escapes end after three digits, and trigraphs cannot arise."""
    return _literal(map(chr, text.encode("utf8", "replace")), '"\\?', lambda byte: f"\\{ord(byte):03o}")


def python(text: str) -> str:
    """A literal of Python in double quotes, as formatters write it."""

    def escaped(character: str) -> str:
        code = _scalar(character)
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return _literal(text, '"\\', escaped)


def _literal(text: Iterable[str], special: str, escaped: Callable[[str], str]) -> str:
    """Characters in double quotes: ``special`` ones behind a backslash, and what is not printable ASCII ``escaped``."""

    def written(character: str) -> str:
        if character in special:
            return f"\\{character}"
        return character if " " <= character <= "~" else escaped(character)

    return f'"{"".join(map(written, text))}"'


def _scalar(character: str) -> int:
    """A character's code; that of the replacement character for half of a pair, which no encoding has."""
    code = ord(character)
    return 0xFFFD if 0xD800 <= code <= 0xDFFF else code


def comment(text: str) -> str:
    """Text on one line of a comment: without control characters, and without what ends or begins a comment."""
    plain = line(text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace('"""', "'''").strip()


def markdown(text: str) -> str:
    """Text on one line of a page, which reads as it is."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>#|!&~" else character for character in line(text))


def line(text: str) -> str:
    """Text on a line of its own in a file of lines."""
    return "".join(character if character.isprintable() else " " for character in text)


def entry(text: str) -> str:
    """Text as a line of a file holds it: no line breaks, no blanks at its ends, no halves of pairs of UTF-16."""
    return "".join(" " if character in "\r\n" else chr(_scalar(character)) for character in text).strip()


def xml(text: str) -> str:
    """Text in an element or an attribute of XML (Android's resources have rules of their own on top)."""
    return escape(line(text), quote=False).replace('"', "&quot;").replace("'", "&#39;")


def float32(number: float) -> str:
    """The shortest decimal that reads as this number rounded to float32, with a point or an exponent."""
    import numpy as np  # noqa: PLC0415  only if code is written

    return str(np.float32(number))


def float64(number: float) -> str:
    """The shortest decimal that reads as this number."""
    return repr(float(number))


FILTERS = {
    "kotlin": kotlin,
    "swift": swift,
    "c": c,
    "python": python,
    "comment": comment,
    "markdown": markdown,
    "xml": xml,
    "line": line,
    "entry": entry,
    "float32": float32,
    "float64": float64,
}
"""By name: how templates write text and numbers."""
