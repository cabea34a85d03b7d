"""Structured pruning: whole channels go, layers behind are solved anew, and the rest is trained if asked."""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path

import msgspec

from edgekit.channels import budget, latency, pruning
from edgekit.channels.budget import Goal
from edgekit.channels.dependencies import Dependencies
from edgekit.host import replacing
from edgekit.nouns.base import Noun
from edgekit.nouns.passing import Passed, Task
from edgekit.nouns.recipe import PruneChannels
from edgekit.nouns.training import Epoch
from edgekit.passes import TrainingPass
from edgekit.training import data, finishing
from edgekit.training.checkpoints import remedied
from edgekit.waist import cost, run
from edgekit.waist.tensors import Array, to_file

MULTIPLE = "channel_multiple"
"""The fact of a target that tells which counts of channels its kernels like."""


class Round(Noun, frozen=True, kw_only=True):
    """What a run that is killed leaves of a round beside the cut network: latencies are never measured alike again.

    ``whole`` is what the budget is a share of.
    """

    whole: float
    notes: tuple[str, ...]


CUT, TOLD = "cut.tflite", "cut.json"
"""The files of it; the network is the last that is written."""


def _leave(folder: Path, made: Path, told: Round) -> None:
    """Keep a network that was just cut.

    Raises:
        InputError: the disk is full.
    """
    with remedied(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replacing.write(folder / TOLD, msgspec.json.encode(told))
        replacing.write(folder / CUT, made.read_bytes())


def _done(folder: Path, made: Path) -> Round | None:
    """A round that another run has cut, whose network is put in place; None if there is none."""
    if not (folder / CUT).exists():
        return None
    replacing.write(made, (folder / CUT).read_bytes())
    return msgspec.json.decode((folder / TOLD).read_bytes(), type=Round)


class ChannelPass(TrainingPass):
    """Removes channels in rounds."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`."""
        settings = task.settings
        assert isinstance(settings, PruneChannels)
        rounds = Rounds(task, settings, data.read(task), out)
        for number in range(1, settings.rounds + 1):
            rounds.cut(number)
            if settings.epochs:
                rounds.train(number)
        return rounds.passed()


class Rounds:
    """A network on its way through the rounds of a pass, and what is told of it.

    Args:
        task: what was asked.
        settings: the task's.
        found: the samples.
        out: where the network is to lie.
    """

    def __init__(self, task: Task, settings: PruneChannels, found: data.TrainingData, out: Path) -> None:
        self._task, self._settings, self._found = task, settings, found
        self._file, self._made = Path(task.waist), out / finishing.FILE
        self._whole, self._begun = 0.0, dict[Hashable, int]()
        self._notes, self._warnings, self._epochs = tuple[str, ...](), tuple[str, ...](), tuple[Epoch, ...]()

    def cut(self, number: int) -> None:
        """Remove what a round is to, unless another run has."""
        channels, folder = pruning.found(self._file), Path(self._task.checkpoints) / f"round{number}"
        self._begun = self._begun or {family.key: len(family.channels) for family in channels.families}
        done = _done(folder, self._made)
        if done is None:
            self._whole = self._whole or _whole(self._file, self._settings.of)
            done = Round(whole=self._whole, notes=self._removed(channels, number))
            _leave(folder, self._made, done)
        self._whole, self._notes, self._file = done.whole, done.notes, self._made

    def _removed(self, channels: Dependencies, number: int) -> tuple[str, ...]:
        """Remove some, as a round's goal asks, and write what is left; notes on it.

        The first round sees that the last one's goal can be had: what cannot is not begun.
        """
        settings, seed = self._settings, self._task.seed
        spend = latency.table(channels) if settings.of == "latency" else budget.spend(channels, settings.of)
        samples = _samples(channels, self._found)
        rankings = pruning.ranked(channels, samples, settings.importance, seed)
        if 1 == number < settings.rounds:
            pruning.chosen(channels, rankings, spend, self._goal(settings.rounds))
        goal = self._goal(number)
        pruned = pruning.pruned(channels, samples, goal, rankings=rankings, spend=spend, repaired=settings.repair)
        replacing.write(self._made, pruned.content)
        looked = len(next(iter(samples.values())))
        told = f"{pruned.repaired} layers solved anew by least squares on {looked} samples"
        return (*pruned.notes, *([told] if settings.repair else []))

    def _goal(self, number: int) -> Goal:
        """What may be left after a round; each takes as much."""
        settings = self._settings
        multiple = settings.multiple or int(self._task.facts.get(MULTIPLE, 1))
        most = self._whole * (1 - settings.remove * number / settings.rounds)
        return Goal(settings.of, self._whole, most, settings.floor, multiple, self._begun)

    def train(self, number: int) -> None:
        """Train what a round has left."""
        trained = _trained(self._task, self._made, self._found, self._made.parent, number)
        self._epochs, self._notes = (*self._epochs, *trained.epochs), (*self._notes, *trained.notes)
        self._warnings = (*self._warnings, *trained.warnings)

    def passed(self) -> Passed:
        """What the pass returns after the last round."""
        figures = _shares(Path(self._task.waist), self._made, self._settings.of)
        return Passed(
            file=self._made.name,
            signature=self._task.signature,
            epochs=self._epochs,
            figures=figures,
            notes=self._notes,
            warnings=(*self._warnings, *_apart(self._settings, figures)),
        )


def _whole(file: Path, of: str) -> float:
    """What a file has of a budget.

    Raises:
        Unsupported: LiteRT cannot run it.
    """
    if of == "latency":
        return run.best_ms(file)
    counted = cost.count(file)
    return float({"macs": counted.macs, "parameters": counted.parameters, "bytes": counted.bytes}[of])


def _shares(before: Path, after: Path, of: str) -> dict[str, float]:
    """What is left of a file, by budget; of latency, which takes a moment to measure, only if that is the budget."""
    one, other = cost.count(before), cost.count(after)
    timed = {"latency_share": run.best_ms(after) / run.best_ms(before)} if of == "latency" else {}
    return timed | {
        "macs_share": other.macs / max(1, one.macs),
        "parameters_share": other.parameters / max(1, one.parameters),
        "bytes_share": other.bytes / one.bytes,
    }


SLACK = 0.05
"""So much more than was asked for may go without a word."""


def _apart(settings: PruneChannels, figures: Mapping[str, float]) -> Iterator[str]:
    """That far more went than was asked for."""
    left = figures.get(f"{settings.of}_share", 1.0)
    if 1 - left > settings.remove + SLACK:
        yield (
            f"{1 - left:.0%} of the {settings.of} went where {settings.remove:.0%} were asked for:"
            " some channels can only go many at a time"
        )


def _samples(channels: Dependencies, found: data.TrainingData) -> Mapping[int, Array]:
    """Inputs by tensor index, ``[N, *shape]``."""
    indices = {channels.graph.tensors[index].name: index for index in channels.graph.inputs}
    chosen = found.trained[pruning.enough(channels, len(found.trained))]
    chosen.sort()
    return {
        indices[spec.name]: to_file(spec, found.samples[spec.source_name][chosen]) for spec in found.signature.inputs
    }


def _trained(task: Task, made: Path, found: data.TrainingData, out: Path, number: int) -> Passed:
    """Train what is left, in place."""
    from edgekit.training.fitting import fit  # noqa: PLC0415  pruning alone takes no TensorFlow
    from edgekit.training.preparing import prepared  # noqa: PLC0415  the same

    task = msgspec.structs.replace(task, waist=str(made))
    lifted = prepared(task, found)
    checkpoints = Path(task.checkpoints) / f"round{number}"
    checkpoints.mkdir(parents=True, exist_ok=True)
    fitted = fit(lifted, found, task.settings, checkpoints=checkpoints, seed=task.seed)
    return finishing.passed(task, lifted, out, fitted)
