"""Which operators the Edge TPU takes, one by one, and why not.

Sources, named in each rule:

* *table*: the published operation table with its limitations, for runtime 14 and compiler 16.0
  (https://coral.ai/docs/edgetpu/models-intro/#supported-operations; the same table is published
  for the camera that carries this chip:
  https://developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops/).
* *YOLOv9*: the log of compiler 16.0 in https://github.com/dbro/frigate-detector-edgetpu-yolo9.
* *#N*: compiler logs in the thread https://github.com/google-coral/edgetpu/issues/N.
* *pairs*: models with their compiled twins (google-coral/test_data), see ``forecast``.

If a log contradicts the table, the log of the newer compiler wins and the rule says so. A
limit that is not published is bracketed by logs; the docstring of its constant gives both sides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.graph import Operator, Tensor

NOT_SUPPORTED = "Operation not supported"
VERSION = "Operation version not supported"
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
DATA_TYPE = "Operation is working on an unsupported data type"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
DYNAMIC = "Tensor has a dynamic shape"
"""The compiler's own words for what it does not map (DYNAMIC is ours: it refuses such a file whole)."""

EIGHT_BIT = frozenset({"int8", "uint8"})
PARAMETERS = EIGHT_BIT | {"int32", "int64", "bool"}
"""Dtypes of constants: weights, biases, axes, shapes."""

MAX_VERSIONS: dict[str, int] = {
    "RELU": 3, "RELU6": 3, "TANH": 3, "LOGISTIC": 3, "AVERAGE_POOL_2D": 3, "MAX_POOL_2D": 3,
    "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 9, "SOFTMAX": 3, "CONCATENATION": 3, "ADD": 4,
    "MUL": 5, "L2_NORMALIZATION": 2, "LSTM": 4, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3, "PAD": 4, "RESHAPE": 1,
    "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "SPACE_TO_DEPTH": 2, "TRANSPOSE": 5, "MEAN": 3, "SUB": 5,
    "SPLIT": 4, "SQUEEZE": 2, "STRIDED_SLICE": 6, "PRELU": 1, "MAXIMUM": 4, "MINIMUM": 4, "SLICE": 5,
    "TRANSPOSE_CONV": 3, "SUM": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "EXPAND_DIMS": 1, "RSQRT": 2, "PACK": 3,
    "SQUARED_DIFFERENCE": 2, "QUANTIZE": 2, "DEQUANTIZE": 5, "EXP": 1, "ARG_MAX": 3, "CAST": 4, "GATHER": 5,
    "LEAKY_RELU": 2, "DIV": 2, "BATCH_MATMUL": 4, "LOG_SOFTMAX": 2, "DEPTH_TO_SPACE": 2, "SPLIT_V": 2, "UNPACK": 4,
    "TILE": 3,
}  # fmt: skip
"""The newest operator versions that compiler 16.0 can read; a file with a newer one is refused whole.

CONV_2D 6, QUANTIZE 3, TRANSPOSE_CONV 4 and EXP 2 are refused in #631, #879, #845 and libedgetpu#71.
The others are those of TFLite's own registry of mid-2021, when the compiler was built
(https://github.com/tensorflow/tensorflow/blob/00b1ec2ad4b0ecd5275167371cc5d5570fba8e4c/tensorflow/lite/kernels/register.cc).
"""

SOFTMAX_ELEMENTS = 16_000
"""The longest softmax (table)."""

RESIZED_ELEMENTS = 2 * 2**20
"""The largest output of a resize. Mapped: 128·128·32 = 524,288; not: 512·512·32 = 8,388,608 (#31) and
the 256·512·19 = 2,490,368 that its author left to the CPU (#377)."""

BILINEAR_FACTOR = 8
"""The largest enlargement by bilinear interpolation. Mapped: 4 (#377); not: 33 (pairs, DeepLab's
1x1 → 33x33). Older compilers said "Image-interpolation layer won't run precisely enough" (#63)."""

TRANSPOSED_ELEMENTS = 100_000
"""The largest transpose. Mapped: 3·196·85 = 49,980; not: 3·784·85 = 199,920 (#512, YOLOv5 at 224 pixels)."""

MEAN_AREA = 16_384
"""The largest height · width of a spatial mean. Mapped: 64·128 = 8,192; not: 256·128 = 32,768 (#461)."""

FLAT_ELEMENTS = 5 * 2**20
"""The largest flattened tensor [1, n, channels]. Mapped: 19,206·90 (EfficientDet-Lite0); some operators
of EfficientDet-Lite3x (76,725·90 = 6,905,250) are not (libcoral#20)."""


@dataclass(frozen=True)
class CpuReason:
    """Why an operator stays on the CPU: the compiler's status, and the reason in our words."""

    status: str
    reason: str


@dataclass(frozen=True)
class View:
    """An operator with its tensors (None if an optional input is absent) and constants' values."""

    operator: Operator
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    value: Callable[[Tensor], NDArray[np.generic] | None]

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """Inputs that are computed, and outputs. An empty input is a constant without bytes (a scalar's shape)."""
        computed = (t for t in self.inputs if t is not None and not t.constant_bytes and 0 not in t.shape)
        return (*computed, *self.outputs)

    def input(self, position: int) -> Tensor | None:
        """The input at a position; None if the operator has fewer."""
        return self.inputs[position] if position < len(self.inputs) else None

    def constant(self, position: int) -> NDArray[np.generic] | None:
        """The values of a constant input; None if it is computed or absent."""
        tensor = self.input(position)
        return None if tensor is None else self.value(tensor)

    def option(self, name: str, default: int = 0) -> int:
        """A builtin option as a number."""
        return int(self.operator.options.get(name, default) or 0)


Rule = Callable[[View], CpuReason | None]
"""One limitation; None if the operator respects it."""


def inner(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without its leading ones: what counts as rank on the Edge TPU.

    >>> inner((1, 1, 8, 3))
    (8, 3)
    """
    lead = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[lead:]


def refusal(view: View) -> CpuReason | None:
    """The first reason for which an operator cannot be mapped, whatever stands around it; None if it can."""
    name = view.operator.name
    if name not in RULES:
        if name == "DEQUANTIZE":
            return CpuReason(DATA_TYPE, "its output is float32")
        return CpuReason(NOT_SUPPORTED, f"{name.removeprefix('CUSTOM:')} is not in the operation table")
    first: tuple[Rule, ...] = (_constant_shape,) if name == "RESHAPE" else ()  # a computed shape is no activation
    for check in (*first, _shape, _dtype, _rank, *RULES[name]):
        found = check(view)
        if found is not None:
            return found
    return None


def unreadable(operator: Operator) -> CpuReason | None:
    """Why compiler 16.0 cannot even read a file that holds this operator; None if it can."""
    newest = MAX_VERSIONS.get(operator.name)
    if newest is None or operator.version <= newest:
        return None
    return CpuReason(VERSION, f"version {operator.version}; compiler 16.0 reads up to {newest}")


def _shape(view: View) -> CpuReason | None:
    """Tensor sizes must be constant at compile time (table's requirements).

    What is open in a signature is read as the shape beside it says (a batch of -1 as 1): the
    compiler gives every tensor its memory before it looks at the graph.
    """
    for tensor in view.activations:
        if min(tensor.shape, default=1) < 1:
            return CpuReason(DYNAMIC, f"{tensor.name or 'a tensor'} has a shape that is not fixed: {tensor.shape}")
    return None


def _constant_shape(view: View) -> CpuReason | None:
    """Reshape: to a shape known at compile time (table's requirements)."""
    given = view.input(1)
    if given is None or given.constant_bytes or 0 in given.shape:
        return None
    return CpuReason(DYNAMIC, f"its shape {given.name} is computed")


def _dtype(view: View) -> CpuReason | None:
    """Activations are 8-bit (an LSTM's cell state 16-bit); constants are 8-bit or integers (table)."""
    if view.operator.name == "QUANTIZE" and view.activations[0].dtype not in EIGHT_BIT:
        return CpuReason(LIMITATION, f"its input is {view.activations[0].dtype}")
    for tensor in view.activations:
        if tensor.dtype not in EIGHT_BIT and not (tensor.variable and tensor.dtype == "int16"):
            return CpuReason(DATA_TYPE, f"{tensor.name or 'a tensor'} is {tensor.dtype}")
    for constant in view.inputs:
        if constant is not None and constant.constant_bytes and constant.dtype not in PARAMETERS:
            return CpuReason(DATA_TYPE, f"the constant {constant.name} is {constant.dtype}")
    return None


def _rank(view: View) -> CpuReason | None:
    """Only the 3 innermost dimensions may be larger than 1 (table's requirements; #30: batches, #537: FPN)."""
    for tensor in view.activations:
        if len(inner(tensor.shape)) > 3:
            return CpuReason(RANK, f"{tensor.name or 'a tensor'} has the shape {tensor.shape}")
    return None


def _constant_weights(view: View) -> CpuReason | None:
    """Parameters must be constant at compile time (table's requirements)."""
    weights = view.input(1)
    if weights is None or not weights.constant_bytes:
        return CpuReason(LIMITATION, "its weights are computed, not constant")
    return None


def _same_dilation(view: View) -> CpuReason | None:
    """Conv2d, DepthwiseConv2d: the same dilation in x and y (table)."""
    height, width = view.option("dilationHFactor", 1), view.option("dilationWFactor", 1)
    return None if height == width else CpuReason(LIMITATION, f"dilations differ: {height} and {width}")


def _no_fused_activation(view: View) -> CpuReason | None:
    """AveragePool2d, MaxPool2d, Concatenation: no fused activation function (table)."""
    return CpuReason(LIMITATION, "it has a fused activation") if view.option("fusedActivationFunction") else None


def _dense(view: View) -> CpuReason | None:
    """FullyConnected: default weight format, per-tensor weights.

    The table's "output tensor is one-dimensional" is older than compiler 16.0, which maps the
    dense layers of YOLOv9's box head, whose outputs have many rows. Per-channel weights came with
    version 12 of the operator, long after the compiler.
    """
    if view.option("weightsFormat"):
        return CpuReason(LIMITATION, "its weights are shuffled")
    weights = view.input(1)
    if weights is not None and len(weights.scales) > 1:
        return CpuReason(LIMITATION, "its weights are quantized per channel")
    return None


def _softmax(view: View) -> CpuReason | None:
    """Softmax: at most 16,000 elements (table).

    The table's "only 1-D input" is older than compiler 16.0, which maps those of YOLOv9's box head.
    """
    length = view.outputs[0].shape[-1] if view.outputs[0].shape else 1
    if length > SOFTMAX_ELEMENTS:
        return CpuReason(LIMITATION, f"it spans {length} elements; {SOFTMAX_ELEMENTS} is the limit")
    return None


def _concatenation(view: View) -> CpuReason | None:
    """Concatenation: a constant input must be all zeros, and then one of two (table)."""
    constants = [tensor for tensor in view.inputs if tensor is not None and tensor.constant_bytes]
    for tensor in constants:
        values = view.value(tensor)
        zero = tensor.zero_points[0] if tensor.zero_points else 0
        if len(view.inputs) != 2 or values is None or np.any(values != zero):
            return CpuReason(LIMITATION, f"its input {tensor.name} is a constant")
    return _flat(view)


def _flat(view: View) -> CpuReason | None:
    """A flattened tensor must fit on the chip (#356: "reshape ops could be too large to fit on memory")."""
    for tensor in view.outputs:
        shape = inner(tensor.shape)
        if len(shape) < 3 and prod(shape) > FLAT_ELEMENTS:
            return CpuReason(LIMITATION, f"its output has {prod(shape):,} elements")
    return None


def _batch(*axes: int, view: View) -> bool:
    """Whether one of the axes is a batch dimension: the first of four or more."""
    rank = len(view.outputs[0].shape if view.operator.name == "PACK" else view.activations[0].shape)
    return rank > 3 and any(axis % rank == 0 for axis in axes)


def _split(view: View) -> CpuReason | None:
    """Split: no splitting in the batch dimension (table)."""
    axis = view.constant(0)
    if axis is None:
        return CpuReason(LIMITATION, "its axis is computed, not constant")
    return CpuReason(LIMITATION, "it splits the batch") if _batch(int(axis.flat[0]), view=view) else None


def _pack(view: View) -> CpuReason | None:
    """Pack: no packing in the batch dimension (table)."""
    return CpuReason(LIMITATION, "it packs along the batch") if _batch(view.option("axis"), view=view) else None


def _pad(view: View) -> CpuReason | None:
    """Pad: no padding in the batch dimension (table)."""
    widths = view.constant(1)
    if widths is None:
        return CpuReason(LIMITATION, "its padding is computed, not constant")
    padded = [int(axis) for axis in np.flatnonzero(widths.reshape(-1, 2).any(axis=1))]
    return CpuReason(LIMITATION, "it pads the batch") if _batch(*padded, view=view) else None


def _reduce(view: View) -> CpuReason | None:
    """Sum, ReduceMax, ReduceMin: cannot operate on the batch dimension (table)."""
    axes = view.constant(1)
    if axes is None:
        return CpuReason(LIMITATION, "its axes are computed, not constant")
    return CpuReason(LIMITATION, "it reduces the batch") if _batch(*map(int, axes.flat), view=view) else None


def _mean(view: View) -> CpuReason | None:
    """Mean: not over the batch; over channels only in multiples of 4 (table); not over large images (#461)."""
    found = _reduce(view)
    if found is not None:
        return found
    shape, axes = view.activations[0].shape, view.constant(1)
    reduced = {int(axis) % len(shape) for axis in (() if axes is None else axes.flat)}
    if len(shape) - 1 in reduced and shape[-1] % 4:
        return CpuReason(LIMITATION, f"it averages {shape[-1]} channels, which is no multiple of 4")
    area = prod(shape[axis] for axis in reduced if axis != len(shape) - 1)
    return CpuReason(LIMITATION, f"it averages an area of {area:,}") if area > MEAN_AREA else None


def _strided_slice(view: View) -> CpuReason | None:
    """StridedSlice: no ellipsis or new-axis mask (table).

    Strides other than 1 are refused by compiler 15 ("Only Strided-Slice with unitary strides
    supported") and mapped by 16.0 (the same YOLOv5 in both), so only negative ones are refused.
    """
    strides = view.constant(3)
    if view.option("ellipsisMask") or view.option("newAxisMask"):
        return CpuReason(LIMITATION, "it has an ellipsis or a new axis")
    if (
        any(view.constant(position) is None for position in (1, 2))
        or strides is None
        or min(map(int, strides.flat)) < 1
    ):
        return CpuReason(LIMITATION, "its bounds are computed or its strides negative")
    return None


def _slice(view: View) -> CpuReason | None:
    """Slice: constant bounds."""
    computed = any(view.constant(position) is None for position in (1, 2))
    return CpuReason(LIMITATION, "its bounds are computed, not constant") if computed else None


def _resize(view: View) -> CpuReason | None:
    """ResizeNearestNeighbor, ResizeBilinear: "depending on input/output size […] not mapped" (table, #31, #187)."""
    elements = prod(view.outputs[0].shape)
    if elements > RESIZED_ELEMENTS:
        return CpuReason(LIMITATION, f"its output {view.outputs[0].shape} is too large")
    return None


def _bilinear(view: View) -> CpuReason | None:
    """ResizeBilinear: "not mapped […] to avoid loss in precision" (table)."""
    before, after = view.activations[0].shape, view.outputs[0].shape
    factor = max((b / a for a, b in zip(before[1:-1], after[1:-1], strict=False)), default=1.0)
    if factor > BILINEAR_FACTOR:
        return CpuReason(LIMITATION, f"it enlarges {factor:g} times, which loses precision")
    return _resize(view)


def _transpose(view: View) -> CpuReason | None:
    """Transpose: constant, not of the batch, not of large tensors (#433, #512)."""
    order = view.constant(1)
    if order is None:
        return CpuReason(LIMITATION, "its order is computed, not constant")
    if prod(view.outputs[0].shape) > TRANSPOSED_ELEMENTS:
        return CpuReason(LIMITATION, f"its input {view.activations[0].shape} is too large")
    return None


def _tile(view: View) -> CpuReason | None:
    """Tile: a constant number of times, since sizes must be known (table's requirements)."""
    computed = view.constant(1) is None
    return CpuReason(LIMITATION, "how often it repeats is computed, not constant") if computed else None


def _prelu(view: View) -> CpuReason | None:
    """PReLU: only the innermost dimension of alpha may be larger than 1 (table)."""
    alpha = view.input(1)
    if alpha is None or not alpha.constant_bytes or prod(alpha.shape[:-1]) > 1:
        return CpuReason(LIMITATION, "its alpha is not one number per channel")
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "ADD": (), "AVERAGE_POOL_2D": (_no_fused_activation,), "CONCATENATION": (_no_fused_activation, _concatenation),
    "CONV_2D": (_constant_weights, _same_dilation), "DEPTHWISE_CONV_2D": (_constant_weights, _same_dilation),
    "EXPAND_DIMS": (), "FULLY_CONNECTED": (_constant_weights, _dense), "L2_NORMALIZATION": (), "LOGISTIC": (_flat,),
    "LSTM": (), "UNIDIRECTIONAL_SEQUENCE_LSTM": (), "MAXIMUM": (), "MAX_POOL_2D": (_no_fused_activation,),
    "MEAN": (_mean,), "MINIMUM": (), "MUL": (), "PACK": (_pack,), "PAD": (_pad,), "PRELU": (_prelu,), "QUANTIZE": (),
    "REDUCE_MAX": (_reduce,), "REDUCE_MIN": (_reduce,), "RELU": (), "RELU6": (), "RELU_N1_TO_1": (),
    "RESHAPE": (_flat,), "RESIZE_BILINEAR": (_bilinear,), "RESIZE_NEAREST_NEIGHBOR": (_resize,), "RSQRT": (),
    "SLICE": (_slice,), "SOFTMAX": (_softmax,), "SPACE_TO_DEPTH": (), "SPLIT": (_split,),
    "SQUARED_DIFFERENCE": (), "SQUEEZE": (), "STRIDED_SLICE": (_strided_slice,), "SUB": (), "SUM": (_reduce,),
    "TANH": (), "TILE": (_tile,), "TRANSPOSE": (_transpose,), "TRANSPOSE_CONV": (_constant_weights,),
}  # fmt: skip
"""The operation table: TFLite's name → the limitations. What is not here is not supported.

TILE is not in the table, but compiler 16.0 maps it (DeepLab on MobileNet-EdgeTPU, google-coral/test_data).
"""
