"""From a trained network to what a pass returns."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.host import replacing
from edgekit.nouns.passing import Passed, Task
from edgekit.trainable import writing
from edgekit.trainable.form import Lifted
from edgekit.training.hooks import Fitted

FILE = "waist.tflite"
"""The file that a pass leaves."""


def passed(
    task: Task,
    lifted: Lifted,
    out: Path,
    fitted: Fitted,
    *,
    figures: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Passed:
    """Write a network that kept its graph, and say how it was trained.

    Args:
        task: what was asked.
        lifted: the network, with the weights that it is to have.
        out: the folder for the file.
        fitted: how training went.
        figures: of the pass.
        notes: of the pass.
    """
    replacing.write(out / FILE, writing.written(lifted))
    return Passed(
        file=FILE,
        signature=task.signature,
        epochs=fitted.epochs,
        figures=dict(figures or {}),
        notes=(*notes, *fitted.notes, *lifted.notes),
        warnings=fitted.warnings,
    )
