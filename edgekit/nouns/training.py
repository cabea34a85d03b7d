"""How a network is trained: the settings that all passes of a recipe share, and what came of it."""

from typing import Annotated, Literal

import msgspec

from edgekit.nouns.base import Noun

Positive = Annotated[float, msgspec.Meta(gt=0)]
Temperature = Annotated[float, msgspec.Meta(gt=0, le=100)]
"""At higher ones what tells outputs apart drowns in the rounding of float32."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Below1 = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Epochs = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Trained = Annotated[
    int,
    msgspec.Meta(ge=1, le=100_000, extra={"why": "this pass does nothing but train: leave it out if it is not to"}),
]
"""Epochs of a pass that is nothing without them."""

Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "exponential", "cosine", "cyclical", "one-cycle", "plateau"]
Loss = Literal["auto", "kl", "mse"]


class Training(Noun, frozen=True, kw_only=True):
    """How weights are trained. Every pass of a recipe that trains has these keys.

    Keys:
        epochs: how often all samples are seen; 0, where a pass does something else as well, trains nothing.
        batch_size: samples in a step.
        optimizer: sgd (with momentum), adam, adamw or rmsprop.
        learning_rate: the largest of the schedule.
        rates: how many learning rates are tried for a few steps each before training, the largest and others below it,
            half a power of ten apart; the largest that does not make the held-out loss worse is taken, or that does
            nearly best if one halves it. If it makes the loss worse in the first epoch, that begins again at the next
            smaller one. 1 tries none.
        momentum: of sgd and rmsprop.
        schedule: how the learning rate runs over the steps: constant, step, exponential, cosine, cyclical, one-cycle,
            or plateau (lowered when the held-out loss no longer falls).
        warmup: the share of all steps over which the learning rate first rises from 0.
        weight_decay: the factor of the squared weights (L2) in the loss; adamw decays the weights themselves.
        l1: the factor of the absolute weights in the loss.
        dropout: the share of values that are dropped before the last layer with weights.
        label_smoothing: the share of a label's certainty that is spread over all classes.
        clip_norm: the largest norm of the gradients of a step; 0 clips nothing.
        holdout: the share of the samples that is held out, to stop early and to keep the best weights. Those from
            before training stay unless it gains more on these samples than the standard error of the gain.
        patience: epochs without a better held-out loss after which training ends; 0 never ends early.
        loss: how outputs are held against the teacher's: kl (softmax of both, at a temperature), mse (squared error
            over the teacher's variance), or auto: kl for scores of classes, mse for all else.
        temperature: of kl.
        alpha: the share of the labels' loss in the whole, if samples have labels; the rest is the teacher's.
        augmentation: what is done to samples at random, by name, in order. ``auto`` flips and shifts pictures in colour
            if the teacher alone says what is right, and does nothing to all else.
        normalization: put a batch normalization behind each convolution while training: on, off, or auto, if the pass
            knows that it gains.
        from_scratch: draw all weights anew before training.
        features: pairs of tensors ``"teacher's=student's"`` whose values are to agree, too, through learned 1×1
            adapters; ``auto`` pairs those of equal height and width.
    """

    epochs: Epochs = 5
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 32
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-4
    rates: Annotated[int, msgspec.Meta(ge=1, le=12)] = 1
    momentum: Below1 = 0.9
    schedule: Schedule = "cosine"
    warmup: Share = 0.05
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    l1: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    dropout: Below1 = 0.0
    label_smoothing: Below1 = 0.0
    clip_norm: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    holdout: Below1 = 0.1
    patience: Epochs = 0
    loss: Loss = "auto"
    temperature: Temperature = 1.0
    alpha: Share = 0.5
    augmentation: tuple[str, ...] = ("auto",)
    normalization: Literal["auto", "on", "off"] = "auto"
    from_scratch: bool = False
    features: tuple[str, ...] = ()


class Epoch(Noun, frozen=True, kw_only=True):
    """What an epoch of training came to.

    ``loss`` is the mean over its steps, ``held_out`` that of the samples that are not trained on; None without any.
    ``gain`` is by how much that is below what the same samples had before training, and ``gain_error`` the standard
    error of this difference, taken sample by sample; None if either is not finite. ``learning_rate`` is that of its
    last step.
    """

    loss: float
    held_out: float | None = None
    gain: float | None = None
    gain_error: float | None = None
    learning_rate: float
    seconds: float
