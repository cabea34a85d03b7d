"""A network run operator by operator over samples, so that weights can change on the way."""

from collections.abc import Iterator, Mapping
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from edgekit.host import events
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

LARGE_BYTES = 1 << 26
"""Arrays above it lie in files that are mapped into memory, so that the disk bounds the number of samples."""


class ActivationWalk:
    """What a network's tensors hold for samples, as far as they are still read.

    Args:
        tree: the object tree; its constants may change while it is walked.
        samples: inputs by tensor index, ``[N, *shape]``.
    """

    def __init__(self, tree: Any, samples: Mapping[int, Array]) -> None:
        self._tree, self._stepwise = tree, Stepwise(tree)
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
        self.values |= {tensor: mapped(made) for tensor, made in self._stepwise.run(described, self.values).items()}
        for tensor in {*described.inputs, *described.outputs}:
            if self._last.get(tensor, -1) <= operator:
                self.values.pop(tensor, None)

    def linear(self, operator: int) -> Array:
        """What an operator would make of what is there without its fused activation, ``[N, *shape]``.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        described, options = self.graph.operators[operator], self._tree.subgraphs[0].operators[operator].builtinOptions
        activation = getattr(options, "fusedActivationFunction", 0)
        if not activation:
            return mapped(self._stepwise.run(described, self.values)[described.outputs[0]])
        options.fusedActivationFunction = 0
        try:
            return mapped(self._stepwise.run(described, self.values)[described.outputs[0]])
        finally:
            options.fusedActivationFunction = activation


def mapped(values: Array) -> Array:
    """The same array; a large one in a file that is gone once nobody holds it.

    Raises:
        OSError: the disk is full.
    """
    if values.nbytes < LARGE_BYTES:
        return values
    with TemporaryFile() as file:
        np.ascontiguousarray(values).tofile(file)
        file.flush()
        return np.memmap(file, values.dtype, "r", shape=values.shape)
