"""A network run operator by operator over samples, so that weights can change on the way."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.host import events
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array


class ActivationWalk:
    """What a network's tensors hold for samples, as far as they are still read.

    Args:
        tree: the object tree; its constants may change while it is walked.
        samples: inputs by tensor index, ``[N, *shape]``.
    """

    def __init__(self, tree: Any, samples: Mapping[int, Array]) -> None:
        self._stepwise = Stepwise(tree)
        self.graph: graph.Graph = self._stepwise.graph
        self._last = {tensor: operator.index for operator in self.graph.operators for tensor in operator.inputs}
        self.values: dict[int, Array] = dict(samples)

    def through(self, doing: str) -> Iterator[graph.Operator]:
        """Each operator, just before it runs; how far that is is told.

        Raises:
            Unsupported: LiteRT cannot run one.
        """
        for operator in self.graph.operators:
            events.progress(operator.index / len(self.graph.operators), doing)
            yield operator
            self.run(operator.index)

    def run(self, operator: int) -> None:
        """Run an operator; what nobody reads any more is dropped.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        described = self.graph.operators[operator]
        self.values |= self._stepwise.run(described, self.values)
        for tensor in {*described.inputs, *described.outputs}:
            if self._last.get(tensor, -1) <= operator:
                self.values.pop(tensor, None)
