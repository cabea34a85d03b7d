"""What surrounds the timed loop of a block: samples, cores, delegates and operators."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.runner.board import block, litert, loop, onnx_files
from edgekit.runner.board.refusal import Refusal


def test_samples_must_be_there_and_as_many_of_each(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz", a=np.zeros((0, 3)))
    np.savez(tmp_path / "uneven.npz", a=np.zeros((2, 3)), b=np.zeros((3, 3)))
    for name in ("empty", "uneven"):
        with pytest.raises(Refusal, match="no samples, or not as many"):
            block.samples(str(tmp_path / f"{name}.npz"))
    assert block.samples(str(tmp_path / "none.npz")) == {}  # a network without inputs


def test_no_core_no_pinning_and_a_wrong_core_is_named() -> None:
    before = os.sched_getaffinity(0)
    block.pin([])
    assert os.sched_getaffinity(0) == before
    try:
        for wrong in ([4000], [min(before), 4000], [2**31], [2**70]):
            with pytest.raises(Refusal, match=rf"no such cores: {wrong[-1]}\.") as caught:
                block.pin(wrong)
            assert caught.value.plain["place"] == "--cores"
            assert caught.value.plain["fix"] == f"choose from {', '.join(map(str, sorted(before)))}"
            os.sched_setaffinity(0, before)
        block.pin([min(before)])
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


def node(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"op_name": name, "inputs": np.array(inputs, np.int32), "outputs": np.array(outputs, np.int32)}


CHAIN = [node("CONV_2D", [0, 9], [1]), node("CUSTOM", [1], [2]), node("ADD", [2, 1], [3]), node("SOFTMAX", [3], [4])]


@pytest.mark.parametrize(
    ("partitions", "stayed"),
    [
        ([], ["CONV_2D", "CUSTOM", "ADD", "SOFTMAX"]),
        ([([0, 9], [4])], []),
        ([([0, 9], [1]), ([2, 1], [4])], ["CUSTOM"]),
        ([([2, 1], [3])], ["CONV_2D", "CUSTOM", "SOFTMAX"]),
    ],
)
def test_what_a_delegate_left(partitions: list[tuple[list[int], list[int]]], stayed: list[str]) -> None:
    nodes = CHAIN + [node("DELEGATE", *partition) for partition in partitions]
    assert litert.split(nodes) == (stayed, len(partitions))
    named = CHAIN + [node("EdgeTpuDelegateForCustomOp", *partition) for partition in partitions]
    assert litert.split(named) == (stayed, len(partitions))


def test_the_arena_is_what_joins_the_input() -> None:
    far = 10 * litert.ALIGNMENT
    assert litert.joined([], 100) is None
    assert litert.joined([(100, 200), (150, 180), (200 + 63, 400)], 150) == 300
    assert litert.joined([(far, far + 50), (100, 200)], 100) == 100
    assert litert.joined([(far, far + 50), (100, 200)], far) == 50
    assert litert.joined([(far, far + 50), (100, 200)], 5000) is None


def test_a_profile_of_onnx_runtime_counts_the_last_runs() -> None:
    def kernel(name: str, ts: int, dur: int) -> dict[str, Any]:
        args = {"op_name": "Conv", "provider": "CPUExecutionProvider"}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}

    events = [{"cat": "Session", "name": "model_run", "ts": ts, "dur": 90} for ts in (0, 100, 200)]
    events += [kernel("a", 10, 9999), kernel("a", 110, 20), kernel("a", 210, 40)]
    events += [kernel("loop", 220, 10), kernel("loop", 240, 10), kernel("loop", 120, 10), kernel("loop", 140, 10)]
    rows = {row["name"]: row for row in onnx_files.read_profile(events, 2)}
    assert rows["a"]["mean_ms"] == pytest.approx(0.02), "the calmer one of two runs"
    assert rows["a"] | {"mean_ms": 0} == {"name": "a", "kind": "Conv", "mean_ms": 0, "calls": 1, "runs_on": "CPU"}
    assert rows["loop"]["calls"] == 2
    assert rows["loop"]["mean_ms"] == pytest.approx(0.02)


def test_a_run_that_was_interrupted_tells_nothing_of_operators() -> None:
    runs = [{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 900.0}, {"a": 2.0, "b": 2.0, "rare": 4.0}]
    assert loop.calm_means(runs) == {"a": 1.5, "b": 1.5, "rare": 0.0}
    assert loop.calm_means(runs[2:3]) == {"a": 1.0, "b": 900.0}
