"""What a step asks of the cache.

Steps make a chain by their inputs: a question that takes an `Answer` (or anything else that knows what
led to it) hands that lineage on to its own answer. So a new kind of step, such as a training pass from waist
to waist, is one more question between two others, and a list of passes is a fold:
``reduce(lambda waist, one: passes.ask(session, waist, one), recipe.passes, waist)``.
"""

from typing import Any, Protocol

import msgspec

from edgekit.engine import fingerprint
from edgekit.nouns.lineage import Step, chain


class Input(Protocol):
    """What goes into a step: content of a digest, and the steps that led to it."""

    @property
    def sha256(self) -> str:
        """Digest of the content."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """What led to it, the last step last; none for what the user gave."""


class Known(msgspec.Struct, frozen=True):
    """An input that is known by its digest: what the user gave, or a part of an answer."""

    sha256: str
    steps: tuple[Step, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A step before it is done: all that decides its answer.

    Args:
        what: the step's name, in one word or two.
        leaf: ``room/name`` of the leaf that does it; "" if none does.
        modules: those of edgekit's that do some of it in this process, or read in it.
        settings: plain data, defaults filled in.
        inputs: by their role.
        seed: of the step's random choices, if it makes any.
        doing: what to tell whoever watches; "" if it is not worth a word.
    """

    what: str
    leaf: str = ""
    modules: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    inputs: dict[str, Input] = {}
    seed: int | None = None
    doing: str = ""

    @property
    def before(self) -> tuple[Step, ...]:
        """The steps that led to the inputs."""
        return chain(*(given.steps for given in self.inputs.values()))

    def step(self) -> Step:
        """The question as a noun, completed by the code and the tools that it depends on."""
        return Step(
            what=self.what,
            leaf=self.leaf,
            settings=msgspec.json.decode(msgspec.json.encode(self.settings)),  # as the cache gives them back
            inputs={role: given.sha256 for role, given in self.inputs.items()},
            seed=self.seed,
            code=fingerprint.code(self.leaf, self.modules),
            tools=fingerprint.tools(self.leaf, self.modules),
        )
