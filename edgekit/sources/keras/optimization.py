"""Networks with wrappers of TensorFlow's Model Optimization Toolkit, which it puts around layers for training.

Those of pruning and clustering are taken off, as its ``strip_pruning`` and ``strip_clustering`` do. Those of
quantization-aware training stay: they round weights and activations as integers would (fake quantization).
"""

from typing import Any

from edgekit.sources.keras import allowed, definitions
from edgekit.sources.keras.vetting import objects

SAVE_AS_HDF5 = (
    "save it where it was trained with model.save('model.h5'), or as a SavedModel with model.export('folder')"
)
"""The remedy for ``.keras`` files of the toolkit's QuantizeLayer, which tf-keras writes and cannot load."""

FAKE_QUANTIZATION = {
    "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel",
}  # fmt: skip
"""TensorFlow's operators that round floats to a grid."""


def wrapped(config: dict[str, Any]) -> bool:
    """Whether a configuration names a class of the toolkit."""
    return any(str(item.get("class_name")) in allowed.OPTIMIZATION for item in objects(config))


def classes() -> dict[str, Any]:
    """The toolkit's classes by the names that files use, for tf-keras's loader."""
    import tensorflow_model_optimization as tfmot  # noqa: PLC0415 - 1 s that only wrapped networks cost

    pruning = tfmot.sparsity.keras
    scopes = [tfmot.quantization.keras.quantize_scope(), pruning.prune_scope(), tfmot.clustering.keras.cluster_scope()]
    found = {name: held for scope in scopes for table in scope.custom_objects for name, held in table.items()}
    schedules = {"ConstantSparsity": pruning.ConstantSparsity, "PolynomialDecay": pruning.PolynomialDecay}
    return {name: held for name, held in found.items() if name in allowed.OPTIMIZATION} | schedules


def stripped(model: Any) -> tuple[Any, tuple[str, ...]]:
    """A loaded model without what pruning and clustering put around layers, and notes that say so."""
    import tensorflow_model_optimization as tfmot  # noqa: PLC0415 - see `classes`

    notes: tuple[str, ...] = ()
    kinds = {type(layer).__name__ for layer in model._flatten_layers()}
    if "PruneLowMagnitude" in kinds:
        model, notes = tfmot.sparsity.keras.strip_pruning(model), (*notes, "took off the wrappers of pruning")
    if "ClusterWeights" in kinds:
        model, notes = tfmot.clustering.keras.strip_clustering(model), (*notes, "took off the wrappers of clustering")
    return model, notes


def rounds_activations(function: Any) -> bool:
    """Whether a traced network rounds activations to grids of its own, beside its weights."""
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    if not any(node.op in FAKE_QUANTIZATION for node in definitions.nodes(function.graph.as_graph_def())):
        return False
    frozen = {node.name: node for node in convert_variables_to_constants_v2(function).graph.as_graph_def().node}
    roundings = [node for node in frozen.values() if node.op in FAKE_QUANTIZATION]
    return any(definitions.from_inputs(frozen, node.input[0]) for node in roundings)
