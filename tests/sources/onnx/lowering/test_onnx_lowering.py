"""What edgekit leaves out of the converter."""

from onnx2tf.tflite_builder.core.model_ir_pass_state import ModelIRPassState
from onnx2tf.tflite_builder.core.passes import PassInvariantError

from edgekit.sources.onnx import lowering


def test_the_converter_copies_no_graph_for_a_roll_back() -> None:
    """Its passes take their copies through this method; an update that renames it must be noticed."""
    manager = ModelIRPassState.create_ordered_manager()
    assert manager._clone is not None
    assert manager._clone(ModelIRPassState.__new__(ModelIRPassState)) is None


def test_a_pass_that_breaks_the_graph_ends_a_strategy() -> None:
    """So nobody needs the graph as it was before that pass."""
    assert issubclass(PassInvariantError, lowering.CONVERTER_ERRORS)
