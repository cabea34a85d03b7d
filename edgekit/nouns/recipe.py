"""Recipes: the passes that a network goes through, one after another, before files are made of it."""

from typing import Annotated, Literal

import msgspec

from edgekit.nouns.base import Noun
from edgekit.nouns.training import Epoch, Epochs, Positive, Share, Temperature, Trained, Training

Kept = Annotated[float, msgspec.Meta(gt=0, lt=1)]
"""A share that is neither nothing nor all."""


SOFT = 4.0
"""The temperature of passes that take much away: classes that are nearly ruled out then teach too, and each sample says
more. With it "Contrastive Representation Distillation" (Tian et al., 2020) compares ways of distillation."""


class FineTune(Training, frozen=True, kw_only=True, tag_field="pass", tag="finetune"):
    """Train the network as it is."""

    epochs: Trained = 5


class Distill(Training, frozen=True, kw_only=True, tag_field="pass", tag="distill"):
    """Train a smaller network to compute what the teacher computes.

    Keys:
        width: the share of channels of each layer that the student keeps.
        student: a model file to train instead: Keras, ONNX or TFLite, with the source's inputs and outputs.
    """

    epochs: Trained = 30
    learning_rate: Positive = 3e-3
    rates: Annotated[int, msgspec.Meta(ge=1, le=12)] = 4
    width: Kept = 0.5
    student: str | None = None


class PruneChannels(Training, frozen=True, kw_only=True, tag_field="pass", tag="prune-channels"):
    """Remove whole channels, so that the network becomes smaller and faster everywhere.

    Keys:
        remove: the share that is to go.
        of: what it is a share of: macs, parameters, bytes, or latency on one thread of this host.
        importance: what tells which channels go: l1 or l2 (their weights), taylor (how the loss changes, to first
            order), activations (how much they vary), or error (what of the next layer's output is lost after a
            least-squares repair).
        floor: the least share of a layer's channels that stays.
        multiple: counts of channels are rounded to multiples of it; 0: what the target's kernels like.
        rounds: how many times some of it is removed, with training between.
        repair: solve the weights of the next layer anew by least squares after each removal.
    """

    epochs: Epochs = 0
    temperature: Temperature = SOFT
    remove: Kept = 0.3
    of: Literal["macs", "parameters", "bytes", "latency"] = "macs"
    importance: Literal["l1", "l2", "taylor", "activations", "error"] = "error"
    floor: Share = 0.1
    multiple: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    repair: bool = True


class Prune(Training, frozen=True, kw_only=True, tag_field="pass", tag="prune"):
    """Set weights to zero. The file is smaller only compressed, and faster only where kernels gain from zeros.

    Keys:
        sparsity: the share of zeros that the weights end with.
        pattern: where zeros may lie: unstructured, 2:4 (two in each four), or block (in 4×1 blocks of output channels).
        ramp: how the share rises while training: polynomial (Zhu and Gupta, 2017) or constant (from the start).
        dynamic: choose anew while training which weights are zero, so that some come back.
        scope: which weights go: those that are the smallest share of their layer (global), the same share of each layer
            (layer), or those that move the outputs least, by their magnitude and their layer's gradient (sensitivity).
    """

    epochs: Epochs = 10
    temperature: Temperature = SOFT
    sparsity: Kept = 0.5
    pattern: Literal["unstructured", "2:4", "block"] = "unstructured"
    ramp: Literal["polynomial", "constant"] = "polynomial"
    dynamic: bool = False
    scope: Literal["global", "layer", "sensitivity"] = "global"


class Cluster(Training, frozen=True, kw_only=True, tag_field="pass", tag="cluster"):
    """Let the weights of a layer share a few values, so that the compressed file is smaller.

    Keys:
        clusters: how many values each layer has.
    """

    epochs: Epochs = 5
    clusters: Annotated[int, msgspec.Meta(ge=2, le=256)] = 16


class Qat(Training, frozen=True, kw_only=True, tag_field="pass", tag="qat"):
    """Train with the integer arithmetic of the file that is built.

    It begins with the weights that the network has, and adds nothing to it: ``dropout``, ``normalization``,
    ``from_scratch``, ``weight_decay`` and ``l1`` are refused.

    Keys:
        precision: of that file.
        learn_ranges: train the ranges of activations, too.
    """

    epochs: Trained = 5
    learning_rate: Positive = 1e-3
    rates: Annotated[int, msgspec.Meta(ge=1, le=12)] = 6
    precision: Literal["int8", "int16x8", "int4", "dynamic-int8"] = "int8"
    learn_ranges: bool = True


PassSettings = FineTune | Distill | PruneChannels | Prune | Cluster | Qat
"""A pass with its settings; in TOML a table ``[[passes]]`` whose key ``pass`` names it."""


class Weighed(Noun, frozen=True, kw_only=True):
    """A network between two passes.

    Attributes:
        parameters: how many, zeros included.
        macs: multiply-accumulates of an inference.
        zeros: the share of parameters that are 0.
        bytes: of its float file.
        gzip_bytes: of that, compressed.
        latency_ms: the best of a few runs on one thread of this host; None if it cannot run there.
        sqnr_db: of the worst output against the source's; None if all are identical.
        agreement: the least share of choices that are the source's; None if no output chooses.
        metric: the task metric; None if none is asked for.
    """

    parameters: int
    macs: int
    zeros: float
    bytes: int
    gzip_bytes: int
    latency_ms: float | None = None
    sqnr_db: float | None = None
    agreement: float | None = None
    metric: float | None = None


class PassReport(Noun, frozen=True, kw_only=True):
    """A pass that was done: what it cost, and what it gained.

    Attributes:
        settings: with defaults filled in.
        seconds: what it took when it was really done.
        before: the network that it began with.
        after: the one that it made.
        epochs: the curve of its training.
        figures: what it measured itself, by name, with units in the names.
        notes: how it was done.
        warnings: what a user must know or do.
    """

    settings: PassSettings
    seconds: float
    before: Weighed
    after: Weighed
    epochs: tuple[Epoch, ...] = ()
    figures: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Recipe(Noun, frozen=True, kw_only=True):
    """A list of passes, each from one float network to the next.

    Keys:
        name: what it is called; a file's is its own.
        description: what it is for, in a line.
        passes: in their order.
    """

    name: str = ""
    description: str = ""
    passes: tuple[PassSettings, ...] = ()


def name_of(settings: PassSettings) -> str:
    """What a pass is called in recipes."""
    tag = type(settings).__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def shown(settings: PassSettings) -> str:
    """A pass with those of its settings that are not the usual ones, for people."""
    usual, said = msgspec.structs.asdict(type(settings)()), msgspec.structs.asdict(settings)
    words = {key: "+".join(value) or "none" if isinstance(value, tuple) else value for key, value in said.items()}
    told = ", ".join(f"{key} {words[key]}" for key, value in said.items() if value != usual[key])
    return f"{name_of(settings)} ({told})" if told else name_of(settings)


def idle(settings: PassSettings) -> tuple[str, ...]:
    """What was set in a pass and changes nothing beside its other settings, each with the reason."""
    usual = type(settings)()
    changed = {name for name in settings.__struct_fields__ if getattr(settings, name) != getattr(usual, name)}
    told = []
    if not settings.epochs:
        training = {*Training.__struct_fields__} - {"epochs", "holdout"} | {"ramp", "dynamic"}
        told += [f"{name} changes nothing: epochs is 0, and nothing is trained" for name in sorted(changed & training)]
    elif settings.patience >= settings.epochs:
        told.append(f"patience {settings.patience} changes nothing: training ends after {settings.epochs} epochs")
    if isinstance(settings, Distill) and settings.student is not None and "width" in changed:
        told.append("width changes nothing: the student is a network of its own")
    return tuple(told)
