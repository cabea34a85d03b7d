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

RECOVERED = 0.5
"""By how much it may grow in the first epoch, at the full rate: ResNet-8 with integers gained more after 1.3 times the
loss than at the next smaller rate, MobileNet and FastestDet nothing after 1.6 and 1.8 times."""

HALVED = 0.5
"""From this share of the first held-out loss on, a trial shows what trains best, and not only what does no harm."""


def trial_steps(epochs: int, epoch_steps: int) -> int:
    """How many steps a learning rate is tried for."""
    return min(epoch_steps, max(LEAST, round(SHARE * epochs * epoch_steps)))


def put_back(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Let variables, TensorFlow's, hold what they held before."""
    for variable, held in zip(variables, values, strict=True):
        variable.assign(held)


def smallest(count: int) -> float:
    """The share of the largest learning rate down to which none is too small to be tried."""
    return float(BETWEEN ** (count - 1.5))


def harms(before: float, after: float, most: float = HARMLESS) -> bool:
    """Whether a held-out loss has grown by a larger share than a whole schedule brings down again."""
    return not after <= (1 + most) * before


def falling(step: int, steps: int) -> float:
    """The share of its learning rate that a trial's step has: it comes to rest as a whole training does."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def largest(count: int, train: Callable[[float], None], judge: Callable[[], float], variables: Sequence[Any]) -> float:
    """The largest share of a learning rate that does no harm or, far from the end, does nearly best.

    The smallest if all do harm.

    A few steps show what harms, and not what helps most in the end: small rates look best in them, since they change
    next to nothing. So the largest harmless one is taken, as in a range test ("Cyclical Learning Rates for Training
    Neural Networks", Smith, 2017). A student that has most to learn is another matter: if a trial halves the loss, the
    largest rate counts that comes as near as the best. Smaller ones than one that does worse than its next larger are
    not tried.

    Args:
        count: how many are tried, from the whole on.
        train: makes the steps of a trial with a share of the largest learning rate.
        judge: the held-out loss.
        variables: what a trial changes, TensorFlow's; they hold what they held before.
    """
    held, first, losses = [variable.numpy() for variable in variables], judge(), list[float]()
    for number in range(count):
        events.progress(None, f"trying learning rate {number + 1} of {count}")
        train(BETWEEN**number)
        losses.append(judge())
        put_back(variables, held)
        if number and not harms(first, losses[-2]) and not losses[-1] < losses[-2]:
            break
    best = min(loss for loss in [math.inf, *losses] if not math.isnan(loss))
    limit = (1 + HARMLESS) * (best if best <= HALVED * first else first)
    return BETWEEN ** next((number for number, loss in enumerate(losses) if loss <= limit), count - 1)
