"""A network run operator by operator over samples, so that weights can change on the way."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise, last_uses
from edgekit.waist.tensors import Array


class ActivationWalk:
    """What a network's tensors hold for samples, as far as they are still read.

    Args:
        tree: the object tree; its constants may change while it is walked.
        samples: inputs by tensor index, ``[N, *shape]``.
    """

    def __init__(self, tree: Any, samples: Mapping[int, Array]) -> None:
        self._stepwise = Stepwise(tree)
        self._last = last_uses(self._stepwise.graph)
        self.values: dict[int, Array] = dict(samples)

    def run(self, operator: int) -> None:
        """Run an operator; what nobody reads any more is dropped.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        described = self._stepwise.graph.operators[operator]
        self.values |= self._stepwise.run(described, self.values)
        for tensor in {*described.inputs, *described.outputs}:
            if self._last.get(tensor, -1) == operator or tensor not in self._last:
                self.values.pop(tensor, None)


def peak_bytes(main: graph.Graph) -> int:
    """About how much one sample takes on the way: the largest operator with all that it reads and makes, twice."""
    sizes = [int(np.prod(tensor.shape)) * 4 for tensor in main.tensors]
    constants = {tensor.index for tensor in main.tensors if tensor.constant_bytes}
    return 2 * max(
        (sum(sizes[i] for i in {*op.inputs, *op.outputs} - constants - {-1}) for op in main.operators), default=1
    )
