"""MediaPipe's custom operators, read as the builtin ones that they stand for.

LiteRT's default kernels have no code for them. XNNPACK does, so that their float files run; but nothing that
quantizes, cuts, trains or reads a network for another runtime knows them. Their options are structs of LiteRT's C API
(``tflite/core/c/builtin_op_data.h``); what they compute is in ``mediapipe/util/tflite/operations``.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.rewrites import proof
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.sources.tflite import unpooling
from edgekit.sources.tflite.structs import CUSTOM, PADDINGS, floats, numbers


def read(model: Any) -> Counter[str]:
    """Put builtin operators in the place of custom ones that are known, in place.

    Each replacement is proven on probes beside the original, as `edgekit.rewrites` does. What is not as expected, or
    not proven, stays.

    Args:
        model: `edgekit.waist.graph.load`'s, with its constants decoded.

    Returns:
        How many custom operators were replaced, by name.
    """
    done: Counter[str] = Counter()
    if not any(bytes(code.customCode or b"").decode("utf8", "replace") in READERS for code in model.operatorCodes):
        return done
    main = MainGraph(model)
    for node in list(main.nodes):
        name = node.name.removeprefix(CUSTOM)
        if node.gone or not node.name.startswith(CUSTOM) or name not in READERS:
            continue
        found = READERS[name](main, node)
        if found is not None and proof.holds(main, found):
            main.apply(found)
            done.update(one.name.removeprefix(CUSTOM) for one in found.old)
    if done:
        main.finish()
    return done


def _transposed(main: MainGraph, node: Node) -> Replacement | None:
    """``Convolution2DTransposeBias``: ``TfLiteTransposeConvParams``; operands are input, weights and bias."""
    options = numbers(node, 3)
    if not options or options[0] not in PADDINGS or len(node.inputs) != 3 or len(node.outputs) != 1:
        return None
    if not floats(main, (*node.inputs, *node.outputs)) or min(options[1:]) < 1:
        return None
    given, weights, bias = node.inputs
    size = main.add_constant(node.outputs[0], "size", np.asarray(main.shape(node.outputs[0]), np.int32))
    made = main.node(
        "TRANSPOSE_CONV", (size, weights, given, bias), node.outputs, "TransposeConvOptions",
        padding=PADDINGS[options[0]], strideW=options[1], strideH=options[2],
    )  # fmt: skip
    return Replacement((node,), (made,))


READERS: dict[str, Callable[[MainGraph, Node], Replacement | None]] = {
    "Convolution2DTransposeBias": _transposed,
    "MaxPoolingWithArgmax2D": unpooling.read,
}
"""Custom operators → what reads them; a ``MaxUnpooling2D`` is read with the pooling that it undoes."""

KNOWN = frozenset(
    f"{CUSTOM}{name}"
    for name in (
        *READERS,
        "MaxUnpooling2D",
        "AudioSpectrogram",
        "Mfcc",
        "NumericVerify",
        "TFLite_Detection_PostProcess",
    )
)
"""What LiteRT has code for, in XNNPACK or beside its builtin operators (``tflite/core/kernels/register.cc``)."""
