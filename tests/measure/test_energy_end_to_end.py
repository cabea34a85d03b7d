"""The whole way once: a sensor that counts, the real runner that samples it in processes, the meter, the energy."""

import json
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import runner
from edgekit.measure.energy import energy, windows
from edgekit.meters.rapl import Rapl
from edgekit.nouns.profile import Block, Deployment, Run
from edgekit.nouns.sensing import PowerTrace, Probe
from tests.meters.sensor_trees import LOCAL, execute, probe_of, rapl, run_block

LIMIT = 40_000_000
"""µJ: the counter wraps in most blocks."""


class Package(threading.Thread):
    """A processor whose counters run, at a power that follows what it is told."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.watts, self.stop = 3.0, threading.Event()
        self.late_s = 0.0  # how late this thread renewed its counters at worst: a processor's do it every ms
        here = root / "sys/class/powercap"
        self._files = [here / "intel-rapl:0/energy_uj", here / "intel-rapl:0:2/energy_uj"]

    def run(self) -> None:
        last, joules = time.monotonic(), 0.0
        while not self.stop.wait(0.002):
            now = time.monotonic()
            self.late_s = max(self.late_s, now - last)
            joules, last = joules + self.watts * (now - last), now
            for file, share in zip(self._files, (1.0, 0.25), strict=True):  # DRAM takes a quarter as much
                aside = file.with_suffix(".new")
                aside.write_text(f"{int(joules * share * 1e6) % LIMIT}\n")
                aside.replace(file)  # a reader of sysfs never sees half a number


def network(folder: Path) -> tuple[Path, Path]:
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "m.onnx")
    np.savez(folder / "inputs.npz", x=np.ones((1, 1, 64), np.float32))
    return folder / "m.onnx", folder / "inputs.npz"


def block(folder: Path, root: Path, run: Run, model: Path, inputs: Path) -> tuple[Block, PowerTrace]:
    """One block and what the meter makes of its samples."""
    told, sensed = run_block(folder, root, run, Deployment(place=str(folder), model=str(model), inputs=str(inputs)))
    assert run.probe is not None
    return told, Rapl().stop(run.probe, sensed)


@pytest.mark.study
@pytest.mark.slow
def test_a_fake_rapl_beside_the_real_runner_gives_the_right_joules(tmp_path: Path) -> None:
    root = rapl(tmp_path / "root", energy_uj=0, limit=LIMIT)
    model, inputs = network(tmp_path)
    probe: Probe = probe_of(Rapl().available(LOCAL, execute(Rapl().look(LOCAL), root)))
    assert (
        json.loads(runner.order(Deployment(place="", model="", inputs=""), Run(probe=probe), ""))["probe"]["interval_s"]
        == 0.1
    )
    load = Run(probe=probe, warm_up_runs=3, warm_up_s=0.1, min_s=1.5, max_s=5.0, min_runs=10, max_runs=10_000_000)
    rest = msgspec.structs.replace(load, mode="idle", idle_s=1.5)
    for attempt in range(3):  # a machine that stands still for a moment lets its counters stand still too
        folder, package = tmp_path / f"attempt-{attempt}", Package(root)
        folder.mkdir()
        package.start()
        try:
            before = block(folder / "before", root, rest, model, inputs)
            package.watts = 20.0
            blocks = [block(folder / f"block-{i}", root, load, model, inputs) for i in range(6)]
            package.watts = 3.0
            after = block(folder / "after", root, rest, model, inputs)
        finally:
            package.stop.set()
            package.join()
        if package.late_s < 0.1:
            break
    told = energy(blocks, [before, after])
    seconds = sum(b.end_s - b.begin_s for b, _ in blocks)
    runs = sum(b.latency.runs for b, _ in blocks if b.latency is not None)
    gross_mj, net_mj = (watts * 1.25 * seconds / runs * 1e3 for watts in (20.0, 17.0))
    assert set(told.rails) == {"package-0", "dram-0"}
    assert not [note for note in told.notes if note.startswith("block ")]
    assert told.gross_mj.low <= gross_mj <= told.gross_mj.high
    assert told.net_mj.low <= net_mj <= told.net_mj.high
    assert told.net_mj.value == pytest.approx(net_mj, rel=0.05)
    for (each, _), seen in zip(blocks, windows(blocks), strict=True):
        truth = 20.0 * 1.25 * (each.end_s - each.begin_s)
        assert abs(seen.joules - truth) <= seen.half_width_j + 25.0 * package.late_s
        assert seen.half_width_j < 0.2 * truth
    assert package.late_s < 0.2
    assert told.idle_power_w == pytest.approx(3.0 * 1.25, rel=0.05)
