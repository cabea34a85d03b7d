"""The trainable form of a network as a Keras model, for training code of one's own. No recipe has this pass."""

from pathlib import Path

from edgekit.passes import Passed, Task, TrainingPass
from edgekit.trainable.lifting import lift

FILE = "model.keras"
"""What it leaves instead of a waist."""


class KerasFormPass(TrainingPass):
    """Lifts a waist, trains nothing, and saves the model of tf-keras."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`.

        Raises:
            Unsupported: an operator runs other subgraphs, which no Keras layer holds.
        """
        lifted = lift(Path(task.waist))
        lifted.model.save(out / FILE)
        return Passed(file=FILE, signature=task.signature, notes=lifted.notes)
