"""Rewrites of the float waist: the same numbers by fewer or cheaper operators. This file is the contract.

    MainGraph       the main graph, with who makes and who reads each tensor
      → a rule    proposes a Replacement: operators, and what is to stand in their place
      → proof     runs both apart on probes
      → MainGraph   takes it, if they agree

A rule is a module of this package, with a row in `RULES`: which runtimes gain by it.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from edgekit.nouns.base import Noun
from edgekit.nouns.model import Signature

Runtime = Literal["litert", "litert-integers", "accelerator"]
"""What will run a file: LiteRT in floats, on CPUs and GPUs; LiteRT in integers; or an accelerator of integers alone."""


class RewriteRule(Noun, frozen=True, kw_only=True):
    """A rewrite: the module of its name, what is told of it after a number, and which runtimes gain.

    The ``last`` ones are tried once, when no other finds anything: what they write is faster, and not shorter.
    """

    name: str
    told: str
    gains: frozenset[Runtime]
    last: bool = False


EVERYWHERE: frozenset[Runtime] = frozenset({"litert", "litert-integers", "accelerator"})

LITERT: frozenset[Runtime] = EVERYWHERE - {"accelerator"}

INTEGERS: frozenset[Runtime] = EVERYWHERE - {"litert"}

RULES = (
    RewriteRule(name="unread", told="operators dropped whose results nobody reads", gains=EVERYWHERE),
    RewriteRule(name="constants", told="operators folded into constants", gains=EVERYWHERE),
    RewriteRule(name="duplicates", told="operators dropped that another one does the work of", gains=EVERYWHERE),
    RewriteRule(name="moves", told="chains of RESHAPE, TRANSPOSE, SLICE and their like shortened", gains=EVERYWHERE),
    RewriteRule(name="dense", told="dense layers made of products, or taken out of a RESHAPE", gains=LITERT),
    RewriteRule(
        name="layouts", told="RESHAPE and TRANSPOSE moved behind what works in either layout", gains=EVERYWHERE
    ),
    RewriteRule(name="hard_swish", told="products recognized as HARD_SWISH", gains=frozenset({"litert"})),
    RewriteRule(name="hard_sigmoid_parts", told="RELU_0_TO_1 written as products with RELU6", gains=INTEGERS),
    RewriteRule(name="scales", told="constant factors and summands taken into weights and biases", gains=EVERYWHERE),
    RewriteRule(name="scales_ahead", told="constant factors taken into the weights behind", gains=EVERYWHERE),
    RewriteRule(name="attention_scales", told="factors of attention taken into weights", gains=EVERYWHERE),
    RewriteRule(name="activations", told="activations fused into the operator before", gains=EVERYWHERE),
    RewriteRule(name="padding", told='PAD folded into "same" padding', gains=EVERYWHERE),
    RewriteRule(name="pool_padding", told="PADV2 by the lowest float turned into PAD behind a RELU", gains=INTEGERS),
    RewriteRule(name="gelu", told="products recognized as GELU", gains=EVERYWHERE),
    RewriteRule(name="softmax", told="quotients of exponentials recognized as SOFTMAX", gains=EVERYWHERE),
    RewriteRule(name="l2_norm", told="quotients by a root recognized as L2_NORMALIZATION", gains=EVERYWHERE),
    RewriteRule(name="powers", told="POW and quotients by roots written as products and RSQRT", gains=EVERYWHERE),
    RewriteRule(
        name="global_pool",
        told="AVERAGE_POOL_2D over whole images written as MEAN",
        gains=frozenset({"litert-integers"}),
    ),
    RewriteRule(name="hard_swish_parts", told="HARD_SWISH written as a clamped sum and products", gains=INTEGERS),
    RewriteRule(
        name="prelu_parts",
        told="PRELU written as LEAKY_RELU, or as a clamp and products",
        gains=frozenset({"litert-integers"}),
    ),
    RewriteRule(
        name="interleaved", told="picks of channels by turns written as TRANSPOSE and SPLIT", gains=LITERT, last=True
    ),
    RewriteRule(
        name="clamps",
        told="RELU and its like written as clamped products",
        gains=frozenset({"litert-integers"}),
        last=True,
    ),
)
"""All rewrites, in the order in which they are tried."""


def chosen(runtime: Runtime) -> tuple[str, ...]:
    """The rewrites by which a runtime gains, by name."""
    return tuple(rule.name for rule in RULES if runtime in rule.gains)


class Optimized(Noun, frozen=True, kw_only=True):
    """What came of a waist: the ``file`` in the output folder, operators before and after, and what was done.

    Without a ``file`` the waist is as good as it is. ``notes`` are for the manifest. ``done`` names the rules that
    replaced something, and ``refused`` counts replacements that were not proven equal, by rule.
    """

    file: str | None
    before: int
    after: int
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: dict[str, int] = {}


class Optimizer(ABC):
    """Rewrites float TFLite files, in a worker process."""

    @abstractmethod
    def optimize(
        self,
        path: Path,
        signature: Signature,
        rules: tuple[str, ...],
        out: Path,
        probes: Path | None = None,
        *,
        timed: bool = False,
    ) -> Optimized:
        """Write ``out/waist.tflite``, the network of ``path`` rewritten by some of `RULES`.

        Inputs, outputs, their names and layouts, and what controls the flow or keeps state stay as they are.
        A network that does not agree with the original as a whole is not taken: then there is no file. It is run on
        numbers made up and on ``probes`` (arrays under source names): first a sample, then what an app may meet.
        Nor is one, if it is ``timed``, that takes longer on this host's CPU than the original: if a single rule makes
        it so, the others are used without it.

        Raises:
            InputError: ``path`` is no TFLite file, or it is damaged.
        """

    @abstractmethod
    def is_slower(self, before: Path, after: Path) -> bool:
        """Whether one TFLite file takes clearly longer on this host's CPU than another; False if LiteRT cannot tell."""
