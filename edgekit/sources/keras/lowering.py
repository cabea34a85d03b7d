"""Operators that TFLite's converter refuses, written as ones that it takes, in a frozen graph.

* **Lists of an open batch.** A SavedModel's loop collects its steps in lists whose elements are declared ``[-1, n]``
  where the batch was open. The batch is one here, and without it the converter has no form of the list.
* **Negative zeros.** Keras 3 asks the sign bit in front of argmax and argmin, so that −0 is below +0. TFLite has no
  operator that looks at bits; the two zeros are equal then, as they are to ``tf.argmax`` itself.
* **Resizing** that TFLite has no operator for (bicubic, Lanczos, antialiased): it is linear and separable, so each axis
  is one product with a constant matrix, which is what TensorFlow makes of the unit vectors.
* **Convolution and pooling** of volumes and with dilations: see `volumes`.
* **GELU** that is spelled out with the error function: see `gelu`.
* **Functions** of single values that the converter lacks or gets wrong: see `curves`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgekit.sources.keras import curves, definitions, gelu, volumes
from edgekit.sources.keras.definitions import source
from edgekit.sources.keras.libraries import tf
from edgekit.waist.tensors import Array

SIGN_BIT = np.iinfo(np.int32).min

MAX_ELEMENTS = 1 << 23
"""Largest matrix of an axis, 32 MiB."""

RENAMED = "_lowered"

LISTS = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}
"""Operators on lists → the input that holds the shape of an element."""


def lowered(function: Any) -> Any:
    """The concrete function, with what the converter refuses rewritten; itself if there is nothing of that."""
    graph = function.graph.as_graph_def()
    if not any(node.op in LISTS or node.op in IN_PLACE or node.op == "Bitcast" for node in definitions.nodes(graph)):
        return function
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    definition = frozen.graph.as_graph_def()
    if _opened(definition):
        frozen = convert_variables_to_constants_v2(_function(definition, frozen), lower_control_flow=False)
        definition = frozen.graph.as_graph_def()
    changed = [_close_lists(nodes) for nodes in (definition.node, *(f.node_def for f in definition.library.function))]
    changed += [_forget_negative_zeros(definition), _replaced(definition, frozen.graph)]
    changed += [_replaced_curves(definition, frozen.graph)]
    if not any(changed):
        return function
    _rename_functions(definition)
    return _function(definition, frozen)


def _opened(definition: Any) -> bool:
    """Let functions that Keras keeps for XLA (convolution in groups) be written out; whether there was one."""
    calls = [
        node for node in definitions.nodes(definition) if node.op in {"PartitionedCall", "StatefulPartitionedCall"}
    ]
    held = [*calls, *definition.library.function]
    found = [part for part in held if any(name in part.attr for name in FOR_XLA)]
    for part in found:
        for name in FOR_XLA:
            part.attr.pop(name, None)
    if found:
        _rename_functions(definition)
    return bool(found)


FOR_XLA = ("_XlaMustCompile", "_noinline")
"""What keeps a function from being written out."""


def _rename_functions(definition: Any) -> None:
    """Changed bodies get new names: TensorFlow knows every function of the process by its name."""
    for body in definition.library.function:
        body.signature.name += RENAMED
    for value in (value for node in definitions.nodes(definition) for value in node.attr.values()):
        for called in [value.func] if value.HasField("func") else value.list.func:
            called.name += RENAMED


def _function(definition: Any, like: Any) -> Any:
    """A concrete function of a graph, with the inputs and outputs of another one in their order."""
    names = [tensor.name for tensor in like.inputs]
    outputs = [tensor.name for tensor in like.outputs]

    def call(*values: Any) -> list[Any]:
        """The outputs in order."""
        return list(
            tf.import_graph_def(definition, dict(zip(names, values, strict=True)), return_elements=outputs, name="")
        )

    specs = [tf.TensorSpec(t.shape, t.dtype, name=f"input_{i}") for i, t in enumerate(like.inputs)]
    return tf.compat.v1.wrap_function(call, specs)


def _constant(nodes: dict[str, Any], name: str) -> Array | None:
    """The value of an input, through copies; None if it is computed."""
    node = nodes.get(source(name))
    while node is not None and node.op == "Identity":
        node = nodes.get(source(node.input[0]))
    return tf.make_ndarray(node.attr["value"].tensor) if node is not None and node.op == "Const" else None


def _holds(nodes: dict[str, Any], name: str, value: float) -> bool:
    """Whether an input is this constant scalar."""
    found = _constant(nodes, name)
    return found is not None and found.ndim == 0 and found == value


def _close_lists(nodes: Any) -> bool:
    """Elements of lists get a batch of one if theirs is open; whether one did."""
    known, changed = {node.name: node for node in nodes}, False
    for node in [node for node in nodes if node.op in LISTS]:
        position = LISTS[node.op]
        shape = _constant(known, node.input[position])
        sizes = [] if shape is None or shape.ndim != 1 else shape.tolist()
        if shape is None or sizes[:1] != [-1] or min(sizes[1:], default=0) < 0:
            continue
        made = nodes.add(name=f"{node.name}/one_sample", op="Const")
        made.attr["dtype"].type = tf.as_dtype(shape.dtype).as_datatype_enum
        made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray([1, *sizes[1:]], shape.dtype)))
        node.input[position] = f"{made.name}:output:0" if ":" in node.input[position] else made.name
        changed = True
    return changed


def _forget_negative_zeros(definition: Any) -> bool:
    """If the sign bit is asked, the value is compared with zero; whether it was asked.

    The choice between a value and the number below all zeros, by whether it is a negative zero, falls away.
    """
    nodes, changed = {node.name: node for node in definition.node}, False
    for node in list(definition.node):
        asked = _sign_of(nodes, node)
        if asked is not None:
            zero = definition.node.add(name=f"{node.name}/zero", op="Const")
            zero.attr["dtype"].type = tf.float32.as_datatype_enum
            zero.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(0)))
            node.op, node.input[:] = "Less", [asked, zero.name]
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["edgekit_sign"].b = changed = True
    for node in definition.node:
        if node.op == "SelectV2" and _is_negative_zero(nodes, node.input[0], node.input[2]):
            node.op, node.input[:] = "Identity", [node.input[2]]
    for node in definition.node:
        node.attr.pop("edgekit_sign", None)
    return changed


def _sign_of(nodes: dict[str, Any], node: Any) -> str | None:
    """What ``bitcast(x) & 0x80000000 < 0`` asks about; None for any other node."""
    if node.op != "Less" or not _holds(nodes, node.input[1], 0):
        return None
    masked = nodes[source(node.input[0])]
    if masked.op != "BitwiseAnd" or not _holds(nodes, masked.input[1], SIGN_BIT):
        return None
    bits = nodes[source(masked.input[0])]
    real = bits.op == "Bitcast" and bits.attr["T"].type == tf.float32.as_datatype_enum
    return str(bits.input[0]) if real else None


def _is_negative_zero(nodes: dict[str, Any], name: str, value: str) -> bool:
    """Whether a condition is ``value == 0 and signbit(value)``."""
    both = nodes[source(name)]
    if both.op != "LogicalAnd":
        return False
    equal, sign = (nodes[source(part)] for part in both.input[:2])
    zero = equal.op == "Equal" and equal.input[0] == value and _holds(nodes, equal.input[1], 0)
    return zero and "edgekit_sign" in sign.attr and sign.input[0] == value


@dataclass(frozen=True)
class _Resizing:
    """A resizing node: what it makes of an image ``[1, height, width, channels]``, and how large."""

    size: tuple[int, int]
    apply: Callable[[Any], Any]


def _bicubic(node: Any, constants: Sequence[Array | None]) -> _Resizing | None:
    """ResizeBicubic."""
    if constants[1] is None:
        return None
    size = (int(constants[1][0]), int(constants[1][1]))
    flags = {name: node.attr[name].b for name in ("align_corners", "half_pixel_centers")}
    return _Resizing(size, lambda image: tf.raw_ops.ResizeBicubic(images=image, size=size, **flags))


def _translated(node: Any, constants: Sequence[Array | None]) -> _Resizing | None:
    """ScaleAndTranslate, as ``tf.image.resize`` writes Lanczos, Gaussian, Mitchell and all antialiasing."""
    size, scale, shift = constants[1:4]
    if size is None or scale is None or shift is None:
        return None
    kernel, smooth = node.attr["kernel_type"].s.decode(), node.attr["antialias"].b

    def apply(image: Any) -> Any:
        """The operator itself."""
        return tf.raw_ops.ScaleAndTranslate(
            images=image, size=size, scale=scale, translation=shift, kernel_type=kernel, antialias=smooth
        )

    return _Resizing((int(size[0]), int(size[1])), apply)


RESIZING = {"ResizeBicubic": _bicubic, "ScaleAndTranslate": _translated}
"""Operators of which TFLite has none → how they are read."""


SIZED = {*RESIZING, *volumes.RULES}
"""Operators on one image or volume that others take the place of."""

IN_PLACE = {*SIZED, *curves.CURVES}
"""The same, and functions of single values."""


def _replaced(definition: Any, graph: Any) -> bool:
    """Others in the place of operators on images and volumes, if sizes are constants; whether there was any."""
    nodes, changed = {node.name: node for node in graph.as_graph_def().node}, False
    for node in [node for node in definition.node if node.op in SIZED]:
        position, rule = volumes.RULES.get(node.op, (0, None))
        image = graph.get_operation_by_name(node.name).inputs[position]
        if not image.shape.is_fully_defined() or image.dtype != tf.float32:
            continue
        held = partial(_input, nodes, definition, list(node.input))
        call = (
            _resized(node, image, [held(i) for i in range(len(node.input))])
            if rule is None
            else rule(node, image, held)
        )
        if call is not None:
            _splice(definition, node, node.input[position], image, call)
            changed = True
    return changed


def _replaced_curves(definition: Any, graph: Any) -> bool:
    """Others in the place of functions of single values; whether there was any."""
    nodes = {node.name: node for node in graph.as_graph_def().node}
    written = {node.name: node for node in definition.node}
    values = {node.name: graph.get_operation_by_name(node.name) for node in nodes.values() if node.op in curves.CURVES}
    floats = {name: found.inputs[0] for name, found in values.items() if found.inputs[0].dtype == tf.float32}
    for name, value in floats.items():
        node, constant = nodes[name], partial(_computed, nodes, definition=definition)
        whole = gelu.spelled_out(nodes, node, constant) if node.op == "Erf" else None
        if whole is None:
            _splice(definition, written[name], node.input[0], value, curves.CURVES[node.op])
        else:
            _splice(definition, written[whole[0].name], whole[1], value, tf.nn.gelu)
    return bool(floats)


def _resized(node: Any, image: Any, constants: Sequence[Array | None]) -> Callable[[Any], Any] | None:
    """Resizing as matrix products; None if a size is computed or a matrix too large."""
    found = RESIZING[node.op](node, constants)
    before = image.shape.as_list()[1:3]
    if found is None or max(max(a, b) * b for a, b in zip(found.size, before, strict=True)) > MAX_ELEMENTS:
        return None
    return _products(found, before)


def _input(nodes: dict[str, Any], definition: Any, names: Sequence[str], position: int) -> Array | None:
    """The value of the input at a position; None if it is computed."""
    return _computed(nodes, names[position], definition)


def _computed(nodes: dict[str, Any], name: str, definition: Any) -> Array | None:
    """The value of an input that is computed from constants alone; None if an input of the network is in it.

    In a graph of its own: a loaded SavedModel's constants wait for the network's inputs.
    """
    if definitions.from_inputs(nodes, name):
        return None
    if nodes[source(name)].op == "Const":
        return _constant(nodes, name)
    alone = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    for node in definitions.needed(nodes, name):
        made = alone.node.add()
        made.CopyFrom(node)
        made.input[:] = [given for given in node.input if not given.startswith("^")]
    with tf.Graph().as_default() as own, tf.compat.v1.Session(graph=own) as running:
        tf.import_graph_def(alone, name="")
        value: Array = running.run(name if ":" in name else f"{name}:0")
        return value


def _products(resizing: _Resizing, before: Sequence[int]) -> Callable[[Any], Any]:
    """The same by a matrix for each axis.

    The unit vectors of one axis are the channels of an image that is constant along the other one: so the weights of
    that other axis, which sum to one everywhere, drop out.
    """
    height, width = before
    tall = np.broadcast_to(np.eye(height, dtype=np.float32)[None, :, None, :], (1, height, width, height))
    wide = np.broadcast_to(np.eye(width, dtype=np.float32)[None, None, :, :], (1, height, width, width))
    rows = resizing.apply(tf.constant(tall)).numpy()[0, :, 0, :]  # [after, before]
    columns = resizing.apply(tf.constant(wide)).numpy()[0, 0, :, :]

    def call(image: Any) -> Any:
        """``rows @ image @ columnsᵀ`` for every channel."""
        by_channel = tf.transpose(image, [0, 3, 1, 2])
        across = tf.matmul(by_channel, columns.T)
        down = tf.matmul(tf.transpose(across, [0, 1, 3, 2]), rows.T)
        return tf.transpose(down, [0, 3, 2, 1])

    return call


def _splice(definition: Any, node: Any, taken: str, value: Any, call: Callable[[Any], Any]) -> None:
    """Put the operators of a function of one tensor, which the reference ``taken`` gives, in a node's place."""
    spec = tf.TensorSpec(value.shape, value.dtype, name="value")
    traced = tf.function(call, autograph=False).get_concrete_function(spec)
    for inner in traced.graph.as_graph_def().node:
        if inner.op == "Placeholder":
            continue
        made = definition.node.add()
        made.CopyFrom(inner)
        made.name = f"{node.name}/{inner.name}"
        made.input[:] = [taken if source(name) == "value" else f"{node.name}/{name}" for name in inner.input]
    result = f"{node.name}/{traced.outputs[0].op.name}"
    node.op, node.input[:] = "Identity", [result]
    node.attr.clear()
    node.attr["T"].type = tf.float32.as_datatype_enum
