"""Layers of an OpenVINO network as matrices: each output value is a row of weights times a patch of the input."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

KINDS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)
"""Operators that multiply and accumulate."""


@dataclass(frozen=True)
class IrLayer:
    """A node of `KINDS` with constant float32 weights that nobody else reads.

    ``order`` are the axes of its weights: that of groups, if there is one, that of the outputs of each group, those of
    the patch, and that of the channels that each group reads.
    """

    node: Any
    weights: Floats
    order: tuple[int, ...]
    grouped: bool

    @property
    def made(self) -> int:
        """How many channels it makes."""
        return prod(self.weights.shape[axis] for axis in self.order[: 1 + self.grouped])

    @property
    def read(self) -> int:
        """How many channels it reads."""
        return self.weights.shape[self.order[-1]] * (self.weights.shape[0] if self.grouped else 1)

    def matrices(self, weights: Floats | None = None) -> Floats:
        """The weights, or others of their shape, as ``[groups, outputs of each, taps]``, channels changing fastest."""
        turned = (self.weights if weights is None else weights).transpose(self.order)
        heads = turned.shape[: 1 + self.grouped]
        return turned.reshape(*((1,) if len(heads) == 1 else ()), *heads, -1)

    def as_weights(self, matrices: NDArray[np.float64]) -> Floats:
        """What `matrices` gave, in the node's own shape, float32."""
        turned = matrices.reshape([self.weights.shape[axis] for axis in self.order])
        return np.ascontiguousarray(turned.transpose(np.argsort(self.order)), np.float32)


def layer(node: Any) -> IrLayer | None:
    """A node as a layer; None if it is none, or if its weights are computed, shared or no float32."""
    kind = node.get_type_name()
    if kind not in KINDS:
        return None
    constant = node.input_value(1).get_node()
    if constant.get_type_name() != "Constant" or constant.get_element_type().get_type_name() != "f32":
        return None
    weights = np.array(constant.data, np.float32)
    if len(constant.output(0).get_target_inputs()) > 1 or not weights.size:
        return None
    if kind == "MatMul":
        options = node.get_attributes()
        if weights.ndim != 2 or options["transpose_a"] or len(node.get_input_shape(0)) < 2:
            return None
        return IrLayer(node, weights, (0, 1) if options["transpose_b"] else (1, 0), grouped=False)
    groups = int(kind.startswith("Group"))
    outputs, inputs = (groups + 1, groups) if kind.endswith("BackpropData") else (groups, groups + 1)
    order = (*range(groups), outputs, *range(groups + 2, weights.ndim), inputs)
    return IrLayer(node, weights, order, grouped=bool(groups))
