"""ONNX models that are quantized already: in which precision, by which operators, and what is refused of them.

Three ways are in use (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html):
QuantizeLinear and DequantizeLinear around float operators (QDQ), operators on integers (QOperator: QLinearConv
and others), and activations that are rounded anew at every run (DynamicQuantizeLinear before ConvInteger or
MatMulInteger).
"""

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

import onnx

from edgekit.errors import EdgekitError, Unsupported
from edgekit.nouns.model import Precision
from edgekit.sources.onnx.network import every_node, kind
from edgekit.sources.onnx.quantized.dynamic import rounds

DYNAMIC = {
    "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "com.microsoft:DynamicQuantizeMatMul",
    "com.microsoft:MatMulIntegerToFloat", "com.microsoft:DynamicQuantizeLSTM", "com.microsoft:QAttention",
    "com.microsoft:QEmbedLayerNormalization",
}  # fmt: skip
"""Operators whose scales are computed from the activations at every run."""

DYNAMIC_READ = (
    "the source is quantized already, dynamically: it was read as the float network that its weights stand for, which "
    "comes to {least:.1f} dB of it on made-up inputs; every precision of integers rounds the weights a second time"
)
"""What users must know of files that are made of one."""

PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"}
"""Operators that tell a quantized network from a float one that only takes or gives integers."""

FLOAT_MODEL = (
    "build from the float model that it was made from; edgekit quantizes it (--precision int8 or dynamic-int8)"
)


def precision(model: onnx.ModelProto) -> Precision:
    """The precision that a model computes in: ``int8`` if its activations carry scales of their own."""
    if any(_static(model)):
        return "int8"
    return "dynamic-int8" if any(_dynamic(model)) else "float32"


SCALED = {"com.microsoft:QAttention": 3, "com.microsoft:MatMulIntegerToFloat": 2}
"""Operators on integers that give floats, static or dynamic as their input is, by the place of its scale."""


def constants(model: onnx.ModelProto) -> set[str]:
    """The names of a model's constants."""
    made = {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    return made | {tensor.name for tensor in model.graph.initializer}


def is_static(node: onnx.NodeProto, known: Container[str]) -> bool:
    """Whether an operator of `SCALED` reads an input whose scale is one of the constants."""
    return kind(node) in SCALED and node.input[SCALED[kind(node)]] in known


def _static(model: onnx.ModelProto) -> Iterator[str]:
    """Operators on integers, and products between QuantizeLinear and DequantizeLinear."""
    known = constants(model)
    real = {
        node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] not in known
    }
    for node in model.graph.node:
        on_integers = node.op_type.startswith("QLinear") or kind(node) == "com.microsoft:QGemm"
        if on_integers or is_static(node, known) or (node.op_type in PRODUCTS and real & set(node.input)):
            yield kind(node)


def _dynamic(model: onnx.ModelProto) -> Iterator[str]:
    known = constants(model)
    return (
        kind(node)
        for node in every_node(model.graph)
        if (kind(node) in DYNAMIC and not is_static(node, known)) or rounds(node)
    )


def refuse_dynamic(path: Path, model: onnx.ModelProto) -> None:
    """Stop at operators that round activations anew at every run, if `dynamic.as_floats` left some.

    Raises:
        Unsupported: with the operators.
    """
    if found := Counter(_dynamic(model)):
        raise _refusal(
            path,
            f"dynamically ({_shown(found)}): TFLite has no operators that round in this way, and these cannot be read "
            "as float ones.",
        )


def no_float_form(path: Path, model: onnx.ModelProto, error: EdgekitError) -> Unsupported:
    """The refusal of a dynamically quantized model whose reading as floats no runtime takes."""
    return _refusal(
        path,
        f"dynamically ({_shown(Counter(_dynamic(model)))}), and could not be read as the float network that it stands "
        f"for: {error.problem.partition(': ')[2] or error.problem}",
    )


def _refusal(path: Path, told: str) -> Unsupported:
    return Unsupported(f"{path.name} is quantized already, {told}", place=str(path), fix=FLOAT_MODEL)


def not_carried(reason: str) -> Unsupported:
    """What keeps integers with scales of their own from having a TFLite form; for `refused_static`."""
    return Unsupported(reason, place="", fix="")


def refused_static(path: Path, model: onnx.ModelProto, reason: str) -> Unsupported:
    """The refusal to make int8 of integers that have their own scales, and cannot be carried over for a reason."""
    return Unsupported(
        f"{path.name} is quantized already ({_shown(Counter(_static(model)))} between its own scales), which cannot "
        f"be carried over into TFLite's integers: {reason}. It is not quantized a second time.",
        place=str(path),
        fix=FLOAT_MODEL,
    )


def warning(model: onnx.ModelProto) -> tuple[str, ...]:
    """What whoever uses files must know that are made, in floats or anew, of a model with scales of its own."""
    if found := Counter(_static(model)):
        return (
            f"the source is quantized already ({_shown(found)} between its own scales): float32 and float16 repeat its "
            "roundings in floats, every other precision than int8 rounds a second time",
        )
    if found := Counter(_weights(model)):
        return (
            f"the source's weights are quantized already ({_shown(found)}): float32 and float16 hold what they stand "
            "for, every precision of integers rounds them a second time",
        )
    return ()


PACKED = {"com.microsoft:MatMulNBits", "com.microsoft:GatherBlockQuantized"}
"""Operators whose weights lie packed in blocks."""


def _weights(model: onnx.ModelProto) -> Iterator[str]:
    """What makes floats of weights that are stored as integers."""
    known = constants(model)
    for node in every_node(model.graph):
        if kind(node) in PACKED or (node.op_type == "DequantizeLinear" and node.input[0] in known):
            yield kind(node)


def _shown(found: Counter[str]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(found.items()))
