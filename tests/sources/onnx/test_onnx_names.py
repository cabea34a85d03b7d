"""Outputs that are one tensor twice, an input, a constant, or whose name the converter gave away."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.engine.worker import Worker
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful

IMAGE, WEIGHTS = "float[1,3,6,8] x", (4, 3, 3, 3)
TWO = "float[] y, float[] z"

ALIASED: dict[str, onnx.ModelProto] = {
    "chain of identities": build(IMAGE, "t = Conv(x, w) a = Identity(t) b = Identity(a) y = Identity(b)", w=WEIGHTS),
    "one tensor three times": build(IMAGE, "t = Conv(x, w) y = Identity(t) z = Identity(t) q = Identity(z)", f"{TWO}, float[] q", w=WEIGHTS),
    "an input as output": build(IMAGE, "t = Conv(x, w) y = Relu(t) z = Identity(x)", TWO, w=WEIGHTS),
    "an input itself": build(IMAGE, "y = Conv(x, w)", "float[] x, float[] y", w=WEIGHTS),
    "a vector itself": build("float[1,4] x", "y = Exp(x)", "float[] x, float[] y"),
    "also read inside": build(IMAGE, "y = Conv(x, w) a = Relu(y) z = GlobalAveragePool(a)", "float[] y, float[] a, float[] z", w=WEIGHTS),
    "in both layouts": build(IMAGE, "a = Conv(x, w) y = Transpose<perm=[0,2,3,1]>(a) z = Relu(a)", "float[] y, float[] a, float[] z", w=WEIGHTS),
    "a constant": build(IMAGE, "t = Conv(x, w) y = Relu(t) z = Identity(k)", TWO, w=WEIGHTS, k=(1, 3, 4, 5)),
    "a boolean twice": build("float[1,4] x", "y = Greater(x, o) z = Identity(y)", "bool[] y, bool[] z", o=np.float32(0)),
    "integers twice": build("int64[1,4] x", "y = Add(x, o) z = Identity(y)", "int64[] y, int64[] z", o=i64(1)),
    "of one operand": build(IMAGE, "t = Conv(x, w) y = Concat<axis=1>(t) s = Sum(y) m = Max(s) z = Relu(m)", TWO, w=WEIGHTS),
    "of one operand alone": build(IMAGE, "y = Concat<axis=1>(x)"),
    "in the same shape": build(IMAGE, "t = Conv(x, w) y = Relu(t) z = Reshape(y, s) q = Exp(y)", f"{TWO}, float[] q", w=WEIGHTS, s=i64(1, 4, -1, 6)),
    "in the same shape, inside": build("float[1,4] x", "t = Gemm(x, w) z = Reshape(t, s) y = Exp(t)", TWO, w=(4, 6), s=i64(-1, 6)),
    "there and back": build("float[1,4] x", "y = Gemm(x, w) a = Reshape(y, s) b = Unsqueeze(a, o) z = Flatten(b) q = Exp(y)", f"{TWO}, float[] q", w=(4, 6), s=i64(1, 3, 2), o=i64(0)),
    "expanded by 1": build("float[2,4] x", "y = Gemm(x, w) z = Expand(y, s) q = Expand(y, r)", f"{TWO}, float[] q", w=(4, 6), s=i64(1, 1), r=i64(3, 2, 6)),
    "in the same order": build(IMAGE, "y = Conv(x, w) z = Transpose<perm=[0,1,2,3]>(y) q = Exp(z)", f"{TWO}, float[] q", w=WEIGHTS),
    "dropped out": build("float[1,4] x", "y = Gemm(x, w) z = Dropout(y) q = Exp(y)", f"{TWO}, float[] q", w=(4, 6)),
    "unbounded": build("float[1,4] x", "t = Gemm(x, w) y = Relu(t) z = Clip(y) q = Exp(y)", f"{TWO}, float[] q", w=(4, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ALIASED))
def test_aliased_outputs_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, ALIASED[name]), tmp_path)
    names = [spec.name for spec in (*waist.signature.inputs, *waist.signature.outputs)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("sizes", [(1, 4, 2), (3, 4), (1, 1, 5)])
@pytest.mark.parametrize("kind", ["Sigmoid", "Relu", "Neg"])
def test_parts_may_come_back_in_another_order(
    kind: str, sizes: tuple[int, ...], worker: Worker, tmp_path: Path
) -> None:
    parts = [f"p{i}" for i in range(len(sizes))]
    made = " ".join(f"q{i} = {kind}({part})" for i, part in enumerate(parts))
    turned = ", ".join(f"q{i}" for i in reversed(range(len(sizes))))
    body = f"t = Conv(x, w) {', '.join(parts)} = Split<axis=1>(t, s) {made} y = Concat<axis=1>({turned})"
    model = build(IMAGE, body, w=(7, 3, 3, 3), s=i64(*sizes))
    assert_faithful(worker, save(tmp_path, model), tmp_path)


@pytest.mark.shared
def test_the_reported_split_is_exact(worker: Worker, tmp_path: Path, shared: Path) -> None:
    assert_faithful(worker, shared / "models" / "reported" / "split_concat.onnx", tmp_path)
