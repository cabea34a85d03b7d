"""onnx2tf's direct backend as a library: a prepared ONNX graph becomes a TFLite file.

``onnx2tf.convert`` would parse command-line options, simplify the file in place, join progress
threads and execute the TFLite schema's 19,000 generated lines for every model. These are the
functions below it (onnx2tf 2.6.9, which pyproject.toml pins): lowering, its own peephole passes,
validation, serialization.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx2tf.tflite_builder import lower_from_onnx2tf, model_writer
from onnx2tf.tflite_builder.core.graph import ModelIRGraphIndex
from onnx2tf.tflite_builder.core.model_ir_pass_state import ModelIRPassState
from onnx2tf.tflite_builder.core.validation import run_model_ir_validation_pipeline
from onnx2tf.tflite_builder.ir import (
    clone_model_ir_with_float32,
    optimize_redundant_transpose_operators,
    prune_identity_cast_operators,
)
from onnx2tf.tflite_builder.lower_from_onnx2tf import lower_onnx_to_ir
from onnx2tf.tflite_builder.passes import (
    binary_layout_adapter,
    graph_cleanup,
    terminal_affine_concat_split_recovery_orchestration,
    terminal_slice_concat_recovery_orchestration,
)
from onnx2tf.tflite_builder.preprocess import register_default_preprocess_rules, run_preprocess_pipeline
from onnx2tf.tflite_builder.schema import schema_generated

from edgekit.host import events
from edgekit.sources.onnx.lowering import peephole
from edgekit.sources.onnx.lowering.sharing import share
from edgekit.waist import graph, padding, state

CONVERTER_ERRORS = (
    NotImplementedError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError,
    ArithmeticError,
)  # fmt: skip
"""What the converter raises for models that it cannot lower; it has no error class of its own."""

register_default_preprocess_rules()

# Before many a layout pass the converter copies the whole graph, so that it can roll the pass back if
# that breaks an invariant; then it raises all the same, and `lower` has thrown the graph away. The
# copies took a fifth of a conversion (ten models, 7.9 against 6.5 s of processor time).
ModelIRPassState.snapshot = lambda _: None

# This pass concludes from sizes that a tensor "is probably NHWC", and turns the axis of a Concat or Split: with
# equal dimensions wrongly so, in every strategy. `edgekit.sources.onnx.lowering.moving` needs no guess.
for _module in (terminal_affine_concat_split_recovery_orchestration, terminal_slice_concat_recovery_orchestration):
    _module.sanitize_probable_nhwc_axis_sensitive_ops = lambda _: {
        "sanitized_probable_nhwc_axis_sensitive_ops": 0,
        "inserted_probable_nhwc_terminal_transposes": 0,
    }

_adapt = binary_layout_adapter.repair_rank4_binary_layout_mismatch_with_transpose_adapter


def _adapt_what_does_not_fit(
    model_ir: Any, *, graph_index: ModelIRGraphIndex | None = None, layout_state: Any = None
) -> dict[str, int]:
    """The converter's repair of operands in two layouts, of those alone that do not give the result's shape.

    It took a row and a column for such, as outer products of masks have them, and made two rows of them.
    """
    index = ModelIRGraphIndex(model_ir) if graph_index is None else graph_index
    tensors, all_of = model_ir.tensors, ModelIRGraphIndex.operator_indices_for_types

    def broken(place: int) -> bool:
        """Whether an operator's operands do not give its result's shape by broadcasting."""
        operator = model_ir.operators[place]
        shapes = [tuple(tensors[name].shape) for name in (*operator.inputs, *operator.outputs) if name in tensors]
        try:
            return np.broadcast_shapes(*shapes[:-1]) != shapes[-1]
        except ValueError:
            return True

    vars(index)["operator_indices_for_types"] = lambda kinds: list(filter(broken, all_of(index, kinds)))
    try:
        adapted: dict[str, int] = _adapt(model_ir, graph_index=index, layout_state=layout_state)
    finally:
        del vars(index)["operator_indices_for_types"]
    return adapted


binary_layout_adapter.repair_rank4_binary_layout_mismatch_with_transpose_adapter = _adapt_what_does_not_fit
lower_from_onnx2tf._repair_rank4_binary_layout_mismatch_with_transpose_adapter_pass = _adapt_what_does_not_fit


CLOSE = 1e-4
"""More than the clean-up's tolerance (1e-6 and, of 1, 1e-5)."""

_read_constant = graph_cleanup._read_singleton_constant_float


def _only_exact(model_ir: Any, name: str) -> float | None:
    """A constant for the converter's clean-up, which takes all that is within 1e-6 of 0 or 1 for 0 or 1.

    So ``Max(norm, 1e-12)`` became a RELU, and what it guards a division by zero.
    """
    value: float | None = _read_constant(model_ir, name)
    near = value is not None and any(0 < abs(value - exact) < CLOSE for exact in (0, 1))
    return None if near else value


graph_cleanup._read_singleton_constant_float = _only_exact

_options = model_writer._build_builtin_options


def _options_of(schema_tflite: dict[str, Any], op: Any) -> tuple[int, object]:
    """The writer's options of an operator; it does not know those of `peephole`, which have none."""
    return (0, None) if op.op_type in peephole.WITHOUT_OPTIONS else _options(schema_tflite, op)


model_writer._build_builtin_options = _options_of


@dataclass(frozen=True)
class Strategy:
    """A way to call the converter.

    ``move_transposes``: run its layout passes, which push transposes to the boundary and cancel them.
    ``protect``: keep it from dropping a transpose before an output, as it does behind a slice.
    ``fuse``: run its graph rewriting (batch normalization into convolutions, GELU, ReLU6).
    """

    name: str
    move_transposes: bool
    fuse: bool
    protect: bool = False


STRATEGIES = (
    Strategy("fused, channels last", move_transposes=True, fuse=True),
    Strategy("fused", move_transposes=False, fuse=True),
    Strategy("plain", move_transposes=False, fuse=False),
    Strategy("plain, outputs protected", move_transposes=False, fuse=False, protect=True),
)
"""In order of preference; the first whose file computes what the source computes is taken."""


IMAGE_OPERATORS = {
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
    "GridSample", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "Resize", "SpaceToDepth",
}  # fmt: skip
"""Operators that TFLite computes with channels last, so that transposes come into being."""

LARGE = 500
"""Operators above which the layout passes take seconds (their time grows faster than the network)."""


def strategies(model: onnx.ModelProto) -> tuple[Strategy, ...]:
    """The strategies worth trying: a large network without images has no transposes to move.

    Measured on a bidirectional LSTM of 100 steps (3,200 operators): 7 s with the layout passes.
    """
    if len(model.graph.node) <= LARGE or any(node.op_type in IMAGE_OPERATORS for node in model.graph.node):
        return STRATEGIES
    return tuple(strategy for strategy in STRATEGIES if not strategy.move_transposes)


def lower(model: onnx.ModelProto, strategy: Strategy, outputs: Sequence[str] = ()) -> Any:
    """The converter's intermediate form of a model, with inputs and outputs as in ONNX.

    Args:
        model: prepared, its outputs flattened.
        strategy: how to call the converter.
        outputs: names of what was flattened.

    Raises:
        One of `CONVERTER_ERRORS`: an operator has no builtin counterpart; the message names it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    events.progress(None, f"onnx2tf, {strategy.name}: lowering")
    if strategy.fuse:
        copy, _ = run_preprocess_pipeline(onnx_graph=copy)
    lowered = lower_onnx_to_ir(
        copy,
        "waist",
        optimize_layout_transpose_chains=strategy.move_transposes,
        transpose_inputs_to_nhwc=True,
        keep_shape_absolutely_input_names=[value.name for value in model.graph.input],
        protected_boundary_tensor_names=list(outputs) if strategy.protect else [],
    )
    events.progress(None, f"onnx2tf, {strategy.name}: cleaning up")
    lowered.outputs = [value.name for value in model.graph.output]  # protected names are listed with them
    lowered = clone_model_ir_with_float32(lowered)
    prune_identity_cast_operators(lowered, preserve_model_outputs=True)
    optimize_redundant_transpose_operators(lowered, preserve_model_outputs=True)
    peephole.fuse(lowered)
    share(lowered)
    return lowered


def write(lowered: Any, path: Path) -> None:
    """Validate and serialize; every run of the file begins without the state of the one before.

    Raises:
        One of `CONVERTER_ERRORS`: the converter made an inconsistent graph.
    """
    run_model_ir_validation_pipeline(lowered, graph_index=ModelIRGraphIndex(lowered))
    model_writer.write_model_file(
        schema_tflite=vars(schema_generated), model_ir=lowered, output_tflite_path=str(path), timing={}
    )
    written = graph.load(path)
    kept = bool(state.surviving(written))
    if kept:
        state.clear(written)
    if padding.leap_explicitly(written) or kept:
        path.write_bytes(graph.pack(written))
