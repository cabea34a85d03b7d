"""Which tensors of a traced network are images, and in which layout, as TensorFlow's operators tell."""

from collections.abc import Iterator
from typing import Any

from edgekit.waist.layouts import AxisStep, spread

ON_IMAGES = {"AvgPool", "Conv2D", "DepthwiseConv2dNative", "DepthToSpace", "MaxPool", "SpaceToDepth"}
"""Operators whose first operand and result have the axes that their attribute ``data_format`` names."""

RESIZES = {"ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"}
"""Operators that take and give NHWC."""

KEEPING = {
    "Abs", "Add", "AddV2", "BiasAdd", "Cast", "ClipByValue", "ConcatV2", "Elu", "Erf", "Exp", "FusedBatchNormV3",
    "Identity", "LeakyRelu", "Log", "Maximum", "Minimum", "MirrorPad", "Mul", "Neg", "Pad", "PadV2", "Pow", "RealDiv",
    "Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Softmax", "Softplus", "Sqrt", "Square", "SquaredDifference",
    "StridedSlice", "Sub", "Tanh",
}  # fmt: skip
"""Operators whose results have the axes of their operands."""

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


def known(function: Any) -> tuple[list[str | None], list[str | None]]:
    """The layouts of a concrete function's inputs and outputs, in order; None if no operator tells."""
    told: dict[str, str] = {}
    definition = function.graph.as_graph_def()
    library = {body.signature.name: body for body in definition.library.function}
    found = spread(told, list(_steps(definition.node, "", library, told)))

    def of(tensors: list[Any]) -> list[str | None]:
        """The layout of each tensor; None too for one of another rank."""
        layouts = [(found.get(_named(tensor.name)), tensor.shape.rank) for tensor in tensors]
        return [layout if layout is not None and len(layout) == rank else None for layout, rank in layouts]

    return of(function.inputs[: len(function.structured_input_signature[0])]), of(function.outputs)


def _named(value: str) -> str:
    """``node:0`` and ``node:output:0`` as one name; the first result is the node itself."""
    name, *rest = value.removeprefix("^").split(":")
    return name if not rest or rest[-1] == "0" else f"{name}:{rest[-1]}"


def _steps(nodes: Any, scope: str, library: dict[str, Any], told: dict[str, str]) -> Iterator[AxisStep]:
    """What joins the values of a graph and of the functions that it calls; ``told`` is filled on the way."""
    for node in nodes:
        out = scope + node.name
        values = [scope + _named(value) for value in node.input if not value.startswith("^")]
        if node.op in ON_IMAGES:
            told |= dict.fromkeys((values[0], out), node.attr["data_format"].s.decode())
        elif node.op in RESIZES:
            told |= dict.fromkeys((values[0], out), "NHWC")
        elif node.op in KEEPING:
            yield from (AxisStep(value, out) for value in values)
        elif node.op in CALLS and (body := library.get(node.attr["f"].func.name)) is not None:
            inner = f"{out}/"
            yield from _steps(body.node_def, inner, library, told)
            for value, argument in zip(values, body.signature.input_arg, strict=False):
                yield AxisStep(value, inner + argument.name)
            for i, result in enumerate(body.signature.output_arg):
                yield AxisStep(inner + _named(body.ret[result.name]), out if i == 0 else f"{out}:{i}")
