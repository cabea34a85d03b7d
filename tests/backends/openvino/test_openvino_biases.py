"""Dense layers without a bias: OpenVINO's int8 files compute the same however many threads there are."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend, biases
from edgekit.errors import Unsupported
from edgekit.waist import run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")

WAYS: dict[str, dict[str, Any]] = {
    "one thread": {"INFERENCE_NUM_THREADS": 1},
    "throughput": {"PERFORMANCE_HINT": "THROUGHPUT"},
    "latency": {"PERFORMANCE_HINT": "LATENCY"},
}

WIDTHS = (48, 84, 20, 10)


def dense(path: Path, bias: Any, *, rows: int = 1, relu: bool = False) -> Path:
    """Three dense layers ``[rows, 48]`` → 84 → 20 → 10; ``bias`` is that of the first two, None: they have none."""
    net = networks.Network()
    x = net.input("x", (rows, WIDTHS[0]))
    for layer, (read, made) in enumerate(pairwise(WIDTHS)):
        last = layer == len(WIDTHS) - 2
        held = np.linspace(-1, 1, made) if last else None if bias is None else np.broadcast_to(bias, made)
        inputs = [x, net.constant(f"k{layer}", networks.weights(made, read, seed=layer))]
        inputs.append(-1 if held is None else net.constant(f"b{layer}", held.astype(np.float32)))
        x = net.operator(
            "FULLY_CONNECTED",
            inputs,
            (rows, made),
            kind="FullyConnectedOptions",
            fusedActivationFunction=networks.RELU if relu and not last else 0,
        )
    return net.save(path, x)


def built(waist: Path, precision: str = "int8", equalization: str = "off") -> tuple[Path, Any]:
    """A file of a network, and the samples that calibrated it."""
    signature = networks.signature(waist)
    given = networks.samples(signature, 40)
    job = networks.job(waist, precision, calibration=given, settings={"equalization": equalization})
    OpenVINOBackend().build(job, f"{precision}.xml", waist.parent)
    return waist.parent / f"{precision}.xml", given["source_x"]


def outputs(path: Path, samples: Any, how: dict[str, Any]) -> Any:
    compiled = libraries.CORE.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"} | how)
    return np.stack([np.array(compiled(one.reshape(compiled.inputs[0].shape))[0]) for one in samples])


def every_second() -> list[Any]:
    """Each bias with each number of rows, with an activation behind the layer or without; a study tries both."""
    biases_, rows = (None, 0.0, 0.5), (1, 3)
    return [
        pytest.param(bias, count, relu, marks=[] if (place + count // 2 + relu) % 2 else pytest.mark.study)
        for place, bias in enumerate(biases_)
        for count in rows
        for relu in (False, True)
    ]


@pytest.mark.parametrize(("bias", "rows", "relu"), every_second())
def test_the_same_in_one_thread_and_in_several(tmp_path: Path, bias: float | None, rows: int, *, relu: bool) -> None:
    waist = dense(tmp_path / "waist.tflite", bias, rows=rows, relu=relu)
    path, samples = built(waist)
    wanted = outputs(built(waist, "float32")[0], samples, WAYS["latency"])
    for name, how in WAYS.items():
        assert sqnr_db(wanted, outputs(path, samples, how)) > 25, name


@pytest.mark.parametrize("bias", [None, 0.0, 0.5, -3e-5], ids=str)
def test_what_is_filled_in_changes_nothing(tmp_path: Path, bias: float | None) -> None:
    model = libraries.ov.convert_model(dense(tmp_path / "waist.tflite", bias))
    sample = np.random.default_rng(0).normal(size=(1, WIDTHS[0])).astype(np.float32)
    wanted = np.array(libraries.CORE.compile_model(model, "CPU", libraries.EXACT)(sample)[0])
    biases.fill(model)
    count = len(model.get_ordered_ops())
    biases.fill(model)
    assert len(model.get_ordered_ops()) == count, "what has one gets no other"
    found = np.array(libraries.CORE.compile_model(model, "CPU", libraries.EXACT)(sample)[0])
    assert np.allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_biases_of_their_own_stay(tmp_path: Path) -> None:
    model = libraries.ov.convert_model(dense(tmp_path / "waist.tflite", None))
    layers = [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    assert len(layers) == len(WIDTHS) - 1
    before = model.clone()
    biases.fill(model)
    added = len(model.get_ordered_ops()) - len(before.get_ordered_ops())
    assert added == 4, "a sum and its constant for the two without, none for the last"


def test_an_output_keeps_its_name(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    for layer in range(2):
        kernel = net.constant(f"k{layer}", networks.weights(8, 8, seed=layer))
        x = net.operator("FULLY_CONNECTED", [x, kernel, -1], (1, 8), name=f"y{layer}", kind="FullyConnectedOptions")
    model = libraries.ov.convert_model(net.save(tmp_path / "waist.tflite", x))
    before = model.outputs[0].names
    assert before
    biases.fill(model)
    assert model.outputs[0].names == before


@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((2, 4), (4, 3)), ((2, 1, 4), (4, 3))]
)
def test_vectors_and_scalars_keep_their_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    ov, op = libraries.ov, libraries.operators
    x = op.parameter(list(shapes[0]), np.float32)
    made = op.relu(op.matmul(x, op.constant(np.ones(shapes[1], np.float32)), False, False))
    model = ov.Model([made], [x])
    before = model.outputs[0].get_partial_shape()
    biases.fill(model)
    model.validate_nodes_and_infer_types()
    assert model.outputs[0].get_partial_shape() == before
    given = np.ones(shapes[0], np.float32)
    found = np.array(libraries.CORE.compile_model(model, "CPU", libraries.EXACT)(given)[0])
    assert np.array_equal(found, given @ np.ones(shapes[1], np.float32))


def test_rows_that_are_counted_at_run_time_and_one_axis_are_no_obstacle() -> None:
    """Rows of what is not zero, as a detector's post-processing takes them."""
    ov, op = libraries.ov, libraries.operators
    x = op.parameter([4, 8], np.float32)
    places = op.squeeze(op.non_zero(op.reduce_sum(x, np.array([1]), keep_dims=False)), np.array([0]))
    rows = op.gather(x, places, np.array(0))
    weights = op.constant(networks.weights(8, 8))
    flat = op.matmul(op.constant(np.ones(8, np.float32)), weights, transpose_a=False, transpose_b=False)
    model = ov.Model([op.matmul(rows, weights, transpose_a=False, transpose_b=True), flat], [x])
    given = np.eye(4, 8, dtype=np.float32)
    wanted = [np.array(v) for v in libraries.CORE.compile_model(model, "CPU")(given).values()]
    biases.fill(model)
    found = [np.array(v) for v in libraries.CORE.compile_model(model, "CPU")(given).values()]
    assert [one.shape for one in found] == [one.shape for one in wanted]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(wanted, found, strict=True))


def test_a_file_that_one_thread_computes_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenVINO 2026.4.1 does on CPUs with AVX-512 VNNI; where it does not, there is nothing to refuse."""
    if run.host_threads() < 2:
        pytest.skip("one core has no several threads to compare with")
    waist = dense(tmp_path / "waist.tflite", None)
    with monkeypatch.context() as patch:
        patch.setattr(biases, "fill", lambda _: None)
        patch.setattr("edgekit.backends.openvino._require_same_in_one_thread", lambda *_: None)
        path, samples = built(waist, equalization="auto")
    wanted = outputs(path, samples, WAYS["latency"])
    if sqnr_db(wanted, outputs(path, samples, WAYS["one thread"])) > 20:
        pytest.skip("this host's kernels compute the same in one thread")
    monkeypatch.setattr(biases, "fill", lambda _: None)
    with pytest.raises(Unsupported, match="otherwise in one thread"):
        built(waist, equalization="auto")
