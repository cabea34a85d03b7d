"""The packed runner with the runtimes of this environment, on files that make it hard."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper
from openvino import opset13 as ops

from edgekit.errors import InputError, MissingTool, Unsupported
from edgekit.nouns.profile import Run
from tests import networks
from tests.runner.boards import Board
from tests.stateful import delay, echo, summing

IMAGE = np.random.default_rng(1).standard_normal((4, 1, 8, 8, 3)).astype(np.float32)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def onnx_file(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Any = ()) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


def matmul(path: Path) -> Path:
    """An ONNX network with a batch of any size: x [N, 16] → [N, 4]."""
    weights = onnx.numpy_helper.from_array(np.arange(64, dtype=np.float32).reshape(16, 4) / 64, "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Softmax", ["m"], ["y"])]
    return onnx_file(path, nodes, [x], [y], [weights])


def xml(path: Path) -> Path:
    """An IR with an input ``x`` [1, 16] and a matrix that keeps several operators busy."""
    x = ops.parameter([1, 16], np.float32, name="x")
    x.output(0).tensor.set_names({"x"})
    y = ops.softmax(ops.matmul(x, ops.constant(np.ones((16, 1 << 14), np.float32)), False, False), 1)
    y.output(0).tensor.set_names({"y"})
    ov.save_model(ov.Model([y], [x], "m"), path, compress_to_fp16=False)
    return path


def test_a_block_of_litert(board: Board, tmp_path: Path) -> None:
    block, out = board.run(networks.classifier(tmp_path / "c.tflite"), {"image": IMAGE})
    assert block.runtime.startswith("ai-edge-litert ")
    assert block.latency is not None
    assert block.latency.runs >= 5
    assert block.init_ms is not None
    assert block.init_ms > 0
    assert block.first_ms is not None
    assert block.first_ms > 0
    assert block.warm_up_runs >= 1
    assert block.harness_share is not None
    assert block.before is not None
    assert block.after is not None
    readings = np.load(out / "latencies.npy")
    assert len(readings) * block.latency.inferences_per_reading == block.latency.runs
    assert readings.mean() == pytest.approx(block.latency.mean_ms)
    assert block.memory.loaded_bytes is not None
    assert block.memory.peak_bytes is not None
    assert block.memory.peak_bytes >= block.memory.loaded_bytes


def test_the_arena_holds_at_least_the_largest_step(board: Board, tmp_path: Path) -> None:
    """[1, 8, 8, 16] into [1, 8, 8, 16], float32; all tensors together are an upper bound but for scratch."""
    block, _ = board.run(networks.classifier(tmp_path / "c.tflite"), {"image": IMAGE}, delegate="none")
    step = 2 * 8 * 8 * 16 * 4
    assert block.memory.arena_bytes is not None
    assert step <= block.memory.arena_bytes < 40 * step


@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_outputs_of_every_sample_are_the_interpreters(board: Board, tmp_path: Path, delegate: Any) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    block, out = board.run(model, {"image": IMAGE}, mode="outputs", delegate=delegate)
    assert block.outputs is not None
    seen = np.load(out / block.outputs)["probabilities"]
    made = Interpreter(model_path=str(model))
    made.allocate_tensors()
    for i, image in enumerate(IMAGE):
        made.set_tensor(made.get_input_details()[0]["index"], image)
        made.invoke()
        expected = made.get_tensor(made.get_output_details()[0]["index"])
        np.testing.assert_allclose(seen[i], expected, rtol=1e-5, atol=1e-6)
    assert len(seen) == len(IMAGE)


@pytest.mark.parametrize("network", [echo, delay, summing])
def test_every_sample_begins_at_the_first_state(board: Board, tmp_path: Path, network: Any) -> None:
    """As on a phone, where each has a process of its own: else what a device computes would not be compared alike."""
    model = network(tmp_path / "c.tflite")
    shape = tuple(Interpreter(model_path=str(model)).get_input_details()[0]["shape"])
    block, out = board.run(model, {"x": np.ones((3, *shape), np.float32)}, mode="outputs")
    assert block.outputs is not None
    with np.load(out / block.outputs) as seen:
        for values in seen.values():
            np.testing.assert_array_equal(values, values[[0, 0, 0]])


def test_xnnpack_takes_a_float_network_whole(board: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    block, _ = board.run(model, {"image": IMAGE}, require_full_delegation=True)
    assert block.delegation is not None
    assert (block.delegation.share, block.delegation.partitions) == ("all", 1)
    block, _ = board.run(model, {"image": IMAGE}, delegate="none")
    assert block.delegation is None


def test_a_fall_back_to_the_cpu_is_seen_and_can_be_refused(board: Board, tmp_path: Path) -> None:
    """XNNPACK has no logarithm."""
    model = networks.element_wise(tmp_path / "e.tflite", "ABS", "LOG", "EXP", "LOG")
    x = np.ones((1, 1, 12), np.float32)
    block, _ = board.run(model, {"x": x})
    assert block.delegation is not None
    assert (block.delegation.share, block.delegation.partitions) == ("part", 2)
    assert block.delegation.words == "on LiteRT's own kernels: 2 LOG"
    with pytest.raises(Unsupported, match="on the CPU stay 2 LOG"):
        board.run(model, {"x": x}, require_full_delegation=True)


def lstm(path: Path) -> Path:
    """A unidirectional LSTM, whose state lies in variable tensors: x [1, 1, 4] → [1, 1, 3]."""
    net = networks.Network()
    x = net.input("x", (1, 1, 4))
    into = [net.constant(f"i{gate}", networks.weights(3, 4, seed=gate)) for gate in range(4)]
    again = [net.constant(f"r{gate}", networks.weights(3, 3, seed=9 + gate)) for gate in range(4)]
    biases = [net.constant(f"b{gate}", np.zeros(3, np.float32)) for gate in range(4)]
    states = [net.tensor(name, (1, 3), variable=True) for name in ("h", "c")]
    inputs = [x, *into, *again, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    y = net.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        (1, 1, 3),
        name="y",
        kind="UnidirectionalSequenceLSTMOptions",
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
        cellClip=0.0,
        projClip=0.0,
        timeMajor=False,
    )
    return net.save(path, y)


def test_a_state_is_forgotten_between_samples(board: Board, tmp_path: Path) -> None:
    one = np.random.default_rng(5).standard_normal((1, 1, 1, 4)).astype(np.float32)
    inputs = {"x": np.concatenate([one, one, one])}
    _, out = board.run(lstm(tmp_path / "l.tflite"), inputs, mode="outputs")
    seen = np.load(out / "outputs.npz")["y"]
    assert seen.any()
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


@pytest.mark.parametrize("batch", [1, 5])
def test_inputs_define_a_dynamic_shape_of_onnx(board: Board, tmp_path: Path, batch: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, batch, 16)).astype(np.float32)
    model = matmul(tmp_path / "m.onnx")
    block, out = board.run(model, {"x": x}, mode="outputs")
    assert block.runtime.startswith("onnxruntime ")
    seen = np.load(out / "outputs.npz")["y"]
    assert seen.shape == (3, batch, 4)
    np.testing.assert_allclose(seen.sum(-1), 1, rtol=1e-5)


def test_inputs_define_the_shape_of_a_tflite_file(board: Board, tmp_path: Path) -> None:
    model = networks.element_wise(tmp_path / "e.tflite", "ABS")
    _, out = board.run(model, {"x": np.ones((2, 3, 12), np.float32)}, mode="outputs")
    seen = next(iter(np.load(out / "outputs.npz").values()))
    assert seen.shape == (2, 3, 12)


def test_arrays_that_openvino_uses_again_are_copied(board: Board, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 1, 16)).astype(np.float32)
    x[:, 0, 0] = [0, 1, 2, 3]
    model = tmp_path / "d.onnx"
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16]) for name in ("x", "y")]
    onnx_file(model, [helper.make_node("Neg", ["x"], ["y"])], info[:1], info[1:])
    ov.save_model(ov.convert_model(model), tmp_path / "d.xml")
    _, out = board.run(tmp_path / "d.xml", {"x": x}, mode="outputs")
    np.testing.assert_array_equal(np.load(out / "outputs.npz")["y"], -x)


def test_odd_dtypes_and_not_a_number_come_through(board: Board, tmp_path: Path) -> None:
    dtypes = {"i": TensorProto.INT64, "b": TensorProto.BOOL, "f": TensorProto.FLOAT, "s": TensorProto.DOUBLE}
    shapes: dict[str, list[int]] = {"i": [2], "b": [2], "f": [2], "s": []}
    inputs = [helper.make_tensor_value_info(name, code, shapes[name]) for name, code in dtypes.items()]
    outputs = [helper.make_tensor_value_info(f"{name}o", code, shapes[name]) for name, code in dtypes.items()]
    nodes = [
        helper.make_node("Add", ["i", "i"], ["io"]),
        helper.make_node("Not", ["b"], ["bo"]),
        helper.make_node("Log", ["f"], ["fo"]),
        helper.make_node("Neg", ["s"], ["so"]),
    ]
    given = {
        "i": np.array([[2**40, -1]]),
        "b": np.array([[True, False]]),
        "f": np.array([[-1, 0]], np.float32),
        "s": np.array([1.5]),
    }
    model = onnx_file(tmp_path / "o.onnx", nodes, inputs, outputs)
    _, out = board.run(model, given, mode="outputs")
    seen = np.load(out / "outputs.npz")
    np.testing.assert_array_equal(seen["io"], given["i"] * 2)
    np.testing.assert_array_equal(seen["bo"], ~given["b"])
    np.testing.assert_array_equal(seen["fo"], np.array([[np.nan, -np.inf]], np.float32))
    np.testing.assert_array_equal(seen["so"], [-1.5])
    block, _ = board.run(model, given)
    assert block.latency is not None


def busy(path: Path) -> Path:
    """x [1, 64, 64, 8] → convolution → dense [1, 8]: tens of microseconds each, as LiteRT tells whole ones."""
    net = networks.Network()
    x = net.input("x", (1, 64, 64, 8))
    kernel, bias = net.constant("k", networks.weights(8, 3, 3, 8)), net.constant("b", networks.weights(8, 1).ravel())
    x = net.operator(
        "CONV_2D", [x, kernel, bias], (1, 64, 64, 8), kind="Conv2DOptions", padding=networks.SAME,
        strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1,
    )  # fmt: skip
    x = net.operator(
        "RESHAPE", [x, net.constant("s", np.array([1, 1 << 15], np.int32))], (1, 1 << 15), kind="ReshapeOptions",
        newShape=[1, 1 << 15],
    )  # fmt: skip
    dense, bias = net.constant("d", networks.weights(8, 1 << 15)), net.constant("e", networks.weights(8, 1).ravel())
    return net.save(
        path, net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 8), kind="FullyConnectedOptions")
    )  # fmt: skip


def test_operators_of_litert_are_kernels_with_times(board: Board, tmp_path: Path) -> None:
    model, x = busy(tmp_path / "b.tflite"), np.ones((1, 1, 64, 64, 8), np.float32)
    block, _ = board.run(model, {"x": x}, mode="operators")
    assert {row.runs_on for row in block.operators} == {"xnnpack"}
    kinds = " ".join(row.kind for row in block.operators if row.mean_ms > 0)
    assert "Convolution" in kinds
    assert "Fully Connected" in kinds
    assert len({row.name for row in block.operators}) == len(block.operators)
    assert block.latency is None  # never mixed with latencies


def test_without_xnnpack_litert_times_no_operators(board: Board, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="times operators of XNNPACK"):
        board.run(networks.classifier(tmp_path / "c.tflite"), {"image": IMAGE}, mode="operators", delegate="none")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_operators_of_the_others(board: Board, tmp_path: Path, suffix: str) -> None:
    model = matmul(tmp_path / "m.onnx") if suffix == ".onnx" else xml(tmp_path / "m.xml")
    block, out = board.run(model, {"x": np.ones((1, 1, 16), np.float32)}, mode="operators")
    kinds = {row.kind.lower() for row in block.operators}
    # Runtimes tell whole microseconds: of operators this small one or the other may be missing.
    assert kinds & {"matmul", "fullyconnected", "fusedmatmul", "gemm", "softmax"}, block.operators
    assert sum(row.mean_ms for row in block.operators) > 0
    assert not list(out.glob("onnxruntime*"))


@pytest.mark.parametrize("name", ["m.tflite", "m.onnx", "m.xml"])
def test_a_broken_file_is_refused(board: Board, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no network")
    with pytest.raises(Unsupported) as caught:
        board.run(tmp_path / name, {"x": np.ones((1, 4), np.float32)})
    assert caught.value.fix


def test_wrong_inputs_are_the_users(board: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    with pytest.raises(InputError, match="lack image"):
        board.run(model, {"picture": IMAGE})
    with pytest.raises(InputError, match="do not fit"):
        board.run(model, {"image": IMAGE.astype(np.int8)})
    with pytest.raises(InputError, match="no samples"):
        board.run(model, {"image": IMAGE[:0]})


def test_a_gpu_is_no_library_here_and_a_missing_library_is_named(board: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    with pytest.raises(Unsupported, match="gpu is no library"):
        board.run(model, {"image": IMAGE}, delegate="gpu")
    with pytest.raises(MissingTool, match=r"libnone\.so"):
        board.run(model, {"image": IMAGE}, delegate="edgetpu", library="libnone.so")


def test_pinned_and_with_threads(board: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    block, _ = board.run(model, {"image": IMAGE}, threads=2, cores=(0,))
    assert block.latency is not None
    with pytest.raises(InputError, match="no such cores"):
        board.run(model, {"image": IMAGE}, cores=(4000,))


def test_a_look_sees_this_environment(board: Board) -> None:
    seen = board.look()
    assert seen.python == sys.version.split()[0]
    assert {"ai-edge-litert", "onnxruntime", "openvino", "tensorflow"} <= set(seen.runtimes)
    assert seen.problems == ()
    assert seen.cores >= 1


def test_a_run_is_bounded_by_runs_too(board: Board, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "c.tflite")
    block, _ = board.run(model, {"image": IMAGE}, min_runs=3, max_runs=3, min_s=5.0)
    assert block.latency is not None
    assert block.latency.runs == 3
    assert Run().max_runs > 3
