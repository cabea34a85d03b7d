"""Distillation: a smaller network is trained to compute what its teacher computes.

"Distilling the Knowledge in a Neural Network" (Hinton, Vinyals and Dean, 2015). The student is another network, or the
network before with a share of the channels of each layer: those with the largest weights, which it begins with.
"""

from pathlib import Path

import msgspec

from edgekit.channels import dependencies, pruning
from edgekit.errors import Unsupported
from edgekit.nouns.recipe import Distill
from edgekit.passes import Passed, Task, TrainingPass
from edgekit.training import data, finishing
from edgekit.training.fitting import fit
from edgekit.training.preparing import prepared
from edgekit.waist import cost


class DistillPass(TrainingPass):
    """Trains a student towards its teacher."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`. With ``student`` in the settings the waist is that network already.

        Shares are then not told: of what it would be one, the network before, is not here.
        """
        settings, before = task.settings, cost.count(Path(task.waist))
        assert isinstance(settings, Distill)
        found, notes, narrow = data.read(task), tuple[str, ...](), out / finishing.FILE
        if settings.student is None:
            channels = dependencies.find(Path(task.waist))
            if not channels.families:
                raise Unsupported(
                    "No layer of the network has channels that can go.",
                    place="; ".join(channels.notes) or "the network",
                    fix="give a student of your own: --set distill.student=FILE",
                )
            narrow.write_bytes(pruning.narrowed(channels, settings.width))
            task, notes = msgspec.structs.replace(task, waist=str(narrow)), channels.notes
        lifted = prepared(task, found, gains=True)
        fitted = fit(lifted, found, settings, checkpoints=Path(task.checkpoints), seed=task.seed)
        after = cost.count(Path(task.waist))
        shares = {
            "macs_share": after.macs / max(1, before.macs),
            "parameters_share": after.parameters / max(1, before.parameters),
        }
        figures = shares if settings.student is None else {}
        return finishing.passed(task, lifted, out, fitted, figures=figures, notes=notes)
