"""What the host writes and reads: companions, places, limits, answers."""

import ast
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import runner
from edgekit.errors import DeviceError, InputError, MissingTool, Unsupported
from edgekit.nouns.profile import Deployment, Device, Run

BOARD = sorted((Path(runner.__file__).parent / "board").glob("*.py"))


@pytest.mark.parametrize("path", BOARD, ids=lambda path: path.name)
def test_the_board_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf8"), feature_version=(3, 9))


@pytest.mark.parametrize("path", BOARD, ids=lambda path: path.name)
def test_the_board_knows_nothing_of_edgekit(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith(("edgekit", "msgspec"))]
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert not (node.module or "").startswith(("edgekit", "msgspec"))


def test_the_packed_file_is_the_same_for_the_same_code() -> None:
    packed = runner.program()
    runner.program.cache_clear()
    assert runner.program() == packed
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert {Path(name).name for name in file.namelist() if "/" in name} == {path.name for path in BOARD}


def external(path: Path, *locations: str) -> Path:
    """An ONNX file whose weights lie in other files."""
    weights = []
    for i, location in enumerate(locations):
        tensor = onnx.numpy_helper.from_array(np.full(300, i, np.float32), f"w{i}")
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / location).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        weights.append(tensor)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [300])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [300])
    node = onnx.helper.make_node("Sum", ["x", *(w.name for w in weights)], ["y"])
    graph = onnx.helper.make_graph([node], "g", [x], [y], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_file_takes_the_files_that_it_names(tmp_path: Path) -> None:
    long = "w" * 150 + ".bin"  # a length of two bytes
    model = external(tmp_path / "m.onnx", "a.data", "sub/b.bin", long)
    (tmp_path / "other.data").write_bytes(b"not named")
    assert set(runner.companions(model)) == {"m.onnx", "a.data", "sub/b.bin", long}


def test_names_outside_the_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    model = external(tmp_path / "in" / "m.onnx", "../secret.bin")
    assert set(runner.companions(model)) == {"m.onnx"}
    model = external(tmp_path / "in" / "n.onnx", str(tmp_path / "absolute.bin"))
    assert set(runner.companions(model)) == {"n.onnx"}


def test_an_xml_takes_its_bin_and_others_go_alone(tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin", "m.tflite"):
        (tmp_path / name).write_bytes(b"x")
    assert set(runner.companions(tmp_path / "m.xml")) == {"m.xml", "m.bin"}
    assert set(runner.companions(tmp_path / "m.tflite")) == {"m.tflite"}
    (tmp_path / "m.bin").unlink()
    assert set(runner.companions(tmp_path / "m.xml")) == {"m.xml"}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_for_names(content: bytes) -> None:
    found = runner._external(b"\x0a\x08location\x12" + content)
    assert all(isinstance(name, str) for name in found)


def test_a_place_is_abandoned_when_its_process_is_dead() -> None:
    own = runner.place_name(3)
    assert own.startswith("edgekit-")
    assert own.endswith(f"-{os.getpid()}-3")
    assert not runner.abandoned(own)
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    head = own.rsplit("-", 2)[0]
    assert runner.abandoned(f"{head}-{int(done.stdout)}-0")
    assert not runner.abandoned(f"edgekit-another_host-{int(done.stdout)}-0")
    assert not runner.abandoned(f"edgekit-{int(done.stdout)}")
    assert not runner.abandoned("photos-1-1")
    assert runner.abandoned(f"{head}-{10**30}-0")  # no process has such a number


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells here when a process started")
def test_a_process_that_got_a_dead_ones_number_does_not_keep_its_place() -> None:
    own = runner.place_name(3)
    assert runner.owner(own) == runner.born(os.getpid()) != ""
    assert not runner.abandoned(own, runner.owner(own))
    assert runner.abandoned(own, "1")
    assert not runner.abandoned("edgekit-another_host-1-0", "1")


def test_only_a_living_process_has_a_start() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert runner.born(process.pid) is None
    assert runner.owner(runner.place_name(0).replace(str(os.getpid()), str(process.pid))) == ""
    assert runner.owner("photos-1-1") == ""


def test_a_suffix_runs_where_one_of_its_runtimes_is() -> None:
    assert runner.runs(["openvino"]) == (".xml", ".onnx")
    assert runner.runs({"tensorflow": "2", "onnxruntime": "1"}) == (".tflite", ".onnx")
    assert runner.runs(["unheard-of"]) == ()


@given(st.text(max_size=60))
def test_no_name_of_others_is_abandoned(name: str) -> None:
    assert not runner.abandoned(f"holiday{name}")


def test_a_block_gets_more_time_than_its_loops_take() -> None:
    run = Run(warm_up_s=5, max_s=60)
    assert runner.limit_s(run) > 60 + 3 * 5 + 60
    assert runner.limit_s(msgspec.structs.replace(run, mode="idle", idle_s=1000.0)) > 1000
    assert runner.limit_s(msgspec.structs.replace(run, mode="outputs")) > runner.OUTPUTS_S


def test_an_order_holds_what_the_board_reads() -> None:
    deployment = Deployment(place="p", model="m.tflite", inputs="i.npz", library="l.so")
    plain: dict[str, Any] = json.loads(runner.order(deployment, Run(cores=(1,)), "out"))
    assert plain["model"] == "m.tflite"
    assert plain["library"] == "l.so"
    assert plain["cores"] == [1]
    assert plain["out"] == "out"


@pytest.mark.parametrize(
    ("code", "words"),
    [(-signal.SIGSEGV, "by SIGSEGV"), (128 + signal.SIGABRT, "by SIGABRT"), (1, "with code 1"), (-64, "by SIGRTMAX")],
)
def test_a_death_names_its_signal(code: int, words: str) -> None:
    with pytest.raises(Unsupported, match=words) as caught:
        runner.block(b"", code=code, place="m on b", last_words="first\ncorrupted size vs. prev_size\n")
    assert "corrupted size" in caught.value.problem
    assert caught.value.place == "m on b"


def test_a_kill_speaks_of_memory() -> None:
    with pytest.raises(Unsupported) as caught:
        runner.block(b"", code=-9, place="m")
    assert "memory" in caught.value.fix
    assert "printed nothing" in caught.value.problem


@pytest.mark.parametrize(
    ("remedy", "kind"),
    [("MissingTool", MissingTool), ("Unsupported", Unsupported), ("InputError", InputError), ("Odd", DeviceError)],
)
def test_errors_come_across(remedy: str, kind: type[Exception]) -> None:
    answer = json.dumps({"error": {"remedy": remedy, "problem": "p", "place": "", "fix": "f"}}).encode()
    with pytest.raises(kind, match="p"):
        runner.block(answer, code=0, place="here")


def test_a_nonsensical_look_is_the_devices_fault() -> None:
    with pytest.raises(DeviceError, match="does not answer as it should"):
        runner.seen(b"Welcome to the board!\n", "board")


def test_a_description_lists_what_its_runtimes_run() -> None:
    state = {"utc": "2026-01-01T00:00:00+00:00"}
    plain = {"python": "3.9", "os": "o", "cpu": None, "abi": "a", "cores": 4, "problems": ["p"], "state": state}
    seen = msgspec.convert({**plain, "runtimes": {"tflite-runtime": "2.14.0", "onnxruntime": "1"}}, runner.MachineSeen)
    device = runner.described(Device(id="b", kind="ssh", title="t", problems=("q",)), seen)
    assert device.runs == (".tflite", ".onnx")
    assert device.problems == ("q", "p")
    assert device.cores == 4


def test_a_missing_runtime_comes_with_the_line_that_installs_one() -> None:
    assert runner.missing(".tflite", "b", "/usr/bin/python3").fix == "/usr/bin/python3 -m pip install ai-edge-litert"
    assert "openvino" in runner.missing(".xml", "b").fix
    assert runner.missing(".onnx", "b").fix.endswith("pip install onnxruntime")
