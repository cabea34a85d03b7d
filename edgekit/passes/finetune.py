"""Fine-tuning: a network is trained as it is, towards its teacher or labels."""

from pathlib import Path

from edgekit.nouns.recipe import FineTune
from edgekit.passes import Passed, Task, TrainingPass
from edgekit.training import data, finishing
from edgekit.training.fitting import fit
from edgekit.training.preparing import prepared


class FineTunePass(TrainingPass):
    """Trains all weights."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`."""
        assert isinstance(task.settings, FineTune)
        found = data.read(task)
        lifted = prepared(task, found)
        fitted = fit(lifted, found, task.settings, checkpoints=Path(task.checkpoints), seed=task.seed)
        return finishing.passed(task, lifted, out, fitted)
