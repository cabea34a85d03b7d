"""Layers at an output whose channels differ in range, or lie far from 0: an age beside a probability, a pressure.

One scale cannot hold both. The weights and biases of large channels are divided by powers of 2, and a product
behind the layer, which stays float (`edgekit.backends.tflite.ready.parts`), multiplies again: the same function.

Scores of classes are compared with one another, and one scale is right for them. They may differ as much on the
samples, since a class that none of them shows has small scores; but its weights are as large as those of the
others, and on another sample its scores are too. So channels must be apart by their constants as well.

Nor does a range of integers that holds 0 keep what is far from it: 101,325 ± 200 Pa are two levels. The biases of such
channels lose the middle of what was seen, and a sum behind the layer, which stays float as well, adds it again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.ready.parts import OFF_CENTRE
from edgekit.equalization.observing import Observed
from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring
from edgekit.waist.graph import Operator

FAR_APART = 32.0
"""Channels that differ by this are apart: three of eight bits are left to the narrowest. Scores of classes do not."""

WIDE = 256.0
"""By how much the levels of 16 bits are finer than those of 8."""

LEAST_REACH = 1e-5
"""What a channel must reach beside its middle: less is next to float32's own rounding, as of weights that decayed."""

_CHANNELS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
"""Layers, and the axis of their weights that counts their outputs."""

_HOMOGENEOUS = {0, 1}
"""Fused activations for which f(c·x) is c·f(x): none, and RELU."""

_FLAT = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}

_SUMS = {"ADD", "SUB"}
"""What may follow if it adds constants."""


class _Head(NamedTuple):
    """A layer at an output: constants, and what was seen of the channels that it reads and gives.

    ``axis`` of the weights counts the outputs. ``read`` is the largest absolute value of each channel that is read,
    in the last axis of the weights; ``seen`` ``[2, channels]`` the extremes of each that is given.
    """

    axis: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    read: NDArray[np.floating[Any]]
    seen: NDArray[np.float64]


def watched(main: graph.Graph) -> frozenset[int]:
    """The tensors whose extremes `part` needs for each channel: what such layers read and give."""
    wiring = Wiring(main)
    layers = [layer for output in main.outputs if (layer := _layer(wiring, output)) is not None]
    return frozenset(tensor for layer in layers for tensor in (layer.inputs[0], layer.outputs[0]))


def part(model: Any, activations: Mapping[int, Observed], *, wide: bool = False) -> int:
    """Give channels of such layers one range, in place. Tensors keep their indices, operators do not.

    Args:
        model: object tree of a float file.
        activations: of it, by tensor index, those `watched` with the extremes of each channel.
        wide: they will have 16 bits, which hold channels that are further apart.

    Returns:
        How many layers were changed.
    """
    wiring = Wiring(graph.describe(model)[0])
    changed = 0
    for output in wiring.graph.outputs:
        layer = _layer(wiring, output)
        head = None if layer is None else _head(model, layer, activations)
        if layer is None or head is None:
            continue
        powers, offsets = _change(head, WIDE if wide else 1.0)
        if (powers != 1).any() or offsets.any():
            made = layer.outputs[0]
            if offsets.any():
                made, head = _shift(model, made, head, offsets)
            if (powers != 1).any():
                _scale(model, made, head, powers)
            changed += 1
    if changed:
        edit.sweep(model)
    return changed


def _change(head: _Head, finer: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The powers of 2 by which channels are divided, and before that the offsets that are taken from them."""
    offsets = _offsets(head, finer)
    powers = _powers(head, offsets, finer)
    low, high = np.append(head.seen - offsets, np.zeros((2, 1)), 1)
    if (powers == 1).all() and np.abs(offsets).max() < OFF_CENTRE * (high.max() - low.min()):
        offsets = np.zeros(len(offsets))
        powers = _powers(head, offsets, finer)
    return powers, offsets


def _powers(head: _Head, offsets: NDArray[np.float64], finer: float) -> NDArray[np.float64]:
    expected = np.where(offsets == 0, _expected(head), _reach(head))
    largest = np.maximum(np.abs(head.seen - offsets).max(0), expected)
    if not (_apart(expected, finer) and _apart(largest, finer)):
        return np.ones(len(largest))
    least = largest[largest > 0].min()
    found: NDArray[np.float64] = np.exp2(np.floor(np.log2(np.maximum(largest, least) / least)))
    return found


def _offsets(head: _Head, finer: float) -> NDArray[np.float64]:
    """The middle of each channel that lies `OFF_CENTRE` from 0, in single precision; 0 of all others.

    Of levels that are ``finer`` than those of 8 bits one such channel at least must have too few.
    """
    middle, reach = head.seen.mean(0).astype(np.float32).astype(np.float64), _reach(head)
    far = (reach > LEAST_REACH * np.abs(middle)) & (np.abs(middle) >= OFF_CENTRE * 2 * reach)
    if not (far & (np.abs(head.seen).max() >= finer * OFF_CENTRE * 2 * reach)).any():
        return np.zeros(len(middle))
    found: NDArray[np.float64] = np.where(far, middle, 0.0)
    return found


def _reach(head: _Head) -> NDArray[np.float64]:
    """How far each channel may go from its middle: as it did, or as the median channel did for its norm."""
    half, norms = (head.seen[1] - head.seen[0]) / 2, _norms(head)
    usual = float(np.median(half[norms > 0] / norms[norms > 0])) if (norms > 0).any() else 0.0
    reach: NDArray[np.float64] = np.maximum(half, usual * norms)
    return reach


def _apart(sizes: NDArray[np.float64], finer: float) -> bool:
    told = sizes[sizes > 0]
    return told.size > 1 and bool(told.max() >= finer * FAR_APART * told.min())


def _layer(wiring: Wiring, output: int) -> Operator | None:
    """The layer that makes an output, its channels last, but for constants that are added; None if another does."""
    tensors, tensor, readers = wiring.graph.tensors, output, 0
    made = wiring.producer.get(output)
    while made is not None and len(wiring.readers.get(tensor, [])) == readers:
        if made.name in _CHANNELS:
            return made if made.options.get("fusedActivationFunction", 0) in _HOMOGENEOUS else None
        operands = wiring.activations(made) if made.name in _SUMS else made.inputs[:1]
        if made.name not in _FLAT | _SUMS or len(operands) != 1:
            return None
        if tensors[operands[0]].shape[-1:] != tensors[output].shape[-1:]:
            return None
        tensor, readers = operands[0], 1
        made = wiring.producer.get(tensor)
    return None


def _head(model: Any, layer: Operator, activations: Mapping[int, Observed]) -> _Head | None:
    """A layer's constants and extremes; None if a constant is computed, or no float."""
    found = [graph.constant(model, 0, index) for index in layer.inputs[1:3] if index >= 0]
    ends = [activations[t].channels if t in activations else None for t in (layer.inputs[0], layer.outputs[0])]
    if any(values is None or values.dtype != np.float32 for values in found) or ends[0] is None or ends[1] is None:
        return None
    weights, axis = found[0], _CHANNELS[layer.name]
    if weights is None or weights.shape[axis] != ends[1].shape[1]:
        return None
    bias = found[1] if len(found) > 1 else None
    if layer.name == "DEPTHWISE_CONV_2D":  # a channel reads one alone, as do all those of one multiplier
        read = np.repeat(np.abs(ends[0]).max(0), weights.shape[axis] // ends[0].shape[1])
    else:
        read = np.abs(ends[0]).max(0)
        if weights.shape[-1] % len(read):
            return None
        read = np.tile(read, weights.shape[-1] // len(read))  # a dense layer may read several rows as one
    return _Head(axis, weights, bias, read, ends[1].astype(np.float64))


def _expected(head: _Head) -> NDArray[np.float64]:
    """The absolute value that each channel may have on any sample, by its constants.

    The norm of its weights, each times the largest value that it met, tells how far a channel can move around its
    bias. As far as the median channel did in proportion to its norm, every other one can go as well.
    """
    norms = _norms(head)
    bias = np.zeros(len(norms)) if head.bias is None else head.bias.ravel().astype(np.float64)
    moved, some = np.abs(head.seen - bias).max(0), norms > 0
    usual = float(np.median(moved[some] / norms[some])) if some.any() else 0.0
    expected: NDArray[np.float64] = np.abs(bias) + usual * norms
    return expected


def _norms(head: _Head) -> NDArray[np.float64]:
    products = head.weights.astype(np.float64) * head.read
    norms: NDArray[np.float64] = np.sqrt((products**2).sum(tuple(k for k in range(products.ndim) if k != head.axis)))
    return norms


def _shift(model: Any, made: int, head: _Head, offsets: NDArray[np.float64]) -> tuple[int, _Head]:
    """Take offsets from the biases of the layer that makes a tensor, and add them behind it, where its activation goes.

    Returns:
        The tensor that the layer makes now, and what is known of it.
    """
    main, at = model.subgraphs[0], edit.producer(model, made)
    name, layer = main.tensors[made].name.decode(), main.operators[at]
    bias = np.zeros(len(offsets)) if head.bias is None else head.bias.ravel().astype(np.float64)
    less = (bias - offsets).astype(np.float32)
    around = edit.add_tensor(main, f"{name}_around", graph.ints(main.tensors[made].shape))
    by = edit.add_constant(model, f"{name}_offsets", offsets.astype(np.float32))
    left = edit.add_constant(model, f"{name}_left", less)
    layer.inputs, layer.outputs = [*graph.ints(layer.inputs)[:2], left], [around]
    activation = layer.builtinOptions.fusedActivationFunction
    layer.builtinOptions.fusedActivationFunction = 0
    options = {"kind": "AddOptions", "fusedActivationFunction": activation}
    edit.add_operator(model, "ADD", [around, by], [made], at=at + 1, **options)
    return around, head._replace(bias=less)


def _scale(model: Any, made: int, head: _Head, powers: NDArray[np.float64]) -> None:
    """Divide the weights of a layer by powers of 2, and multiply behind it."""
    factors: NDArray[np.float32] = powers.astype(np.float32)
    main = model.subgraphs[0]
    name = main.tensors[made].name.decode()
    shape = [-1 if k == head.axis else 1 for k in range(head.weights.ndim)]
    weights = edit.add_constant(model, f"{name}_weights", head.weights / factors.reshape(shape))
    edit.reread(model, made, 1, weights)
    if head.bias is not None:
        edit.reread(model, made, 2, edit.add_constant(model, f"{name}_bias", head.bias / factors))
    at = edit.producer(model, made)
    alike = edit.add_tensor(main, f"{name}_alike", graph.ints(main.tensors[made].shape))
    main.operators[at].outputs = [alike]
    by = edit.add_constant(model, f"{name}_factors", factors)
    edit.add_operator(model, "MUL", [alike, by], [made], at=at + 1, kind="MulOptions")
