"""Identifiers from names of networks and tensors: whatever a name holds, every language takes what becomes of it."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import msgspec

LONGEST = 40
"""The most characters that a name keeps: paths on Windows end at 260."""

RESERVED = frozenset(
    word
    for line in Path(__file__).with_name("words.txt").read_text("ascii").splitlines()
    if not line.startswith("#")
    for word in line.split()
)
"""Words of the languages, and of the templates' own code, in lower case."""


GENERIC = re.compile(
    r"best|checkpoint|ckpt|export|exported|final|frozen|graph|inference|keras|last|latest|model|net|network|new|old|onnx"
    r"|saved|savedmodel|tf|tflite|trained|untitled|weights|v?\d+"
)
"""Words of file names that tell nothing of what a network does."""


def tells_nothing(text: str) -> bool:
    """Whether a file's name says nothing of what its network does: ``model``, ``saved_model``, ``best-2``."""
    return all(GENERIC.fullmatch(word) for word in _words(text))


class Name(msgspec.Struct, frozen=True):
    """An identifier in the ways in which languages write it; ``snake`` is unique without its underscores."""

    words: tuple[str, ...]

    @property
    def snake(self) -> str:
        """``my_net``: C++ and Python, names of files."""
        return "_".join(self.words)

    @property
    def camel(self) -> str:
        """``myNet``: Kotlin, Swift."""
        return self.words[0] + "".join(word.capitalize() for word in self.words[1:])

    @property
    def pascal(self) -> str:
        """``MyNet``: classes."""
        return "".join(word.capitalize() for word in self.words)

    @property
    def upper(self) -> str:
        """``MY_NET``: constants, guards of headers."""
        return self.snake.upper()

    @property
    def flat(self) -> str:
        """``mynet``: packages of Kotlin."""
        return "".join(self.words)


def name(text: str, role: str) -> Name:
    """An identifier for something that people call ``text``.

    Args:
        text: any, even none.
        role: a word for what it is (``model``, ``input``): it takes the place of a name without letters, and is added
            to one that is a word of a language already.
    """
    words = _words(text)
    if not words:
        return Name((role,))
    if words[0][0].isdigit():
        words = [role, *words]
    joined = "".join(words)
    if joined in RESERVED:
        words.append(role)
    return Name(tuple(words))


def names(texts: Iterable[str], role: str, taken: Iterable[Name] = ()) -> tuple[Name, ...]:
    """An identifier for each of several things, no two of which read alike; the second of a name gets a 2.

    Args:
        texts: what people call them, in order.
        role: see `name`.
        taken: identifiers that are in use already.
    """
    known = {one.flat for one in taken}
    found = []
    for text in texts:
        first = one = name(text, role)
        number = 2
        while one.flat in known:
            one, number = Name((*first.words, str(number))), number + 1
        known.add(one.flat)
        found.append(one)
    return tuple(found)


def _words(text: str) -> list[str]:
    """Words of ASCII letters and digits in lower case: accents go, other scripts are left out, humps part words."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain)
    words: list[str] = []
    length = 0
    for word in re.findall(r"[a-z0-9]+", plain.lower()):
        length += len(word)
        if length > LONGEST:
            return words or [word[:LONGEST]]
        words.append(word)
    return words
