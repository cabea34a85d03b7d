"""What every leaf of `edgekit.drivers` promises, tried on a device of its kind."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import runner
from edgekit.engine.worker import Worker
from edgekit.errors import DeviceError, EdgekitError
from edgekit.nouns.profile import Block, Deployment, Device, Run
from edgekit.waist.run import Interpreter
from tests.drivers.benches import LEAVES, Bench, bench_of, network


class Session:
    """A leaf in a worker process, a device of its kind, and a network."""

    def __init__(self, leaf: str, bench: Bench, folder: Path) -> None:
        self.leaf, self.bench, self.folder = leaf, bench, folder
        self.artifact, self.inputs = network(folder)
        if bench.artifact is not None and bench.inputs is not None:
            self.artifact, self.inputs = bench.artifact, bench.inputs
        self.worker = Worker(folder / "log.txt")
        found: tuple[Device, ...] = self("find", configured=bench.configured)
        self.device = next(device for device in found if device.id == bench.id)

    def __call__(self, method: str, **arguments: Any) -> Any:
        return self.worker.call("drivers", self.leaf, method, **arguments)

    def open(self, place: str = "") -> Deployment:
        given = {"artifact": self.artifact, "inputs": self.inputs, "run": self.bench.run}
        deployment: Deployment = self("open", device=self.device, place=place or runner.place_name(1), **given)
        return deployment

    def run(self, deployment: Deployment, name: str, **changes: Any) -> tuple[Block, Path]:
        out = self.folder / name
        out.mkdir()
        run: Run = msgspec.structs.replace(self.bench.run, **changes)
        block: Block = self("run", device=self.device, deployment=deployment, run=run, out=out)
        return block, out

    def close(self, deployment: Deployment) -> None:
        self("close", device=self.device, deployment=deployment)

    def kill(self) -> None:
        """End the worker as a kill would; the next call starts another."""
        self.worker.close()


@pytest.fixture(scope="module", params=LEAVES)
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    bench = bench_of(request.param)
    if bench is None:
        pytest.fail(f"there is no tests/drivers/bench_{request.param}.py")
    with bench(tmp_path_factory.mktemp("bench")) as made:
        opened = Session(request.param, made, tmp_path_factory.mktemp("conformance"))
        with opened.worker:
            yield opened


@pytest.fixture(autouse=True)
def clean(session: Session) -> Iterator[None]:
    """Whatever happens in a test, nothing of it stays on the device."""
    before = session.bench.left()
    yield
    assert session.bench.left() == before


def test_found_and_described(session: Session) -> None:
    assert session.device.kind == session.leaf
    assert session.device.title
    assert session.device.usable, session.device.problems
    assert session.artifact.suffix in session.device.runs
    assert session.device.runtimes


def test_a_state_has_a_time(session: Session) -> None:
    state = session("state", device=session.device)
    assert datetime.fromisoformat(state.utc).tzinfo is not None


def test_a_shell_answers_or_says_that_there_is_none(session: Session) -> None:
    first, second = session("execute", device=session.device, lines=("echo a; echo b >&2", "exit 3"))
    if first.code == 127:
        assert second.code == 127
    else:
        assert (first.code, first.stdout.strip(), first.stderr.strip()) == (0, "a", "b")
        assert second.code == 3


def test_a_block_holds_what_was_seen(session: Session) -> None:
    deployment = session.open()
    try:
        if not session.device.times:
            pytest.skip(f"{session.leaf} proves outputs, and gives no times")
        block, out = session.run(deployment, "time")
    finally:
        session.close(deployment)
    assert block.latency is not None
    assert block.latency.runs > 0
    assert 0 < block.latency.min_ms <= block.latency.mean_ms <= block.latency.max_ms
    assert block.end_s > block.begin_s
    assert block.runtime
    if block.latencies is not None:
        latencies = np.load(out / block.latencies)
        assert latencies.dtype == np.float64
        assert latencies.shape == (block.latency.runs // block.latency.inferences_per_reading,)
        assert latencies.mean() == pytest.approx(block.latency.mean_ms)


def test_outputs_are_those_of_this_host(session: Session) -> None:
    deployment = session.open()
    try:
        if not session.bench.computes:
            pytest.skip(f"the bench of {session.leaf} replays recorded answers")
        block, out = session.run(deployment, "outputs", mode="outputs")
    finally:
        session.close(deployment)
    assert block.outputs is not None
    given = np.load(session.inputs)
    made = Interpreter(model_path=str(session.artifact))
    made.allocate_tensors()
    expected: list[Any] = []
    for i in range(len(next(iter(given.values())))):
        for detail in made.get_input_details():
            made.set_tensor(detail["index"], given[detail["name"]][i])
        made.invoke()
        expected.append({d["name"]: made.get_tensor(d["index"]) for d in made.get_output_details()})
    with np.load(out / block.outputs) as seen:
        assert set(seen.files) == set(expected[0])
        for name in seen.files:
            np.testing.assert_allclose(seen[name], np.stack([row[name] for row in expected]), rtol=1e-4, atol=1e-5)


def test_closing_leaves_nothing_and_may_be_done_twice(session: Session) -> None:
    before = session.bench.left()
    deployment = session.open()
    assert session.bench.left() != before
    session.close(deployment)
    assert session.bench.left() == before
    session.close(deployment)


def test_a_failed_opening_leaves_nothing(session: Session) -> None:
    session.artifact, kept = session.artifact.with_name("gone.tflite"), session.artifact
    try:
        with pytest.raises(EdgekitError):
            session.open()
    finally:
        session.artifact = kept
    place = runner.place_name(1)
    session.close(Deployment(place=place, model=f"{place}/gone.tflite", inputs=f"{place}/inputs.npz"))


def test_an_opening_that_was_interrupted_is_closed_by_its_name_alone(session: Session) -> None:
    before = session.bench.left()
    place = runner.place_name(1)
    session.open(place)
    session.kill()
    session.close(Deployment(place=place, model="", inputs=""))
    assert session.bench.left() == before


def test_a_fresh_process_closes_what_a_killed_one_opened(session: Session) -> None:
    before = session.bench.left()
    deployment = session.open()
    session.kill()
    session.close(deployment)
    assert session.bench.left() == before


def test_a_fresh_process_runs_what_a_killed_one_opened(session: Session) -> None:
    deployment = session.open()
    session.kill()
    mode = "time" if session.device.times else "outputs"
    block, _ = session.run(deployment, "fresh", mode=mode)
    session.close(deployment)
    assert block.latency is not None or block.outputs is not None


def test_what_a_dead_run_left_is_swept_at_the_next_opening(session: Session) -> None:
    before = session.bench.left()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    place = runner.place_name(1).rsplit("-", 2)[0] + f"-{int(dead.stdout)}-7"
    session.open(place)
    session.kill()
    assert any(place in name for name in session.bench.left())
    deployment = session.open()
    assert not any(place in name for name in session.bench.left())
    session.close(deployment)
    assert session.bench.left() == before


def test_what_is_called_as_the_new_place_is_cleared_away(session: Session) -> None:
    before = session.bench.left()
    session.open()
    session.kill()  # and the next process of this host gets its number, as in a container that is started anew
    deployment = session.open()
    session.close(deployment)
    assert session.bench.left() == before


def test_a_run_after_closing_says_what_is_wrong(session: Session) -> None:
    deployment = session.open()
    session.close(deployment)
    with pytest.raises((DeviceError, EdgekitError)) as caught:
        session.run(deployment, "closed")
    assert caught.value.fix
