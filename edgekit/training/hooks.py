"""What a pass adds to the loop, and what the loop gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgekit.nouns.training import Epoch


class Forward(Protocol):
    """Computes tensors of a network in place of its layers, such as with integers simulated. It is traced once."""

    def __call__(self, given: list[Any], wanted: tuple[int, ...], *, training: bool) -> list[Any]:
        """The values of tensors.

        Args:
            given: the inputs ``[N, …]`` in the file's order, as the lifted model takes them.
            wanted: places of tensors in the file's main graph.
            training: whether a gradient will be asked for.

        Returns:
            One for each that is wanted, shaped as in the lifted model.
        """


def nothing(_: Any) -> None:
    """What a pass does if it does nothing."""


@dataclass(frozen=True)
class Hooks:
    """What a pass adds to the loop.

    Attributes:
        forward: computes tensors in place of the lifted model; None: the model does.
        before_epoch: called with the number of the epoch, from 0, before it; plain Python that may change variables.
        after_step: called with the number of the step, from 0 (a scalar tensor), after the weights have changed; it is
            traced into the step, and is TensorFlow alone.
        losses: is added to the loss of each step; traced, too.
        variables: trained beside the model's own.
        state: other variables that a run that goes on has to find as they were, masks, for instance.
        counts: whether the network after so many epochs may be kept (0: as it was before training).
    """

    forward: Forward | None = None
    before_epoch: Callable[[int], None] = nothing
    after_step: Callable[[Any], None] = nothing
    losses: Callable[[], Any] | None = None
    variables: Sequence[Any] = ()
    state: Sequence[Any] = ()
    counts: Callable[[int], bool] = lambda _: True


NONE = Hooks()
"""Nothing is added."""


@dataclass(frozen=True)
class Fitted:
    """What came of a training; the network and the hooks' variables hold the weights that were kept.

    Attributes:
        epochs: in their order.
        kept: after how many of them the weights are those that are kept; 0: nothing became better.
        notes: how it was done.
        warnings: what a user must know: training that stopped because numbers were not finite.
    """

    epochs: tuple[Epoch, ...] = ()
    kept: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
