"""What a pass of a recipe is asked to do, and what it made."""

from edgekit.nouns.base import Noun
from edgekit.nouns.model import Signature
from edgekit.nouns.recipe import PassSettings
from edgekit.nouns.training import Epoch


class Task(Noun, frozen=True, kw_only=True):
    """What a pass is asked to do. Paths are absolute.

    Attributes:
        waist: the float TFLite file that it starts from.
        signature: of that file.
        teacher: the float TFLite file whose outputs are to be met: the source's own waist, or another network's.
        teacher_signature: of that file; its inputs and outputs are those of the source, by source name.
        samples: what `edgekit.waist.tensors.arrays` reads, ``[N, *source_shape]`` under the source's names.
        specification: the file that the TFLite backend makes of ``waist`` in the precision that the pass trains for:
            what is quantized, and how; None for passes that train floats.
        labels: an ``.npy`` with one label for each sample; None without labels.
        settings: the pass's own.
        facts: numbers of the target that the pass may heed, by name.
        checkpoints: a folder that outlives this process: what is left there by one that was killed is found by the next
            with the same task. Nothing else writes there.
        seed: of every random choice.
    """

    waist: str
    signature: Signature
    teacher: str
    teacher_signature: Signature
    samples: str
    specification: str | None = None
    labels: str | None = None
    settings: PassSettings
    facts: dict[str, float] = {}
    checkpoints: str
    seed: int = 0


class Passed(Noun, frozen=True, kw_only=True):
    """What a pass made.

    Attributes:
        file: a float TFLite file in the output folder, with the inputs and outputs of the one before.
        signature: of that file; what it says of the source is as before.
        learned: a file of integers in the output folder, in the precision of the pass, whose integers and scales
            backends keep; None if the pass learned none.
        epochs: of the training, in order; none if nothing was trained.
        figures: what was measured, by name, with units in the names.
        notes: how it was done, for the manifest.
        warnings: what a user must know or do.
    """

    file: str
    signature: Signature
    learned: str | None = None
    epochs: tuple[Epoch, ...] = ()
    figures: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def evidence(self) -> dict[str, float]:
        """The figures that the step tells of itself."""
        return self.figures
