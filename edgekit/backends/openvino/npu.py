"""The NPU: which operators its compiler takes, and compiling if that compiler is present."""

from pathlib import Path
from typing import Any

from edgekit.backends.openvino.libraries import FAILURES
from edgekit.backends.openvino.reading import telling_line
from edgekit.nouns.building import Placement

IMPORTER = "https://github.com/openvinotoolkit/npu_compiler/blob/0ccf9bf3faf8106f5575a905d665feab44e59b6f/src/vpux_compiler/src/frontend/IE.cpp"
"""Source of `OPERATORS` and `REWRITTEN`: the dispatch table and the passes of the compiler's importer.

OpenVINO's documentation publishes no list for the NPU; this table is what its open compiler
checks (``NGraphImporter::getParser``). A newer compiler may take more.
"""

_TABLE = """
    Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Assign Atan Atanh AvgPool BatchNormInference
    BatchToSpace BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Broadcast Bucketize CTCGreedyDecoder
    CTCGreedyDecoderSeqLen Ceiling Clamp Concat Constant Convert ConvertLike Convolution ConvolutionBackpropData
    Cos Cosh CumSum DFT DeformableConvolution DeformablePSROIPooling DepthToSpace DetectionOutput Divide Elu
    EmbeddingBagOffsetsSum EmbeddingBagPackedSum EmbeddingSegmentsSum Equal Erf Exp
    ExperimentalDetectronROIFeatureExtractor ExtractImagePatches Eye FakeConvert FakeQuantize Floor FloorMod GRN
    GRUCell GRUSequence Gather GatherElements GatherND GatherTree Gelu Greater GreaterEqual GridSample
    GroupConvolution GroupConvolutionBackpropData GroupNormalization HSigmoid HSwish HardSigmoid I420toBGR I420toRGB
    IDFT IRDFT Identity If Interpolate Inverse LRN LSTMCell LSTMSequence Less LessEqual Log LogSoftmax LogicalAnd
    LogicalNot LogicalOr LogicalXor Loop MVN MatMul MaxPool Maximum Minimum Mish Mod Multiply NV12toBGR NV12toRGB
    Negative NonMaxSuppression NonZero NormalizeL2 NotEqual OneHot PRelu PSROIPooling Pad Parameter Power Proposal
    RDFT RMS ROIAlign ROIPooling RandomUniform Range ReadValue ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum RegionYolo Relu ReorgYolo Reshape Result Reverse
    ReverseSequence RoPE Roll Round STFT ScaledDotProductAttention ScatterElementsUpdate ScatterNDUpdate
    ScatterUpdate Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh SoftPlus Softmax SpaceToBatch
    SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tan Tanh TensorIterator Tile TopK
    Transpose Unsqueeze VariadicSplit
"""

OPERATORS = frozenset(_TABLE.split())
"""Operators that the importer takes as they are."""

REWRITTEN = frozenset({"Einsum", "Slice"})
"""Operators that its passes always turn into others (convert_slice_to_strided_slice, einsum_decomposition)."""

MOST_DIMENSIONS = 5
"""The importer's limit on ranks (``STATIC_RANK_MAX_DIMS``)."""

HELP = (
    "build on a computer with an Intel NPU and its driver, or with the openvino wheel for Windows, "
    "which brings the compiler; until then load the .xml on the device: "
    "its driver compiles it when it is first loaded"
)
"""What a user can do who has no compiler here."""


def placements(model: Any) -> tuple[Placement, ...]:
    """Every operator of a model, and whether the NPU's compiler takes it.

    The NPU plugin never leaves operators to the CPU: one that is refused refuses the network.
    """
    nodes = [
        node for node in model.get_ordered_ops() if node.get_type_name() not in {"Constant", "Parameter", "Result"}
    ]
    return tuple(
        Placement(
            index=i,
            operator=node.get_type_name(),
            name=node.get_friendly_name(),
            runs_on="?" if (refusal := _refusal(node)) else "NPU",
            status=refusal,
        )
        for i, node in enumerate(nodes)
    )


def _refusal(node: Any) -> str:
    kind = node.get_type_name()
    if kind not in OPERATORS | REWRITTEN:
        return "not in the table of the NPU compiler's importer"
    deepest = max((len(output.get_partial_shape()) for output in node.outputs()), default=0)
    if deepest > MOST_DIMENSIONS and kind != "Constant":
        return f"has {deepest} dimensions; the NPU compiler takes {MOST_DIMENSIONS}"
    return ""


def notes(placed: tuple[Placement, ...]) -> tuple[str, ...]:
    """One sentence on the operators that may refuse the network."""
    doubtful = dict.fromkeys(f"{place.operator} ({place.status})" for place in placed if place.status)
    if not doubtful:
        return ()
    return (f"the NPU may refuse this network because of {', '.join(doubtful)}",)


def compile_blob(core: Any, model: Any, platform: str, blob: Path) -> str:
    """Write the compiled network, for the NPU that is present, else for ``platform``.

    Args:
        core: ``openvino.Core``.
        model: ``openvino.Model`` with fixed shapes.
        platform: NPU generation for compiling without a device; "" for none.
        blob: where to write.

    Returns:
        "" if it was written, else the reason why not, with what would help.
    """
    present = any(device.startswith("NPU") for device in core.available_devices)
    if not present and not platform:
        return f"no NPU is present and the target names no npu_platform; {HELP}"
    settings = {} if present else {"NPU_COMPILER_TYPE": "PLUGIN", "NPU_PLATFORM": platform}
    try:
        exported = core.compile_model(model, "NPU", settings).export_model()
    except FAILURES as error:
        if "compiler_loader" in str(error) or "Cannot load library" in str(error):
            return f"the NPU compiler (libopenvino_intel_npu_compiler_loader) is not installed here; {HELP}"
        return f"the NPU compiler refused the network: {telling_line(error)}"
    blob.write_bytes(bytes(exported) if isinstance(exported, bytes) else exported.getvalue())
    return ""
