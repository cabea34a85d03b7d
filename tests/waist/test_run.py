from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.waist import run
from tests import networks


def counter(path: Path) -> Path:
    """A network with state: its output is the running sum of its inputs."""
    net = networks.Network()
    x = net.input("x", (1, 1, 2))
    same = net.constant("same", np.eye(2, dtype=np.float32))
    bias = net.constant("bias", np.zeros(2, np.float32))
    state = net.tensor("state", (1, 2), variable=True)
    total = net.operator(
        "UNIDIRECTIONAL_SEQUENCE_RNN", [x, same, same, bias, state], (1, 1, 2), name="total", kind="SequenceRNNOptions"
    )
    return net.save(path, total)


def test_samples_are_stacked_under_the_files_names(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    inputs = {"image": networks.weights(3, 1, 8, 8, 3)}
    found = run.run(path, inputs)
    assert found.keys() == {"probabilities"}
    assert found["probabilities"].shape == (3, 1, 5)
    assert found["probabilities"].sum(-1) == pytest.approx(1, abs=1e-5)
    single = run.run(path, {"image": inputs["image"][1:2]})["probabilities"]
    assert np.array_equal(single[0], found["probabilities"][1])


def test_state_lives_from_sample_to_sample_as_in_an_app(tmp_path: Path) -> None:
    path = counter(tmp_path / "net.tflite")
    inputs = {"x": np.arange(6, dtype=np.float32).reshape(3, 1, 1, 2)}
    for _ in range(2):  # and every call begins anew
        assert run.run(path, inputs)["total"].tolist() == inputs["x"].cumsum(0).tolist()


def test_two_inputs_reach_their_tensors_by_name(tmp_path: Path) -> None:
    net = networks.Network()
    a, b = net.input("a", (2,)), net.input("b", (2,))
    path = net.save(tmp_path / "net.tflite", net.operator("SUB", [a, b], (2,), name="out", kind="SubOptions"))
    inputs = {"b": np.ones((1, 2), np.float32), "a": np.full((1, 2), 5, np.float32)}
    assert run.run(path, inputs)["out"].tolist() == [[4, 4]]


def test_kept_tensors_can_be_read_and_others_are_none(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    made = run.interpreter(path, keep_tensors=True)
    made.set_tensor(made.get_input_details()[0]["index"], networks.weights(1, 8, 8, 3))
    run.invoke(made, path)
    hidden = run.value(made, 3)
    assert hidden is not None
    assert hidden.shape == (1, 8, 8, 16)
    assert hidden.min() == 0  # after the ReLU
    assert run.value(made, 0) is not None


def test_the_delegate_changes_next_to_nothing(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    results = []
    for delegate in (True, False):
        made = run.interpreter(path, kernels="" if delegate else "builtin")
        made.set_tensor(made.get_input_details()[0]["index"], networks.weights(1, 8, 8, 3))
        run.invoke(made, path)
        results.append(made.get_tensor(made.get_output_details()[0]["index"]))
    assert results[0] == pytest.approx(results[1], abs=1e-6)


def test_an_operator_that_no_interpreter_has(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.operator("CUSTOM", [net.input("x", (2,))], (2,))
    net.model.operatorCodes[0].customCode = b"ONNX_LSTM"
    path = net.save(tmp_path / "net.tflite", x)
    with pytest.raises(Unsupported, match="ONNX_LSTM") as caught:
        run.interpreter(path)
    assert caught.value.place == str(path)
    assert "Traceback" not in str(caught.value)


def test_an_operator_that_fails_while_running(tmp_path: Path) -> None:
    net = networks.Network()
    table = net.constant("table", networks.weights(3, 2))
    path = net.save(
        tmp_path / "net.tflite",
        net.operator("GATHER", [table, net.input("ids", (1,), "int32")], (1, 2), kind="GatherOptions", axis=0),
    )
    assert run.run(path, {"ids": np.array([[2]], np.int32)})["gather_0"].shape == (1, 1, 2)
    with pytest.raises(Unsupported, match=r"cannot run net\.tflite"):
        run.run(path, {"ids": np.array([[7]], np.int32)})


def test_no_file_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"cannot load nothing\.tflite"):
        run.interpreter(tmp_path / "nothing.tflite")


def test_threads_are_those_that_the_process_may_use() -> None:
    assert run.host_threads() >= 1
