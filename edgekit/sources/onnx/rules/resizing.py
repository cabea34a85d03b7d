"""Resize in the forms that TFLite has, and exactly by constant gathers or matrices in all others.

Resizing is linear in the image and separable in its axes. What one axis does is therefore a matrix, and
the matrix is what ONNX Runtime makes of the unit vectors: every mode, coordinate transformation,
rounding, antialiasing and exclusion is in it, and none of them has to be known here.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import Builder, Network, attributes
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, run, session

Array = NDArray[Any]

MAX_ELEMENTS = 1 << 23
"""Largest matrix of an axis, 32 MiB: 2,896 places from as many."""

NATIVE = ("half_pixel", "align_corners", "asymmetric")
"""Coordinate transformations that TFLite has: two by a flag, the last without one."""

ROUNDING = {"half_pixel": "round_prefer_ceil", "asymmetric": "floor"}
"""How ONNX names the rounding that RESIZE_NEAREST_NEIGHBOR does, if the converter takes it."""

CLOSE = 1e-5
"""Weights of one axis that differ by less are the same."""


def resize(builder: Builder, node: onnx.NodeProto) -> bool:
    """Resize with constant scales or sizes; as it is if TFLite's own operators compute the same."""
    shape, result = builder.network.shape(node.input[0]), builder.network.shape(node.output[0])
    if shape is None or result is None or builder.network.dtype(node.input[0]) != np.float32:
        return False
    matrices = _matrices(builder.network, node, shape, result)
    if not matrices:
        return False
    if (native := _native(node, matrices, len(shape))) is not None:
        return _as_native(builder, node, native, (shape, result))
    value = node.input[0]
    for axis, matrix in sorted(matrices.items()):
        value = _applied(builder, value, axis, matrix, len(shape))
    beyond = attributes(node).get("extrapolation_value", 0) * _outside(matrices, len(shape))
    if beyond.any():
        builder.op("Add", value, builder.const(beyond, np.float32), out=node.output[0])
    else:
        builder.same(value, node.output[0])
    return True


def _outside(matrices: dict[int, Array], rank: int) -> Array:
    """1 at places that take nothing of the image (``tf_crop_and_resize``), 0 at others; broadcast over other axes."""
    inside = np.ones((1,) * rank, np.float32)
    for axis, matrix in matrices.items():
        inside = inside * np.expand_dims(matrix.any(axis=1), [a for a in range(rank) if a != axis])
    return 1 - inside


def _matrices(
    network: Network, node: onnx.NodeProto, shape: tuple[int, ...], result: tuple[int, ...]
) -> dict[int, Array] | None:
    """For every axis that changes its matrix [after, before]; None if something is computed at run time."""
    given = [network.constants.get(name) if name else np.zeros(0) for name in [*node.input[1:], "", "", ""][:3]]
    attrs = attributes(node)
    crop = attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if any(value is None for value in given):
        return None
    roi, scales, sizes = ([float(x) for x in value.reshape(-1)] for value in given if value is not None)
    axes = [axis % len(shape) for axis in attrs.get("axes", range(len(shape)))]
    if not scales and (common := _kept_aspect(attrs, [size / shape[a] for a, size in zip(axes, sizes, strict=True)])):
        scales = [common] * len(axes)
    matrices = {}
    for i, axis in enumerate(axes):
        part = (roi[i], roi[i + len(axes)]) if crop else (0.0, 1.0)
        scale = scales[i] if scales and math.floor(shape[axis] * scales[i]) == result[axis] else None
        if result[axis] == shape[axis] and scale in {None, 1.0} and part == (0, 1):
            continue
        if max(shape[axis], result[axis]) * shape[axis] > MAX_ELEMENTS:
            return None
        settings = tuple(sorted((key, value) for key, value in attrs.items() if key in _SETTINGS))
        matrix = _matrix((shape[axis], result[axis]), scale, part, settings, network.opset)
        if matrix is None:
            return None
        matrices[axis] = matrix
    return matrices


_SETTINGS = {
    "antialias", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "mode", "nearest_mode",
}  # fmt: skip


def _kept_aspect(attrs: dict[str, Any], scales: list[float]) -> float | None:
    """The scale of all axes if the sizes are only limits."""
    policy = attrs.get("keep_aspect_ratio_policy", "stretch")
    return None if policy == "stretch" else min(scales) if policy == "not_larger" else max(scales)


@lru_cache(maxsize=64)
def _matrix(
    sizes: tuple[int, int], scale: float | None, part: tuple[float, float], settings: Any, opset: int
) -> Array | None:
    """What ONNX Runtime makes of the unit vectors of one axis, [after, before]; None if it refuses."""
    before, after = sizes
    extent = numpy_helper.from_array(np.asarray([1, 1, before, after], np.int64), "sizes")
    if scale is not None:
        extent = numpy_helper.from_array(np.asarray([1, 1, 1, scale], np.float32), "scales")
    roi = numpy_helper.from_array(np.asarray([0, 0, 0, part[0], 1, 1, 1, part[1]], np.float32), "roi")
    inputs = ["x", "roi", "scales"] if scale is not None else ["x", "roi", "", "sizes"]
    node = helper.make_node("Resize", inputs, ["y"], **dict(settings))
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, before, before])
    graph = helper.make_graph([node], "axis", [x], [onnx.ValueInfoProto(name="y")], [extent, roi])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        made = run(session(model), {"x": np.eye(before, dtype=np.float32)[None, None]})[0]
    except RUNTIME_ERRORS:
        return None
    return np.ascontiguousarray(made[0, 0].T) if made.shape == (1, 1, before, after) else None


def _native(node: onnx.NodeProto, matrices: dict[int, Array], rank: int) -> dict[str, str] | None:
    """The attributes with which TFLite's own operator computes these matrices; None if it cannot."""
    mode = attributes(node).get("mode", "nearest")
    if mode not in {"nearest", "linear"} or rank not in {3, 4} or not set(matrices) <= {2, 3}:
        return None
    theirs = _nearest_weights if mode == "nearest" else _linear_weights
    for name in NATIVE:
        if mode == "nearest" and name not in ROUNDING:
            continue
        if all(
            np.abs(theirs(matrix.shape[1], matrix.shape[0], name) - matrix).max() < CLOSE
            for matrix in matrices.values()
        ):
            kept = {"mode": mode, "coordinate_transformation_mode": name}
            return kept | {"nearest_mode": ROUNDING[name]} if mode == "nearest" else kept
    return None


def _step(before: int, after: int, coordinates: str) -> np.float32:
    aligned = coordinates == "align_corners" and after > 1
    return np.float32((before - 1) / (after - 1) if aligned else before / after)


def _nearest_weights(before: int, after: int, coordinates: str) -> Array:
    """RESIZE_NEAREST_NEIGHBOR's matrix of an axis (tensorflow/lite/kernels/internal/reference)."""
    offset = np.float32(0.5 if coordinates == "half_pixel" else 0)
    index = np.floor((np.arange(after, dtype=np.float32) + offset) * _step(before, after, coordinates))
    weights: Array = np.eye(before, dtype=np.float32)[np.clip(index, 0, before - 1).astype(int)]
    return weights


def _linear_weights(before: int, after: int, coordinates: str) -> Array:
    """RESIZE_BILINEAR's matrix of an axis (tensorflow/lite/kernels/internal/reference)."""
    offset = np.float32(0.5 if coordinates == "half_pixel" else 0)
    place = (np.arange(after, dtype=np.float32) + offset) * _step(before, after, coordinates) - offset
    low = np.clip(np.floor(place), 0, before - 1).astype(int)
    high = np.clip(np.floor(place) + 1, 0, before - 1).astype(int)
    share = (place - np.floor(place))[:, None]
    unit = np.eye(before, dtype=np.float32)
    weights: Array = unit[low] * (1 - share) + unit[high] * share
    return weights


def _as_native(
    builder: Builder, node: onnx.NodeProto, native: dict[str, str], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> bool:
    before, after = shapes
    if len(before) == 4 and attributes(node) == native and len(node.input) > 3 and node.input[3]:
        return False
    value = node.input[0]
    if len(before) == 3:
        value = builder.reshape(value, [*before[:2], 1, before[2]])
    wanted = after if len(after) == 4 else (*after[:2], 1, after[2])
    sizes = builder.const(list(wanted), np.int64)
    if len(after) == 4:
        builder.op("Resize", value, "", "", sizes, out=node.output[0], **native)
    else:
        builder.reshape(builder.op("Resize", value, "", "", sizes, **native), after, out=node.output[0])
    return True


def _applied(builder: Builder, value: str, axis: int, matrix: Array, rank: int) -> str:
    """One axis by its matrix: a gather where every place comes from one place, a product otherwise."""
    index = matrix.argmax(axis=1)
    if np.array_equal(matrix, np.eye(matrix.shape[1], dtype=matrix.dtype)[index]):
        return builder.op("Gather", value, builder.const(index, np.int64), axis=axis)
    order = [*(a for a in range(rank) if a != axis), axis]
    moved = value if axis == rank - 1 else builder.transpose(value, order)
    product = builder.op("MatMul", moved, builder.const(np.ascontiguousarray(matrix.T)))
    return product if axis == rank - 1 else builder.transpose(product, [order.index(a) for a in range(rank)])
