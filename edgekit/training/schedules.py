"""How the learning rate runs over the steps of a training: schedules of tf-keras, and those that it has not."""

import math
from typing import Any

from edgekit.nouns.training import Training
from edgekit.trainable.libraries import tf, tf_keras

STEPS = (0.5, 0.75)
"""After which shares of all steps the schedule ``step`` divides by 10, as He et al. do ("Deep Residual Learning", 2015,
section 4.2: at 32k and 48k of 64k iterations)."""

EXPONENTIAL_END = 0.01
"""What share of the learning rate the schedule ``exponential`` ends with."""

CYCLE_EPOCHS = 4
"""The length of a triangle of the schedule ``cyclical``: "Cyclical Learning Rates for Training Neural Networks" (Smith,
2017) finds 2 to 10 epochs for half of one good."""

CYCLE_LOW = 0.25
"""The share that a triangle begins and ends with: a third to a quarter of the largest, as there in section 3.3."""

RISE, START, END = 0.3, 1 / 25, 1 / 250_000
"""The schedule ``one-cycle``: the share of steps that it rises, what it begins and what it ends with
("Super-Convergence", Smith and Topin, 2018; the numbers are those of fastai and PyTorch's OneCycleLR)."""

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.3, 2
"""By what the schedule ``plateau`` multiplies, after so many epochs without a better loss."""


class Scaled(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule of which every step is multiplied by a number that may change between steps.

    Args:
        schedule: the schedule.
        factor: a variable of TensorFlow's.
        warmup: over so many steps it rises from 0, and the schedule begins after them.
    """

    def __init__(self, schedule: Any, factor: Any, warmup: int) -> None:
        super().__init__()
        self._schedule, self._factor, self._warmup = schedule, factor, warmup

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0."""
        later = tf.maximum(step - self._warmup, 0)
        rate = self._schedule(later) if callable(self._schedule) else tf.constant(self._schedule)
        risen = tf.minimum((tf.cast(step, tf.float32) + 1) / max(1, self._warmup), 1.0)
        return rate * self._factor * risen

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {"schedule": self._schedule, "factor": float(self._factor), "warmup": self._warmup}


class Triangles(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The cyclical learning rate of Smith (2017): up and down linearly between two bounds."""

    def __init__(self, low: float, high: float, period: int) -> None:
        super().__init__()
        self._low, self._high, self._period = low, high, period

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0."""
        place = tf.cast(step % self._period, tf.float32) / self._period
        return self._low + (self._high - self._low) * (1 - tf.abs(2 * place - 1))

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {"low": self._low, "high": self._high, "period": self._period}


class OneCycle(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """One rise and one fall, both along a cosine, of Smith and Topin (2018)."""

    def __init__(self, high: float, steps: int) -> None:
        super().__init__()
        self._high, self._steps = high, steps

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0."""
        rise = max(1, round(RISE * self._steps))
        place = tf.cast(step, tf.float32)
        up = self._along(self._high * START, self._high, place / rise)
        down = self._along(self._high, self._high * END, (place - rise) / max(1, self._steps - rise))
        return tf.where(place < rise, up, down)

    @staticmethod
    def _along(first: float, last: float, share: Any) -> Any:
        return last + (first - last) * (1 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0))) / 2

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {"high": self._high, "steps": self._steps}


def schedule(settings: Training, epoch_steps: int, factor: Any) -> Scaled:
    """The learning rate over all steps.

    Args:
        settings: of the training.
        epoch_steps: steps of an epoch.
        factor: a variable by which all is multiplied; what ``plateau`` lowers.
    """
    rises = settings.schedule in {"cyclical", "one-cycle"}  # of themselves
    warmup = 0 if rises else round(settings.warmup * settings.epochs * epoch_steps)
    total, high = max(1, settings.epochs * epoch_steps - warmup), settings.learning_rate
    known = tf_keras.optimizers.schedules
    found: Any = high
    if settings.schedule == "step":
        bounds = [round(share * total) for share in STEPS]
        found = known.PiecewiseConstantDecay(bounds, [high / 10**power for power in range(len(bounds) + 1)])
    elif settings.schedule == "exponential":
        found = known.ExponentialDecay(high, total, EXPONENTIAL_END)
    elif settings.schedule == "cosine":
        found = known.CosineDecay(high, total)
    elif settings.schedule == "cyclical":
        found = Triangles(CYCLE_LOW * high, high, CYCLE_EPOCHS * epoch_steps)
    elif settings.schedule == "one-cycle":
        found = OneCycle(high, total)
    return Scaled(found, factor, warmup)


class Plateau:
    """When the schedule ``plateau`` lowers the learning rate: the rule of Keras' ReduceLROnPlateau.

    Args:
        losses: of the epochs so far.
    """

    def __init__(self, losses: list[float]) -> None:
        self._best, self._waited = math.inf, 0
        for loss in losses:
            self.lowers(loss)

    def lowers(self, loss: float) -> bool:
        """Whether it does after an epoch with this loss."""
        if loss < self._best:
            self._best, self._waited = loss, 0
            return False
        self._waited += 1
        if self._waited < PLATEAU_PATIENCE:
            return False
        self._waited = 0
        return True
