"""What a training leaves after each epoch, so that a killed one goes on from there with the same result."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.errors import from_os
from edgekit.nouns.training import Epoch
from edgekit.waist.tensors import Array, arrays, write_npz

FILE = "checkpoint.npz"

NOTHING: Array = np.zeros(0, np.float32)


@dataclass(frozen=True)
class TrainingState:
    """Where a training is.

    Attributes:
        epochs: those that are done.
        best: the number of epochs after which the kept weights were; -1: there are none yet.
        best_loss: their held-out loss; infinite without any.
        kept: the values of all variables then; empty if there are none.
        first: the loss of each held-out sample before training ``[n]``; empty without any.
    """

    epochs: tuple[Epoch, ...] = ()
    best: int = -1
    best_loss: float = float("inf")
    kept: tuple[Array, ...] = ()
    first: Array = field(default_factory=lambda: NOTHING)


@contextmanager
def remedied(path: Path) -> Iterator[None]:
    """Say what helps if a file cannot be written.

    Raises:
        InputError: the disk is full, or the folder is somebody else's.
    """
    try:
        yield
    except OSError as error:
        remedy = from_os(OSError(error.errno, str(error), error.filename or str(path)))
        raise remedy or error from error


class Checkpoint:
    """A file with all that a training needs to go on.

    Args:
        folder: where it lies.
        variables: TensorFlow's, in the same order whenever the same training is run.
    """

    def __init__(self, folder: Path, variables: Sequence[Any]) -> None:
        self._path, self._variables = folder / FILE, list(variables)

    def load(self) -> TrainingState:
        """Give the variables what they held, and say where the training was; its beginning if nothing was left."""
        if not self._path.exists():
            return TrainingState()
        stored = arrays(self._path)
        epochs, best, best_loss = msgspec.json.decode(
            stored["progress"].tobytes(), type=tuple[tuple[Epoch, ...], int, float | None]
        )
        for number, variable in enumerate(self._variables):
            variable.assign(stored[f"v{number}"])
        kept = [np.array(stored[f"k{number}"]) for number in range(sum(name.startswith("k") for name in stored))]
        least = float("inf") if best_loss is None else best_loss
        return TrainingState(epochs, best, least, tuple(kept), np.array(stored["first"]))

    def save(self, progress: TrainingState) -> None:
        """Write all, whole or not at all.

        Raises:
            InputError: the disk is full; the checkpoint before is still there.
        """
        told = (progress.epochs, progress.best, progress.best_loss if np.isfinite(progress.best_loss) else None)
        values = {f"v{number}": variable.numpy() for number, variable in enumerate(self._variables)}
        values |= {f"k{number}": kept for number, kept in enumerate(progress.kept)}
        values["first"] = progress.first
        values["progress"] = np.frombuffer(msgspec.json.encode(told), np.uint8)
        with remedied(self._path):
            write_npz(self._path, values)
