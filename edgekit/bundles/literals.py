"""How text and numbers stand in code: names of networks are strangers' text, and no language may read them as code."""


class Text(str):
    """What people call something: it gets into code through one of `FILTERS` alone (`edgekit.bundles.rendering`)."""

    __slots__ = ()


def kotlin(text: str) -> str:
    """A literal of Kotlin, whose escapes are units of UTF-16."""
    body = "".join(_kotlin_character(character) for character in text)
    return f'"{body}"'


def _kotlin_character(character: str) -> str:
    if character in '"\\$':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    units = chr(_scalar(character)).encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4].upper()}" for i in range(0, len(units), 4))


def swift(text: str) -> str:
    """A literal of Swift, whose escapes of Unicode have braces."""
    body = "".join(_swift_character(character) for character in text)
    return f'"{body}"'


def _swift_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\u{{{_scalar(character):X}}}"


def c(text: str) -> str:
    """A literal of C++ in UTF-8, byte by byte: octal escapes end after three digits, and trigraphs cannot arise."""
    body = "".join(_c_byte(byte) for byte in text.encode("utf8", "replace"))
    return f'"{body}"'


def _c_byte(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\{byte:03o}"


def python(text: str) -> str:
    """A literal of Python in double quotes, as formatters write it."""
    body = "".join(_python_character(character) for character in text)
    return f'"{body}"'


def _python_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    code = _scalar(character)
    if " " <= character <= "~":
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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


def xml(text: str) -> str:
    """Text in an element or an attribute of XML (Android's resources have rules of their own on top)."""
    plain = line(text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        plain = plain.replace(character, entity)
    return plain


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
    "float32": float32,
    "float64": float64,
}
"""By name: how templates write text and numbers."""
