"""Transpositions on their way to the boundary: the network computes the same whatever is permuted, equal axes too."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx2tf.tflite_builder.ir import ModelIR, OperatorIR, TensorIR

from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import lowering
from edgekit.sources.onnx.lowering.commuting import add_constant, inverse, sizes
from edgekit.sources.onnx.lowering.layout import CHANNELS_LAST
from edgekit.sources.onnx.lowering.moving import Region
from edgekit.waist import graph
from edgekit.waist import run as waist_run
from edgekit.waist.tensors import Array
from tests.sources.onnx.onnx_cases import build, f32, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful

ORDER = CHANNELS_LAST[4]
SHAPE = (1, 3, 3, 3)  # equal axes: no shape tells a wrong permutation


def _network() -> ModelIR:
    lowered = ModelIR("main")
    for name in ("x", "z"):
        lowered.tensors[name] = TensorIR(name, "FLOAT32", list(SHAPE), list(SHAPE))
        lowered.inputs.append(name)
    return lowered


def _add(lowered: ModelIR, kind: str, inputs: list[str], shape: tuple[int, ...], **options: Any) -> str:
    name = f"t{len(lowered.operators)}"
    lowered.tensors[name] = TensorIR(name, "FLOAT32", list(shape), list(shape))
    lowered.operators.append(OperatorIR(kind, inputs, [name], options))
    return name


def _const(lowered: ModelIR, values: Any, dtype: str = "INT32") -> str:
    return add_constant(lowered, "k", np.asarray(values, dtype.lower()), dtype)


def _pad(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    rows = [[0, 0] for _ in range(4)]
    rows[axis] = [1, 2]
    padded = _add(
        lowered, "PAD", [value, _const(lowered, rows)], tuple(s + sum(r) for s, r in zip(SHAPE, rows, strict=True))
    )
    begin = [0] * 4
    begin[axis] = 2
    return _add(lowered, "SLICE", [padded, _const(lowered, begin), _const(lowered, SHAPE)], SHAPE)


def _mirror(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    rows = [[0, 0], [0, 0], [0, 0], [0, 0]]
    rows[1 + axis % 3] = [1, 0]
    shape = tuple(s + sum(r) for s, r in zip(SHAPE, rows, strict=True))
    padded = _add(lowered, "MIRROR_PAD", [value, _const(lowered, rows)], shape, mode="REFLECT")
    ends, strides = list(shape), [1] * 4
    masks = 1 << (1 + axis % 3)
    out = [_const(lowered, [0] * 4), _const(lowered, [s - 1 if s == 4 else s for s in ends]), _const(lowered, strides)]
    return _add(lowered, "STRIDED_SLICE", [padded, *out], SHAPE, beginMask=masks)


def _affine(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    shape = [(3, 1, 1), (1, 3, 1, 1), (3,), (1, 1, 3, 3), (3, 3, 3), ()][axis + 1 if axis < 4 else 0]
    values = np.random.default_rng(axis).standard_normal(shape or (1,)).astype(np.float32)
    return _add(lowered, ("MUL", "SUB")[axis % 2], [value, _const(lowered, values, "FLOAT32")], SHAPE)


def _unary(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    return _add(lowered, ("LOGISTIC", "TANH", "ABS", "NEG")[axis], [value], SHAPE)


def _binary(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    return _add(lowered, ("ADD", "MAXIMUM", "SUB", "MUL")[axis], [value, other], SHAPE)


def _join(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    axis = 1 + axis % 3
    shape = tuple(6 if a == axis else s for a, s in enumerate(SHAPE))
    joined = _add(lowered, "CONCATENATION", [value, other], shape, axis=axis - 4)
    half = f"h{len(lowered.operators)}"
    lowered.tensors[half] = TensorIR(half, "FLOAT32", list(SHAPE), list(SHAPE))
    name = _add(lowered, "SPLIT", [_const(lowered, axis), joined], SHAPE, numSplits=2)
    lowered.operators[-1].outputs.append(half)
    return _add(lowered, "ADD", [name, half], SHAPE)


def _gather(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    return _add(lowered, "GATHER", [value, _const(lowered, [2, 0, 1] if axis else [0])], SHAPE, axis=axis, batchDims=0)


def _reduce(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    shape = tuple(1 if a == axis else s for a, s in enumerate(SHAPE))
    mean = _add(lowered, "MEAN", [value, _const(lowered, [axis - 4])], shape, keepDims=True)
    return _add(lowered, "SUB", [value, mean], SHAPE)


def _turn(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    order = (ORDER, inverse(ORDER), (0, 1, 3, 2), (0, 3, 2, 1))[axis]
    return _add(lowered, "TRANSPOSE", [value, _const(lowered, order)], SHAPE)


def _softmax(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    return _add(lowered, "SOFTMAX", [value], SHAPE, beta=1.0)


def _flat(lowered: ModelIR, value: str, other: str, axis: int) -> str:
    flat = _add(lowered, "RESHAPE", [value, _const(lowered, [1, 27])], (1, 27), newShape=[1, 27])
    return _add(lowered, "RESHAPE", [flat, _const(lowered, SHAPE)], SHAPE, newShape=list(SHAPE))


STEPS = (_pad, _mirror, _affine, _unary, _binary, _join, _gather, _reduce, _turn, _softmax, _flat)


def _built(steps: list[tuple[int, int, int, int]]) -> ModelIR:
    lowered = _network()
    values = ["x", "z"]
    for kind, first, second, axis in steps:
        values.append(STEPS[kind](lowered, values[first % len(values)], values[second % len(values)], axis))
    read = {name for operator in lowered.operators for name in operator.inputs}
    made = [name for operator in lowered.operators for name in operator.outputs]
    lowered.outputs = [name for name in made if name not in read] or made[-1:]
    return lowered


def _results(lowered: ModelIR, folder: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    lowering.write(lowered, folder / "m.tflite")
    return {
        name: value[0]
        for name, value in waist_run.run(folder / "m.tflite", {n: v[None] for n, v in feeds.items()}).items()
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)),
        min_size=1,
        max_size=7,
    ),
    side=st.integers(0, 9),
)
def test_a_permuted_region_computes_what_it_did(
    steps: list[tuple[int, int, int, int]], side: int, tmp_path: Path
) -> None:
    lowered = _built(steps)
    feeds: dict[str, Array] = {
        name: np.random.default_rng(i).standard_normal(SHAPE).astype(np.float32)
        for i, name in enumerate(lowered.inputs)
    }
    expected = _results(_built(steps), tmp_path, feeds)
    boundary = [n for n in (*lowered.inputs, *lowered.outputs) if len(sizes(lowered, n)) == 4]
    region = Region(lowered, boundary[side % len(boundary)], ORDER)
    stored = set(region.stored)
    region.permute()
    given_feeds = {name: value.transpose(ORDER) if name in stored else value for name, value in feeds.items()}
    found = _results(lowered, tmp_path, given_feeds)
    assert set(found) == set(expected)
    for name, value in found.items():
        back = value.transpose(inverse(ORDER)) if name in stored else value
        np.testing.assert_allclose(back, expected[name], rtol=1e-5, atol=1e-5)


CUBE = "float[1,8,8,8] x"
CONV = "y = Conv<pads=[1,1,1,1]>({}, w)"
BEFORE = {
    "pad": build(CUBE, "a = Pad(x, p) " + CONV.format("a"), p=i64(0, 0, 0, 1, 0, 0, 1, 0), w=(8, 8, 3, 3)),
    "reflect": build(CUBE, 'a = Pad<mode="reflect">(x, p) ' + CONV.format("a"), p=i64(0, 0, 2, 1, 0, 0, 1, 0), w=(8, 8, 3, 3)),
    "normalized": build(CUBE, "a = Sub(x, m) b = Div(a, s) " + CONV.format("b"), m=(8, 1, 1), s=f32(2), w=(8, 8, 3, 3)),
    "added_then_padded": build(CUBE, "a = Add(x, m) b = Pad(a, p, v) " + CONV.format("b"), m=(1, 8, 8, 8), v=np.float32(3), p=i64(0, 0, 2, 1, 0, 0, 1, 0), w=(8, 8, 3, 3)),
    "two_inputs": build(CUBE + ", float[1,8,8,8] z", "a = Concat<axis=1>(x, z) b = Pad(a, p) " + CONV.format("b"), p=i64(0, 0, 1, 1, 0, 0, 1, 1), w=(8, 16, 3, 3)),
    "focus": build(
        CUBE,
        "a = Slice(x, s0, e, ax, st) b = Slice(x, s1, e, ax, st) c = Concat<axis=1>(a, b) " + CONV.format("c"),
        s0=i64(0, 0), s1=i64(1, 0), e=i64(99, 99), ax=i64(2, 3), st=i64(2, 2), w=(8, 16, 3, 3),
    ),
    "split": build(CUBE, "a, b = Split<axis=1>(x, n) c = Concat<axis=1>(b, a) d = Pad(c, p) " + CONV.format("d"), n=i64(3, 5), p=i64(0, 0, 1, 1, 0, 0, 0, 1), w=(8, 8, 3, 3)),
    "bgr": build(CUBE, "a = Gather<axis=1>(x, i) " + CONV.format("a"), i=i64(7, 6, 5, 4, 3, 2, 1, 0), w=(8, 8, 3, 3)),
}  # fmt: skip
AFTER = {
    "sigmoid": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) b = Mul(a, k) y = Sigmoid(b)", k=(8, 1, 1), w=(8, 8, 3, 3)),
    "residual": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) y = Add(a, x)", w=(8, 8, 3, 3)),
    "cropped": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) y = Slice(a, b, e, ax)", b=i64(1), e=i64(7), ax=i64(3), w=(8, 8, 3, 3)),
    "cropped_at_the_end": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) y = Slice(a, b, e, ax)", b=i64(0), e=i64(4), ax=i64(2), w=(8, 8, 3, 3)),
    "joined": build(CUBE, "a = Conv<pads=[1,1,1,1]>(x, w) b = Sigmoid(a) y = Concat<axis=1>(a, b)", w=(8, 8, 3, 3)),
    "per_pixel_class": build(CUBE, "a = Pad(x, p) b = Conv(a, w) y = ArgMax<axis=1, keepdims=0>(b)", "int64[] y", p=i64(0, 0, 1, 1, 0, 0, 1, 1), w=(8, 8, 3, 3)),
    "mean": build(CUBE, "a = Pad(x, p) b = Conv(a, w) c = Relu(b) y = ReduceMean<axes=[2, 3], keepdims=0>(c)", p=i64(0, 0, 1, 1, 0, 0, 1, 1), w=(8, 8, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*BEFORE, *AFTER])
def test_images_are_channels_last_whatever_stands_at_the_boundary(name: str, worker: Worker, tmp_path: Path) -> None:
    model: onnx.ModelProto = (BEFORE | AFTER)[name]
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    specs = (*waist.signature.inputs, *waist.signature.outputs)
    images = [spec for spec in specs if len(spec.source_shape) == 4]
    for spec in images:
        assert spec.permutation == CHANNELS_LAST[len(spec.shape)], spec
        assert spec.shape == tuple(spec.source_shape[axis] for axis in spec.permutation)
        assert (spec.layout, spec.source_layout) == ("NHWC", "NCHW")
    operators = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert "TRANSPOSE" not in operators


def test_a_matrix_that_is_transposed_is_no_image(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,6,8] x", "t = Transpose<perm=[0,2,1]>(x) y = MatMul(t, w)", w=(6, 4))
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    assert [spec.layout for spec in (*waist.signature.inputs, *waist.signature.outputs)] == [None, None]


def test_a_network_that_takes_channels_last_says_so(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,8,8,3] x", "t = Transpose<perm=[0,3,1,2]>(x) y = Conv(t, w)", w=(4, 3, 3, 3))
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    (x,), (y,) = waist.signature.inputs, waist.signature.outputs
    assert (x.layout, x.source_layout, x.permutation) == ("NHWC", "NHWC", None)
    assert (y.layout, y.source_layout) == ("NHWC", "NCHW")


def test_keep_layout_moves_nothing(worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, BEFORE["pad"]), tmp_path, SourceOptions(keep_layout=True))
    assert [(spec.permutation, spec.layout) for spec in waist.signature.inputs] == [(None, "NCHW")]
