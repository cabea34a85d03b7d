"""Text from files as it may be shown: nothing in it moves a terminal's cursor or turns the order of letters."""

import re

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed (C0, DEL, C1), marks that change the direction of text (Unicode
Standard Annex 9, table 4), separators of lines, and halves of characters."""


def plain(text: str) -> str:
    """The text with each such character as Python writes it, with a backslash and its number."""
    return _ODD.sub(lambda odd: ascii(odd[0])[1:-1], text) if _ODD.search(text) else text


def escaped_json(text: str) -> str:
    """A JSON document with each such character, which can only stand in a string, as JSON writes it."""
    return _ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}", text)
