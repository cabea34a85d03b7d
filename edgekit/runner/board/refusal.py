"""Errors that the host raises, as plain data."""

from __future__ import annotations

OTHER = "see what is named; choose another precision, delegate or runtime"
"""The fix if a runtime refuses a file."""


class Refusal(Exception):
    """An error with a remedy, for the host to raise."""

    def __init__(self, remedy: str, problem: str, fix: str, place: str = "") -> None:
        super().__init__(problem)
        self.plain = {"remedy": remedy, "problem": problem, "place": place, "fix": fix}


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
