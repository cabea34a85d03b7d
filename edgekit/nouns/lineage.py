"""How a file came to be: one step after another, from the user's file on."""

from typing import Any

from edgekit.nouns.base import Noun


class Step(Noun, frozen=True, kw_only=True):
    """One step from files to files: what was asked of whom, and what came of it.

    ``leaf`` did it (``sources/onnx``); "" if edgekit did it in its own process. ``settings`` have their
    defaults filled in. ``inputs`` maps what went in to its SHA-256: the source, samples, or what an earlier
    step ``made``. ``code`` is the digest of edgekit's code that did it, ``tools`` are the versions of the
    libraries that matter to it. All these together are the question: equal ones have one answer in the cache.

    ``made`` is the digest of all files that it wrote, and ``seconds`` is what it took when it was really done.
    ``notes`` say how it was done; ``evidence`` is what was measured of it, by name, with units in the names.
    """

    what: str
    leaf: str = ""
    settings: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    seed: int | None = None
    code: str = ""
    tools: dict[str, str] = {}
    made: str = ""
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    evidence: dict[str, float | str | None] = {}

    @property
    def question(self) -> dict[str, Any]:
        """What decides the answer, as plain data."""
        return {
            "what": self.what,
            "leaf": self.leaf,
            "settings": self.settings,
            "inputs": self.inputs,
            "seed": self.seed,
            "code": self.code,
            "tools": self.tools,
        }


def chain(*parts: tuple[Step, ...]) -> tuple[Step, ...]:
    """Steps in their order, each once: what led to something that has several inputs."""
    found: list[Step] = []
    for step in (step for part in parts for step in part):
        if step not in found:
            found.append(step)
    return tuple(found)
