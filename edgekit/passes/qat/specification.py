"""What an integer file says of a network: which tensors stand on a grid, and which of these are one and the same.

The file that the quantizer makes is the specification: it works for every operator that the quantizer knows, and what
it leaves float stays float.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.passes.qat.grids import LIMITS
from edgekit.passes.qat.operators.layers import LAYERS
from edgekit.passes.qat.operators.moves import SHARING
from edgekit.trainable import shapes
from edgekit.trainable.operands import File
from edgekit.trainable.operators.table import ROWS as FLOAT_ROWS
from edgekit.trainable.weights import looks_learned
from edgekit.waist import graph
from edgekit.waist.tensors import Array

SETTLED = frozenset({"SOFTMAX", "LOGISTIC", "TANH", "LOG_SOFTMAX", "L2_NORMALIZATION", "SIN", "COS"})
"""Operators whose kernels take one scale of results alone (TFLite 8-bit quantization specification)."""

KERNELS = frozenset({"int4", "int8"})
"""Dtypes of weights that are trained."""

WIDE = frozenset({"int32", "int64"})
"""Dtypes of sums and of their biases."""


@dataclass(frozen=True)
class Specification:
    """An integer file.

    Attributes:
        content: the file.
        file: the same as graphs, with its constants.
        shared: by tensor the first of those that it shares a grid with, itself included.
    """

    content: bytes
    file: File
    shared: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, content: bytes) -> "Specification":
        """Read a file.

        Raises:
            InputError: it is damaged.
            Unsupported: LiteRT cannot run it.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / "specification.tflite"
            path.write_bytes(content)
            tree = graph.parse(content, path)
            shapes.settle(tree, path)
        file = File(tree)
        return cls(content, file, _shared(file.graphs[0]))

    @property
    def main(self) -> graph.Graph:
        """The main graph."""
        return self.file.graphs[0]

    def on_grid(self, tensor: int) -> bool:
        """Whether a tensor holds integers with a scale."""
        described = self.main.tensors[tensor]
        return tensor >= 0 and bool(described.scales) and described.dtype in LIMITS

    def integers(self, tensor: int) -> Array:
        """A constant's integers."""
        return np.asarray(self.file.constant((0, tensor)).values)

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values lie in the file."""
        return tensor >= 0 and graph.is_constant(self.file.tree, 0, tensor)

    def learnable(self, untouched: Iterable[int]) -> frozenset[int]:
        """The first tensors of activations' grids whose scale may change.

        Not those of the network's inputs, which the app's own numbers decide; of results for which kernels know one
        scale alone; of constants that stand on the grid of activations; and of ``untouched`` tensors.
        """
        main = self.main
        made = {tensor for operator in main.operators for tensor in operator.outputs}
        held = {*main.inputs, *untouched}
        held |= {t for o in main.operators if o.name in SETTLED for t in o.outputs}
        held |= {t for o in main.operators if o.name == "QUANTIZE" and o.inputs[0] in main.inputs for t in o.outputs}
        held |= {tensor for tensor in self.shared if tensor not in made}
        settled = {self.shared[tensor] for tensor in held if tensor in self.shared}
        return frozenset(self.shared.values()) - settled

    def weights(self, operators: Iterable[graph.Operator]) -> dict[int, str]:
        """Constants that are trained, by tensor: ``kernel``, ``bias`` (of integers) or ``float``."""
        found: dict[int, str] = {}
        for operator in operators:
            row, layer = FLOAT_ROWS.get(operator.name), LAYERS.get(operator.name)
            for slot, tensor in enumerate(operator.inputs):
                if row is None or not self.is_constant(tensor) or tensor in self.shared:
                    continue
                if slot not in row.weights and not (slot in row.learnable and self._learned(tensor)):
                    continue
                described = self.main.tensors[tensor]
                if layer is not None and slot == layer.bias and described.dtype in WIDE:
                    found[tensor] = "bias"
                elif self.on_grid(tensor) and described.dtype in KERNELS:
                    found[tensor] = "kernel"
                elif described.dtype == "float32":
                    found[tensor] = "float"
        return found

    def _learned(self, tensor: int) -> bool:
        values = self.integers(tensor)
        return looks_learned(values.astype(np.float32) if self.on_grid(tensor) else values)


def _shared(main: graph.Graph) -> dict[int, int]:
    """Tensors on one grid, by way of the operators that leave integers as they are."""
    makers = {tensor: operator for operator in main.operators for tensor in operator.outputs}

    def first(tensor: int) -> int:
        """The tensor that stands for all on its grid."""
        while found[tensor] != tensor:
            tensor = found[tensor]
        return tensor

    def grid(tensor: int) -> Any:
        """What tensors must have in common to be on one grid."""
        described = main.tensors[tensor]
        return described.scales, described.zero_points, described.dtype

    flowing = (main.tensors[tensor] for tensor in (*main.inputs, *makers))
    found = {tensor.index: tensor.index for tensor in flowing if tensor.scales and tensor.dtype in LIMITS}
    for operator in main.operators:
        if operator.name not in SHARING:
            continue
        both = [t for t in (*operator.inputs, *operator.outputs) if t >= 0 and main.tensors[t].scales]
        both = [t for t in both if main.tensors[t].dtype not in WIDE]
        for tensor in both:
            found.setdefault(tensor, tensor)
            if grid(tensor) == grid(both[0]):
                one, other = sorted((first(tensor), first(both[0])))
                found[other] = one
    return {tensor: first(tensor) for tensor in found}
