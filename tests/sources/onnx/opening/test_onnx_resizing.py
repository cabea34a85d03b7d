"""Fixed sizes that --shape changes: right where the network runs at the new ones, refused where it does not."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.tools.update_model_dims import update_inputs_outputs_dims

from edgekit.engine.worker import Worker
from edgekit.errors import InputError
from edgekit.nouns.model import SourceOptions
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, describe, expected

W = {"w": (4, 3, 3, 3), "v": (2, 4, 1, 1)}
CONV = "a = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w) b = Relu(a)"
HEAD = f"{CONV} heat = Conv(b, v) y = Sigmoid(heat)"
DETECTOR = f"{HEAD} box = Conv(b, v) z = Relu(box)"
ELASTIC = {
    "heat map": build("float[1,3,16,16] x", HEAD, "float[1,2,8,8] y", **W),
    "several outputs": build("float[1,3,16,16] x", DETECTOR, "float[1,2,8,8] y, float[1,2,8,8] z", **W),
    "pooled": build("float[1,3,16,16] x", f"{CONV} p = GlobalAveragePool(b) y = Flatten(p)", "float[1,4] y", w=W["w"]),
    "upsampled by a factor": build(
        "float[1,3,16,16] x", f"{CONV} u = Resize(b, , f) y = Relu(u)", "float[1,4,16,16] y",
        w=W["w"], f=np.array([1, 1, 2, 2], np.float32),
    ),
    "flattened to the end": build(
        "float[1,3,16,16] x", f"{CONV} y = Reshape(b, s)", "float[1,4,64] y", w=W["w"], s=i64(1, 4, -1)
    ),
}  # fmt: skip
RIGID = {
    "flattened into a layer": build(
        "float[1,3,16,16] x", f"{CONV} f = Flatten(b) y = MatMul(f, m)", "float[1,5] y", w=W["w"], m=(256, 5)
    ),
    "sizes are written down": build(
        "float[1,3,16,16] x", f"{CONV} y = Reshape(b, s)", "float[1,4,64] y", w=W["w"], s=i64(1, 4, 64)
    ),
    "anchors": build("float[1,3,16,16] x", f"{CONV} y = Add(b, k)", "float[1,4,8,8] y", w=W["w"], k=(1, 4, 8, 8)),
}


def _open(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with open sizes: what it computes at any of them."""
    ends = ({v.name: v.name for v in side} for side in (model.graph.input, model.graph.output))
    inputs, outputs = (
        {name: [f"{name}{axis}" for axis in range(_rank(model, name))] for name in names} for names in ends
    )
    return update_inputs_outputs_dims(onnx.ModelProto.FromString(model.SerializeToString()), inputs, outputs)


def _rank(model: onnx.ModelProto, name: str) -> int:
    values = (*model.graph.input, *model.graph.output)
    return next(len(value.type.tensor_type.shape.dim) for value in values if value.name == name)


@pytest.mark.parametrize("size", [(16, 40), (64, 24)])
@pytest.mark.parametrize("name", ELASTIC)
def test_a_network_that_runs_at_another_size_is_built_for_it(
    name: str, size: tuple[int, int], worker: Worker, tmp_path: Path
) -> None:
    path = save(tmp_path, ELASTIC[name])
    options = SourceOptions(shapes={"x": (1, 3, *size)})
    waist = assert_faithful(worker, path, tmp_path, options)
    assert waist.signature.inputs[0].source_shape == (1, 3, *size)
    assert any("exported for [1, 3, 16, 16]" in warning for warning in describe(worker, path, options).warnings)
    samples = {"x": np.random.default_rng(2).random((3, 1, 3, *size)).astype(np.float32)}
    made = expected(worker, path, tmp_path, samples, options)
    session = onnxruntime.InferenceSession(_open(ELASTIC[name]).SerializeToString())
    for row in range(3):
        for output, value in zip(session.get_outputs(), session.run(None, {"x": samples["x"][row]}), strict=True):
            np.testing.assert_allclose(made[output.name][row], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RIGID)
def test_a_network_that_holds_its_size_is_refused_at_another(name: str, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, RIGID[name])
    with pytest.raises(InputError, match=r"does not run with x \[1, 3, 24, 24\]") as refused:
        describe(worker, path, SourceOptions(shapes={"x": (1, 3, 24, 24)}))
    assert "--shape x=1,3,16,16" in refused.value.fix


def test_channels_that_weights_do_not_have_are_refused(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not run with"):
        describe(worker, save(tmp_path, ELASTIC["heat map"]), SourceOptions(shapes={"x": (1, 4, 16, 16)}))


def test_a_batch_goes_with_a_size(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, build("float[10,3,16,16] x", HEAD, "float[10,2,8,8] y", **W))
    options = SourceOptions(shapes={"x": (1, 3, 32, 24)})
    described = describe(worker, path, options)
    assert described.batch == 10
    assert described.signature.inputs[0].shape == (1, 3, 32, 24)
    assert described.signature.outputs[0].shape == (1, 2, 16, 12)
    assert_faithful(worker, path, tmp_path, options)
