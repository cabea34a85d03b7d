"""A search for accuracy: from cheap to dear, one way to make a file after the other."""

from typing import Literal

from edgekit.nouns.base import Noun
from edgekit.nouns.quantization import Settings

Effort = Literal["quick", "normal", "thorough"]
"""How far a search goes: see docs/how-to/keep-the-accuracy.md for what each tries."""


class Rung(Noun, frozen=True, kw_only=True):
    """One way that a search tried, and what came of it.

    ``settings`` are those of the backend that differ from the target's. ``seconds`` is what building and verifying
    took when they were really done. ``met``: nothing that the budget demands is missed; ``chosen``: this is the file
    that was published. ``metric`` and ``drop`` are those of the task metric, ``agreement`` the least share of choices
    that are the source's; None if there is none. ``sqnr_db`` None: equal bit for bit. ``latency_ms`` is the best of a
    few runs on one thread of this host. ``problem`` says why there is no file, "" if there is one.
    ``within`` names the rung that has tried this way among others, and took what came closest on calibration samples:
    there this way has ``calibration_db``, and no file of it was made once more. "" if one was.
    """

    name: str
    settings: Settings = {}
    seconds: float = 0.0
    met: bool = False
    chosen: bool = False
    metric: float | None = None
    drop: float | None = None
    agreement: float | None = None
    sqnr_db: float | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    problem: str = ""
    within: str = ""
    calibration_db: float | None = None
