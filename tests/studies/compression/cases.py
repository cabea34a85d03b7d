"""What is done to which network: a recipe, its settings, and whether it sees labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.studies.compression import bases
from tests.studies.compression.bases import Base

PEER = "tfmot"

type Passes = dict[str, dict[str, Any]]

type Steps = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Case:
    """A recipe on a network.

    Attributes:
        base: the network.
        name: on the page.
        recipe: one that is built in, or passes as in a file; `PEER` is quantization-aware training by TFMOT instead.
        passes: settings that go before the recipe's own.
        labels: whether it sees labels beside the teacher.
        seeds: with how many it is tried.
        section: on which table of the page it stands.
        student: builds the network that `distill` trains in place of the source narrowed; None: it is narrowed.
    """

    base: Base
    name: str
    recipe: str | Steps
    passes: Passes = field(default_factory=dict)
    labels: bool = False
    seeds: int = 3
    section: str = "recipes"
    student: Callable[[], Any] | None = None


def _on(base: Base, *, epochs: int, rate: float, only: tuple[str, ...] = ()) -> list[Case]:
    """Recipes on a network of pictures with labels: all, or the named ones."""
    longer: dict[str, Any] = {"epochs": epochs, "learning_rate": rate}
    group, narrow = ({name: longer} for name in ("cluster", "distill"))
    cut = {"prune-channels": longer | {"rates": 4}}  # 1e-3 undoes what repair has kept, if little was cut
    fewer: dict[str, Any] = longer | {"learning_rate": rate / 3}
    zero = {"prune": fewer}
    cases = [
        Case(base, "source, int8 after training", "ptq", seeds=1),
        Case(base, "prune-channels30, no training", "prune-channels30", seeds=1),
        Case(base, "prune-channels50", "prune-channels50", cut),
        Case(base, "prune-channels50, with labels", "prune-channels50", cut, labels=True),
        Case(base, "prune-channels50-qat", "prune-channels50-qat", cut),
        Case(base, "prune40", "prune50", {"prune": fewer | {"sparsity": 0.4}}),
        Case(base, "prune50", "prune50", zero),
        Case(base, "dynamic-prune45", "prune50", {"prune": fewer | {"sparsity": 0.45, "dynamic": True}}),
        Case(base, "dynamic-prune50-qat", "dynamic-prune50-qat", zero),
        Case(base, "sparse24-qat", "sparse24-qat", zero),
        Case(base, "cluster-qat", "cluster-qat", group),
        Case(base, "qat", "qat"),
        Case(base, "qat, with labels", "qat", labels=True),
        Case(base, "distill-half", "distill-half", narrow),
    ]
    return [case for case in cases if not only or case.name in only]


def _scratch(name: str, section: str, **settings: Any) -> Case:
    """ResNet-8 trained from nothing on labels alone, in one way."""
    usual = {"pass": "finetune", "from_scratch": True, "epochs": 20, "batch_size": 64, "alpha": 1.0, "optimizer": "sgd"}
    usual |= {"learning_rate": 0.05, "schedule": "cosine", "normalization": "on", "augmentation": ["flip", "crop"]}
    return Case(bases.RESNET8, name, (usual | settings,), labels=True, section=section)


def _shortly(temperature: float) -> Steps:
    """Channels go without training; what a little of it brings back then."""
    cut = {"pass": "prune-channels", "remove": 0.3}
    return cut, {"pass": "finetune", "epochs": 10, "learning_rate": 3e-4, "temperature": temperature}


PEERS = [
    Case(bases.RESNET8, "QAT by TFMOT", PEER),
    Case(bases.RESNET8, "QAT by TFMOT, with labels", PEER, labels=True),
]
"""Of the networks, those that TFMOT takes; ours are the rows "qat" and "qat, with labels"."""

USUAL = _scratch("a cosine, flip and crop, batch normalization", "as usual")
"""Each of the others differs from it in one kind of thing, its section."""

SETUPS = [
    USUAL,
    _scratch("fixed", "learning rate", schedule="constant", warmup=0.0),
    _scratch("decayed in steps", "learning rate", schedule="step"),
    _scratch("decayed exponentially", "learning rate", schedule="exponential"),
    _scratch("cyclical", "learning rate", schedule="cyclical"),
    _scratch("one cycle", "learning rate", schedule="one-cycle"),
    _scratch("lowered on a plateau", "learning rate", schedule="plateau"),
    _scratch("adaptive (AdamW)", "learning rate", optimizer="adamw", learning_rate=2e-3),
    _scratch("none", "augmentation", augmentation=[]),
    _scratch("crop", "augmentation", augmentation=["crop"]),
    _scratch("rotate and scale", "augmentation", augmentation=["rotate", "scale"]),
    _scratch("colour", "augmentation", augmentation=["colour"]),
    _scratch("all", "augmentation", augmentation=["flip", "crop", "rotate", "scale", "colour", "cutout"]),
    _scratch("none", "regularization", normalization="off", learning_rate=0.01),
    _scratch("L2", "regularization", normalization="off", learning_rate=0.01, weight_decay=1e-4),
    _scratch("dropout", "regularization", normalization="off", learning_rate=0.01, dropout=0.2),
]

STUDENT: dict[str, Any] = {"learning_rate": bases.BERT.learning_rate, "epochs": 10}
"""As its teacher was trained: at the recipe's own rate, for convolutions, a Transformer diverges."""

SEPARABLE = "separable convolutions, distilled"

SEPARATING: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 64, "epochs": 30, "normalization": "on"}
"""About as a MobileNet is trained alone, but for the labels."""

CASES = [
    *_on(bases.RESNET8, epochs=20, rate=1e-3),
    *_on(
        bases.RESNET20,
        epochs=20,
        rate=1e-3,
        only=("source, int8 after training", "prune-channels50", "prune40", "dynamic-prune45", "qat"),
    ),
    Case(bases.FULL, "source, int8 after training", "ptq", seeds=1),
    *_on(
        bases.MOBILENET,
        epochs=20,
        rate=1e-3,
        only=(
            "source, int8 after training",
            "prune-channels30, no training",
            "prune-channels50",
            "qat",
            "qat, with labels",
        ),
    ),
    Case(bases.EFFICIENTNET, "source, int8 after training", "ptq", seeds=1),
    Case(bases.EFFICIENTNET, "prune-channels30, no training", "prune-channels30", seeds=1),
    Case(bases.EFFICIENTNET, "qat", "qat", {"qat": {"epochs": 2, "batch_size": 8}}, seeds=1),
    Case(bases.BERT, "source, int8 after training", "ptq", seeds=1),
    Case(bases.BERT, "distill-half", "distill-half", {"distill": STUDENT}),
    Case(bases.BERT, "distill-quarter", "distill-half", {"distill": STUDENT | {"width": 0.25}}),
    Case(
        bases.BERT,
        "two blocks of width 48, distilled",
        "distill-half",
        {"distill": STUDENT | {"epochs": 20, "augmentation": ["swap", "span-mask=1"]}},
        student=lambda: bases.transformer(blocks=2, width=48, heads=3),
    ),
    Case(bases.BERT, "distill-half with feature maps", "distill-half", {"distill": STUDENT | {"features": ["auto"]}}),
    Case(
        bases.BERT,
        "half the width, trained alone",
        "distill-half",
        {"distill": STUDENT | {"alpha": 1.0, "from_scratch": True}},
        labels=True,
    ),
    *SETUPS,
    *PEERS,
    Case(bases.DETECTOR, "source, int8 after training", "ptq", seeds=1),
    Case(bases.DETECTOR, "qat", "qat", {"qat": {"epochs": 10, "batch_size": 8}}),
    Case(bases.BOXES, "source, int8 after training", "ptq", seeds=1),
    Case(bases.BOXES, "qat", "qat", {"qat": {"epochs": 10, "batch_size": 8}}),
    *(
        Case(bases.RESNET8, f"30 % of channels, ten epochs at a temperature of {soft:g}", _shortly(soft), seeds=1)
        for soft in (1.0, 4.0)
    ),
    Case(bases.FULL, SEPARABLE, "distill-half", {"distill": SEPARATING}, student=bases.MOBILENET.architecture),
]
