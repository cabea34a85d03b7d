"""The shell lines of a block and how their outcome is read: clocks, codes, flags, raw inputs and outputs."""

import contextlib
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.drivers.adb import block, feeding
from edgekit.drivers.adb.feeding import Boundary, FedTensor
from edgekit.errors import DeviceError, MissingTool, Unsupported
from edgekit.nouns.profile import Distribution, Run
from tests import networks

LOG = """10.00 INFO: STARTING!
10.50 INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
11.00 INFO: count=5 first=100000 curr=100000 min=90000 max=110000 avg=100000 std=1
11.00
11.01 INFO: Running benchmark for at least 20 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
13.02 INFO: count=20 first=100000 curr=100000 min=90000 max=110000 avg=100000 std=1
13.05 INFO: Timings (microseconds): count=20 first=1 curr=1 min=1 max=1 avg=1 std=0
"""
TWENTY = Distribution(runs=20, mean_ms=100.0, min_ms=90.0, max_ms=110.0)


def seen(log: str = LOG, said: str = "9.90 13.20 0\n") -> block.Ended:
    return block.ended(said, log, place="phone")


def test_the_timed_loop_lies_between_its_own_lines() -> None:
    assert block.bounds(seen(), TWENTY) == (11.01, 13.02, ())


def test_lines_that_came_out_of_a_buffer_tell_no_time() -> None:
    log = "\n".join("13.19 " + line.partition(" ")[2] for line in LOG.splitlines())
    begin_s, end_s, (note,) = block.bounds(seen(log), TWENTY)
    assert (begin_s, end_s) == (pytest.approx(11.2), 13.2)
    assert "reckoned" in note


def test_a_phone_that_slept_is_remarked_on() -> None:
    log = LOG.replace("13.02", "19.02").replace("13.05", "19.05")
    begin_s, end_s, (note,) = block.bounds(seen(log, "9.90 19.20 0"), TWENTY)
    assert (begin_s, end_s) == (11.01, 19.02)
    assert note == "the timed loop took 8.0 s for 2.0 s of inferences: the phone slept or was busy"


def test_a_clock_that_runs_backwards_is_a_new_start() -> None:
    with pytest.raises(DeviceError, match="started anew in the middle of a block"):
        seen(said="99.00 3.20 0")


@pytest.mark.parametrize("said", ["", "sh: no space left on device", "12.0", "12.0 13.0 x"])
def test_a_script_that_did_not_end_is_no_block(said: str) -> None:
    with pytest.raises(DeviceError, match="did not run to its end"):
        seen(said=said)


@given(st.text(), st.text())
def test_any_log_is_read_or_refused(said: str, log: str) -> None:
    with contextlib.suppress(DeviceError):
        begin_s, end_s, _ = block.bounds(block.ended(said, log, place="phone"), TWENTY)
        assert begin_s <= end_s


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (126, "sh: ./benchmark_model: not executable: 32-bit ELF file", MissingTool, "cannot be started"),
        (139, "INFO: Loaded model", Unsupported, "died \\(signal 11\\)"),
        (
            1,
            "ERROR: Failed to apply GPU delegate.",
            Unsupported,
            "failed \\(exit code 1\\): ERROR: Failed to apply GPU",
        ),
        (1, "ERROR: Disallowed CPU fallback detected.", Unsupported, "all of it was required"),
    ],
)
def test_why_a_tool_failed(code: int, text: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        block.check(block.Ended(0, 1, code, text), Run(delegate="gpu", require_full_delegation=True), place="phone")


def test_flags_of_a_timed_block() -> None:
    flags = block.flags("classic", Run(threads=4, min_s=6, max_s=60), "/m", "/r")
    assert "--num_threads=4" in flags
    assert "--num_runs=103" in flags
    assert "--min_secs=6" in flags
    assert "--max_secs=60" in flags
    assert "--warmup_runs=10" in flags
    assert "--warmup_min_secs=5" in flags
    assert "--use_xnnpack=true" in flags


def test_outputs_come_from_one_run_without_warm_up() -> None:
    flags = block.flags("classic", Run(mode="outputs"), "/m", "/r")
    assert {"--num_runs=1", "--min_secs=0", "--warmup_runs=0", "--warmup_min_secs=0"} <= set(flags)


def test_litert_own_tool_insists_by_itself() -> None:
    flags = block.flags("litert", Run(delegate="gpu", require_full_delegation=True), "/m", "/r")
    assert {"--use_gpu=true", "--use_cpu=false", "--require_full_delegation=true"} <= set(flags)
    assert "--require_full_delegation=true" not in block.flags(
        "classic", Run(delegate="gpu", require_full_delegation=True), "/m", "/r"
    )


@pytest.mark.parametrize(("generation", "delegate"), [("classic", "edgetpu"), ("litert", "none"), ("litert", "nnapi")])
def test_a_delegate_that_a_tool_does_not_have(generation: block.Generation, delegate: str) -> None:
    with pytest.raises(Unsupported, match=f"no delegate {delegate}"):
        block.flags(generation, Run(delegate=delegate), "/m", "/r")  # type: ignore[arg-type]


def test_cores_are_pinned_by_a_mask_in_hexadecimal() -> None:
    (line,) = block.tool_lines("b", "/tool", ["--graph=/m o"], (4, 5, 6, 7))
    assert "sh taskset f0 /tool '--graph=/m o'" in line
    (line,) = block.tool_lines("b", "/tool", [], ())
    assert "taskset" not in line
    assert shlex.split(line)


def test_inputs_and_outputs_in_the_order_of_the_graph(tmp_path: Path) -> None:
    of = feeding.boundary(networks.classifier(tmp_path / "m.tflite"))
    assert of == Boundary(
        (FedTensor("image", (1, 8, 8, 3), "float32"),), (FedTensor("probabilities", (1, 5), "float32"),)
    )
    assert feeding.untext({"boundary": feeding.text(of)}) == of


TWO = Boundary(
    (FedTensor("serving:0", (1, 4), "float32"), FedTensor("b", (2,), "int8")),
    (FedTensor("y", (1, 3), "int16"), FedTensor("z", (2, 2), "float32")),
)


def test_names_with_colons_are_not_handed_to_the_tool(tmp_path: Path) -> None:
    assert feeding.arguments(TWO, "/p", 3) == [
        "--input_layer=in0,in1",
        "--input_layer_shape=1,4:2",
        "--input_layer_value_files=in0:/p/3/0.bin,in1:/p/3/1.bin",
    ]
    values = np.arange(8, dtype=np.float32).reshape(2, 1, 4)
    np.savez(tmp_path / "in.npz", **{"serving:0": values, "b": np.array([[1, 2], [3, 4]], np.int8)})
    raw = feeding.raw(TWO, tmp_path / "in.npz")
    assert raw[1] == [values[1].tobytes(), b"\x03\x04"]


def test_a_scalar_cannot_be_fed() -> None:
    assert feeding.arguments(Boundary((FedTensor("x", (), "float32"),), ()), "/p", 0) == []


def test_outputs_follow_one_another() -> None:
    y, z = np.array([[1, -2, 3]], np.int16), np.array([[1, 2], [3, 4]], np.float32)
    cut = feeding.cut(TWO, y.tobytes() + z.tobytes(), place="phone")
    np.testing.assert_array_equal(cut[0], y)
    np.testing.assert_array_equal(cut[1], z)


@pytest.mark.parametrize("size", [0, 21, 23, 400])
def test_outputs_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(Unsupported, match=f"wrote {size} bytes of outputs where the file says 22"):
        feeding.cut(TWO, bytes(size), place="phone")


def test_outputs_without_a_plain_form_are_refused() -> None:
    with pytest.raises(Unsupported, match="dtype str"):
        feeding.cut(Boundary((), (FedTensor("words", (1,), "str"),)), b"", place="phone")
