"""Which learning rate to train with: several are tried for a few steps, and what is held out judges."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from edgekit.host import events

BETWEEN = 10**-0.5
"""From one learning rate to the next: half a power of ten."""

SHARE = 0.05
"""Of all steps, how many a trial has."""

LEAST = 20
"""Steps of a trial, at least: with fewer the gradient's noise decides."""

HARMLESS = 0.25
"""By how much the held-out loss may grow in a trial (about 1 dB): over a whole schedule it falls again."""


def trial_steps(epochs: int, epoch_steps: int) -> int:
    """How many steps a learning rate is tried for."""
    return min(epoch_steps, max(LEAST, round(SHARE * epochs * epoch_steps)))


def falling(step: int, steps: int) -> float:
    """The share of its learning rate that a trial's step has: it comes to rest as a whole training does."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def largest(count: int, train: Callable[[float], None], judge: Callable[[], float], variables: Sequence[Any]) -> float:
    """The largest share of a learning rate that does not make the held-out loss worse; the smallest if all do.

    A few steps show what harms, and not what helps most in the end: small rates look best in them, since they change
    next to nothing. So the largest harmless one is taken, as in a range test ("Cyclical Learning Rates for Training
    Neural Networks", Smith, 2017).

    Args:
        count: how many are tried, from the whole on.
        train: makes the steps of a trial with a share of the largest learning rate.
        judge: the held-out loss.
        variables: what a trial changes, TensorFlow's; they hold what they held before.
    """
    held, limit = [variable.numpy() for variable in variables], (1 + HARMLESS) * judge()
    for number in range(count):
        events.progress(None, f"trying learning rate {number + 1} of {count}")
        train(BETWEEN**number)
        loss = judge()
        for variable, values in zip(variables, held, strict=True):
            variable.assign(values)
        if loss <= limit:
            return BETWEEN**number
    return BETWEEN ** (count - 1)
