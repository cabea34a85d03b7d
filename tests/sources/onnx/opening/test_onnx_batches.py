"""Models of a fixed batch: taken for one sample where its rows are independent, and said so where they are not."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import InputError
from edgekit.nouns.model import SourceOptions
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, describe, expected

W = {"w": (4, 3, 3, 3)}
CONV = "a = Conv(x, w) b = Relu(a)"
SEPARABLE = {
    "pooled": build("float[2,3,8,8] x", f"{CONV} p = GlobalAveragePool(b) y = Flatten(p)", "float[2,4] y", **W),
    "reshaped": build(
        "float[4,3,8,8] x", f"{CONV} f = Reshape(b, s) y = MatMul(f, m)", "float[4,5] y", s=i64(4, 144), m=(144, 5), **W
    ),
    "rows are flattened": build(
        "float[3,6,4] x", "f = Reshape(x, s) g = MatMul(f, m) y = Reshape(g, t)", "float[3,6,5] y",
        s=i64(18, 4), t=i64(3, 6, 5), m=(4, 5),
    ),
    "batch in the middle": build(
        "float[2,6,4] x",
        "t = Transpose<perm=[1,0,2]>(x) f = Reshape(t, s) g = MatMul(f, m) u = Transpose<perm=[1,0,2]>(g) y = Relu(u)",
        "float[2,6,5] y", s=i64(6, 2, 4), m=(4, 5),
    ),
    "expanded": build(
        "float[2,3,8,8] x", f"{CONV} e = Expand(k, s) y = Add(b, e)", "float[2,4,6,6] y", k=(1, 4, 1, 1), s=i64(2, 4, 6, 6), **W
    ),
    "Constant": build(
        "float[2,6] x, float[2,6] z", "c = Constant<value = int64[3] {2, 2, 3}>() a = Mul(x, z) r = Reshape(a, c) y = MatMul(r, m)",
        "float[2,2,4] y", m=(3, 4),
    ),
    "indices": build("int64[2,5] x", "e = Gather(t, x) y = MatMul(e, m)", "float[2,5,3] y", t=(50, 8), m=(8, 3)),
    "the size is a channel's too": build("float[4,4,8,8] x", "a = Conv(x, v) y = Reshape(a, s)", "float[4,4,36] y", v=(4, 4, 3, 3), s=i64(4, 4, 36)),
}  # fmt: skip
MIXED = {
    "mean over the batch": build("float[2,3,8,8] x", f"{CONV} y = ReduceMean<axes=[0]>(b)", "float[1,4,6,6] y", **W),
    "rows meet": build(
        "float[2,3,8,8] x", f"{CONV} m = ReduceMean<axes=[0]>(b) y = Sub(b, m)", "float[2,4,6,6] y", **W
    ),
}


@pytest.mark.parametrize("name", SEPARABLE)
def test_a_fixed_batch_becomes_one_sample(name: str, worker: Worker, tmp_path: Path) -> None:
    model = SEPARABLE[name]
    path = save(tmp_path, model)
    waist = assert_faithful(worker, path, tmp_path)
    assert all(spec.source_shape[0] == 1 for spec in (*waist.signature.inputs, *waist.signature.outputs))
    described = describe(worker, path)
    batch = described.batch
    assert batch > 1
    assert any("samples at once" in warning for warning in described.warnings)
    random = np.random.default_rng(3)
    rows = {
        spec.name: (random.random((batch, *spec.shape)) * 9).astype(spec.dtype) for spec in described.signature.inputs
    }
    together = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {n: v[:, 0] for n, v in rows.items()})
    alone = expected(worker, path, tmp_path, rows)
    for whole, row in zip(together, alone.values(), strict=True):
        np.testing.assert_allclose(row[:, 0], whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_depend_on_one_another_stay_together(name: str, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, MIXED[name])
    waist = assert_faithful(worker, path, tmp_path)
    assert waist.signature.inputs[0].source_shape == (2, 3, 8, 8)
    with pytest.raises(InputError, match="takes 2 samples at once") as refused:
        describe(worker, path, SourceOptions(shapes={"x": (1, 3, 8, 8)}))
    assert "--shape x=2,3,8,8" in refused.value.fix


@pytest.mark.parametrize(("asked", "got"), [((1, 3, 8, 8), 1), ((2, 3, 8, 8), 2)])
def test_the_user_decides(asked: tuple[int, ...], got: int, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, SEPARABLE["pooled"])
    described = describe(worker, path, SourceOptions(shapes={"x": asked}))
    assert described.signature.inputs[0].shape[0] == described.signature.outputs[0].shape[0] == got


@pytest.mark.parametrize(
    "model",
    [build("float[6] x", "y = Relu(x)", "float[6] y"), build("float[2,1,8] x, float[1,1,8] z", "y = MatMul(x, m)", m=(8, 8))],
)  # fmt: skip
def test_a_first_size_that_is_no_batch_stays(model: onnx.ModelProto, worker: Worker, tmp_path: Path) -> None:
    assert describe(worker, save(tmp_path, model)).batch == 1
