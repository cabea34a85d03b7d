"""The pass on digits: smaller, still right, and better once trained."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.channels import budget
from edgekit.channels.budget import Spend
from edgekit.channels.dependencies import Dependencies
from edgekit.engine import registry
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.passing import Passed, Task
from edgekit.nouns.recipe import FineTune, PruneChannels
from edgekit.waist import cost, graph, run
from tests.channels.generated import Layers
from tests.training import digits


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows its digits."""
    folder = tmp_path_factory.mktemp("digits")
    asked = digits.task(
        folder, digits.network(folder / "random.tflite", width=16), FineTune(epochs=6, rates=1), labels=True
    )
    made = registry.leaf("passes", "finetune").apply(asked, folder)
    return folder / made.file


def pruned(folder: Path, waist: Path, settings: PruneChannels, facts: dict[str, float] | None = None) -> Passed:
    (folder / "out").mkdir()
    made: Passed = registry.leaf("passes", "prune_channels").apply(
        digits.task(folder, waist, settings, facts=facts or {}), folder / "out"
    )
    return made


def test_repair_alone_keeps_what_a_network_knows(network: Path, tmp_path: Path) -> None:
    made = pruned(tmp_path, network, PruneChannels(remove=0.4))
    file = tmp_path / "out" / made.file
    assert cost.count(file).macs / cost.count(network).macs == pytest.approx(made.figures["macs_share"])
    assert 0.5 < made.figures["macs_share"] <= 0.6
    assert digits.accuracy(file) > digits.accuracy(network) - 0.05
    assert not made.epochs
    assert any("conv0" in note and "of 16" in note for note in made.notes)


@pytest.mark.study
@pytest.mark.slow
def test_rounds_with_training_between(network: Path, tmp_path: Path) -> None:
    settings = PruneChannels(remove=0.6, rounds=2, epochs=2, importance="taylor", multiple=4)
    made = pruned(tmp_path, network, settings)
    assert len(made.epochs) == 4
    assert made.figures["macs_share"] <= 0.4
    assert digits.accuracy(tmp_path / "out" / made.file) > digits.accuracy(network) - 0.1


def test_a_killed_run_goes_on_with_what_it_has_cut(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latencies are never measured alike again, and another cut would not fit what was trained."""
    settings = PruneChannels(remove=0.4, rounds=2, epochs=1, importance="l1", of="latency")
    times = iter([1.0, 3.0])
    trained, stopped = vars(importlib.import_module("edgekit.passes.prune_channels"))["_trained"], list[int]()

    def table(channels: Dependencies) -> Spend:
        """Each time other layers are slow."""
        factor, spend = next(times), budget.spend(channels, "macs")
        last = list(channels.families[-1].channels)
        return lambda rest: spend(rest) + factor * float(sum(rest.kept(np.array(last))))

    def killed(task: Task, made: Path, found: Any, out: Path, number: int) -> Passed:
        if number == 2 and not stopped:
            stopped.append(number)
            raise KeyboardInterrupt
        return trained(task, made, found, out, number)

    monkeypatch.setattr("edgekit.channels.latency.table", table)
    monkeypatch.setattr(run, "best_ms", lambda path, _=run.TIMED_S: float(cost.count(path).macs))
    monkeypatch.setattr("edgekit.passes.prune_channels._trained", killed)
    with pytest.raises(KeyboardInterrupt):
        pruned(tmp_path, network, settings)
    left = [(tmp_path / "checkpoints" / f"round{number}" / "cut.tflite").read_bytes() for number in (1, 2)]
    shutil.rmtree(tmp_path / "out")
    made = pruned(tmp_path, network, settings)  # predicts nothing: `times` has no more
    assert len(made.epochs) == 2
    assert made.figures["latency_share"] == made.figures["macs_share"]  # as it is measured here
    file = tmp_path / "out" / made.file
    assert cost.count(file).macs == cost.count(_written(tmp_path / "cut.tflite", left[1])).macs


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_stopped_a_training_is_told(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(task: Task, made: Path, found: Any, out: Path, number: int) -> Passed:
        return Passed(file=made.name, signature=task.signature, warnings=(f"stopped in round {number}",))

    monkeypatch.setattr("edgekit.passes.prune_channels._trained", stopped)
    made = pruned(tmp_path, network, PruneChannels(remove=0.4, rounds=2, epochs=1, importance="l1", repair=False))
    assert made.warnings == ("stopped in round 1", "stopped in round 2")


def test_a_fact_of_the_target_rounds_counts(network: Path, tmp_path: Path) -> None:
    made = pruned(tmp_path, network, PruneChannels(remove=0.3, importance="l2", repair=False), {"channel_multiple": 8})
    (told,) = (note for note in made.notes if note.startswith("channels left"))
    assert all(int(part.split(":")[-1].split()[0]) % 4 == 0 for part in told.removeprefix("channels left: ").split(";"))


def test_a_floor_is_of_the_channels_that_there_were_at_first(network: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="90% of the macs cannot go"):  # the first of three rounds could be had
        pruned(tmp_path, network, PruneChannels(remove=0.9, floor=0.5, rounds=3, importance="l1", repair=False))
    assert not (tmp_path / "out" / "waist.tflite").exists()


def test_what_is_left_is_told_of_all_that_there_was_at_first(network: Path, tmp_path: Path) -> None:
    made = pruned(tmp_path, network, PruneChannels(remove=0.6, importance="l1", rounds=3, repair=False))
    (told,) = (note for note in made.notes if note.startswith("channels left"))
    counts = dict(part.rsplit(": ", 1) for part in told.removeprefix("channels left: ").split("; "))
    path = tmp_path / "out" / made.file
    for name, count in counts.items():
        left, of = (
            next(t.shape[-1] for t in graph.read(file)[0].tensors if t.name == name) for file in (path, network)
        )
        assert count == f"{left} of {of}"
    assert len(counts) == 2


def test_more_than_was_asked_for_is_told(tmp_path: Path) -> None:
    layers = Layers(1, 8, 8, 1)
    x = layers.conv(layers.conv(layers.conv(layers.x, 2), 2), 2)
    path = layers.save(tmp_path / "narrow.tflite", layers.dense(layers.mean(x, 1, 2), 10))
    made = pruned(tmp_path, path, PruneChannels(remove=0.22, importance="l1", repair=False))
    (warning,) = made.warnings
    assert f"{1 - made.figures['macs_share']:.0%} of the macs went where 22% were asked for" in warning


def test_what_cannot_be_had_is_told(network: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="95% of the macs cannot go"):
        pruned(tmp_path, network, PruneChannels(remove=0.95, floor=0.5, importance="l1"))
    layers = Layers(1, 8, 8, 1)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(Unsupported, match="No layer of this network can lose channels"):
        pruned(other, layers.save(tmp_path / "one.tflite", layers.conv(layers.x, 4)), PruneChannels(importance="l1"))
