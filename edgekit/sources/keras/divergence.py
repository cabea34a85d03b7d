"""Where a converted network stops agreeing: layers of the Keras model against tensors of the waist."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from edgekit.nouns.model import Divergence
from edgekit.sources.keras.libraries import FAILURES, keras3, tf, tf_keras
from edgekit.sources.keras.network import Fixed, restored_state
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array, sqnr_db

NOTHING_DB = -300.0
"""Stands for an SQNR that is not finite, which JSON cannot hold."""


def first(
    fixed: Fixed, waist: Path, values: list[Array], waist_values: dict[str, Array], threshold_db: float
) -> Divergence | None:
    """The layer after the last one that still agrees: from there on nothing does.

    A layer agrees when any tensor of its size does. Converters fuse layers, and a fused tensor
    bears all their names, the last layer's first; so a layer that disagrees counts only if a
    tensor's first name is its own, and a fused one is passed over.

    Args:
        fixed: the source.
        waist: path of the TFLite file.
        values: one sample, in the order of the source's inputs.
        waist_values: the same sample under the waist's names and in its dtypes.
        threshold_db: the least agreement.
    """
    layers = _layer_outputs(fixed, values)
    tensors = _waist_tensors(waist, waist_values) if layers else []
    found = None
    for name, operator, expected in layers:
        same_size = [(label, value) for label, value in tensors if value.size == expected.size]
        best = max((sqnr_db(expected.ravel(), value.ravel()) for _, value in same_size), default=NOTHING_DB)
        if best >= threshold_db:
            found = None
        elif found is None and any(_belongs(name, label) for label, _ in same_size):
            found = Divergence(tensor=name, operator=operator, sqnr_db=max(best, NOTHING_DB))
    return found


def _belongs(layer: str, label: str) -> bool:
    """Whether a tensor (``model/activation/Relu;model/conv2d/BiasAdd``) was made by the layer (``activation``)."""
    return layer in label.split(";", maxsplit=1)[0].split("/")


def _layer_outputs(fixed: Fixed, values: list[Array]) -> list[tuple[str, str, Array]]:
    """Name, class and output of every layer with one output, in order; empty for networks without layers."""
    model = fixed.network.model
    listed = [layer for layer in getattr(model, "layers", []) if type(layer).__name__ != "InputLayer"]
    try:
        tensors = [(layer, layer.output) for layer in listed]
        single = [(layer, tensor) for layer, tensor in tensors if not isinstance(tensor, (list, tuple, dict))]
        library = tf_keras if isinstance(model, tf_keras.Model) else keras3()
        inner = library.Model(model.inputs, [tensor for _, tensor in single])
        with restored_state(fixed.function):
            results = tf.nest.flatten(inner([tf.constant(value) for value in values], training=False))
    except FAILURES:  # layers that were called several times or never: there is nothing to match
        return []
    return [
        (layer.name, type(layer).__name__, result.numpy()) for (layer, _), result in zip(single, results, strict=True)
    ]


def _waist_tensors(waist: Path, values: dict[str, Array]) -> list[tuple[str, Array]]:
    """Every activation of the waist's main graph with its name, after one run."""
    interpreter = run.interpreter(waist, keep_tensors=True)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], values[detail["name"]])
    run.invoke(interpreter, waist)
    main = graph.read(waist)[0]
    produced = sorted({index for operator in main.operators for index in operator.outputs if index >= 0})
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found = []
    for index in produced:
        if np.dtype(details[index]["dtype"]).kind not in "fiub":  # handles of variables: reading one is fatal
            continue
        with suppress(ValueError):  # state that only an operator's body sees holds no data
            found.append((main.tensors[index].name, interpreter.get_tensor(index)))
    return found
