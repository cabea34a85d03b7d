"""Structured pruning: whole channels go, layers behind are solved anew, and the rest is trained if asked."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.channels import budget, latency, pruning
from edgekit.channels.budget import Goal, Spend
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
        file, found, notes, begun = Path(task.waist), data.read(task), tuple[str, ...](), dict[Hashable, int]()
        made, epochs, whole, warnings = out / finishing.FILE, tuple[Epoch, ...](), 0.0, tuple[str, ...]()
        for number in range(1, settings.rounds + 1):
            channels, folder = pruning.found(file), Path(task.checkpoints) / f"round{number}"
            begun = begun or {family.key: len(family.channels) for family in channels.families}
            done = _done(folder, made)
            if done is None:
                spend = latency.table(channels) if settings.of == "latency" else budget.spend(channels, settings.of)
                whole = whole or _whole(file, settings.of)
                ends = (number, settings.rounds) if number == 1 else (number,)  # what cannot be had is not begun
                goals = [_goal(task, settings, whole, begun, one) for one in ends]
                notes = self._round(task, settings, channels, (found, spend, goals), made)
                _leave(folder, made, Round(whole=whole, notes=notes))
            else:
                whole, notes = done.whole, done.notes
            file = made
            if settings.epochs:
                trained = _trained(task, made, found, out, number)
                epochs, notes = (*epochs, *trained.epochs), (*notes, *trained.notes)
                warnings = (*warnings, *trained.warnings)
        figures = _shares(Path(task.waist), made)
        return Passed(
            file=made.name,
            signature=task.signature,
            epochs=epochs,
            figures=figures,
            notes=notes,
            warnings=(*warnings, *_apart(settings, figures)),
        )

    def _round(
        self,
        task: Task,
        settings: PruneChannels,
        channels: Dependencies,
        how: tuple[data.TrainingData, Spend, Sequence[Goal]],
        made: Path,
    ) -> tuple[str, ...]:
        """Remove some, as the first goal asks, and write what is left; notes on it. Others must be within reach."""
        found, spend, goals = how
        samples = _samples(channels, found)
        rankings = pruning.ranked(channels, samples, settings.importance, task.seed)
        for last in goals[1:]:
            pruning.chosen(channels, rankings, spend, last)
        pruned = pruning.pruned(channels, samples, goals[0], rankings=rankings, spend=spend, repaired=settings.repair)
        replacing.write(made, pruned.content)
        looked = len(next(iter(samples.values())))
        told = f"{pruned.repaired} layers solved anew by least squares on {looked} samples"
        return (*pruned.notes, *([told] if settings.repair else []))


def _whole(file: Path, of: str) -> float:
    """What a file has of a budget.

    Raises:
        Unsupported: LiteRT cannot run it.
    """
    if of == "latency":
        return run.best_ms(file)
    counted = cost.count(file)
    return float({"macs": counted.macs, "parameters": counted.parameters, "bytes": counted.bytes}[of])


def _shares(before: Path, after: Path) -> dict[str, float]:
    """What is left of a file, by budget."""
    one, other = cost.count(before), cost.count(after)
    return {
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


def _goal(task: Task, settings: PruneChannels, whole: float, begun: Mapping[Hashable, int], number: int) -> Goal:
    """What may be left after a round; each takes as much."""
    multiple = settings.multiple or int(task.facts.get(MULTIPLE, 1))
    most = whole * (1 - settings.remove * number / settings.rounds)
    return Goal(settings.of, whole, most, settings.floor, multiple, begun)


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
