"""A waist made ready to be trained: with fresh weights, dropout and batch normalization, as the settings ask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.host import replacing
from edgekit.nouns.passing import Task
from edgekit.trainable import normalization, weights
from edgekit.trainable.building import floats
from edgekit.trainable.form import Lifted, Weight
from edgekit.trainable.lifting import lift
from edgekit.trainable.weights import TABLES, Place
from edgekit.training.data import TrainingData
from edgekit.waist import movement
from edgekit.waist.tensors import Array

MEASURED = 256
"""Samples that set what a batch normalization begins with."""


def prepared(task: Task, data: TrainingData, *, gains: bool = False, folds: bool = True) -> Lifted:
    """Lift the waist of a task.

    Args:
        task: with the settings.
        data: whose first samples a batch normalization is measured on.
        gains: whether the pass gains from batch normalization, if the settings leave it open. Fresh weights do.
        folds: whether what the pass makes of weights survives that a normalization is folded into them.

    Raises:
        InputError: the settings ask for a normalization that would undo what the pass does.
        InputError, Unsupported: it cannot be lifted.
    """
    settings, path = task.settings, Path(task.waist)
    if not settings.epochs:
        return lift(path)
    path = _apart(path, Path(task.checkpoints))
    lifted = lift(path)
    dropped = {_last(lifted): settings.dropout} if settings.dropout else {}
    if settings.from_scratch:
        draw(lifted, task.seed)
    if settings.normalization == "on" and not folds:
        raise InputError(
            "Folding a batch normalization would scale each channel, and undo that weights share values.",
            place="normalization",
            fix="leave the setting out of this pass",
        )
    normalized = {"on": True, "off": False, "auto": gains or settings.from_scratch}[settings.normalization]
    if folds and normalized and normalization.places(lifted):
        shown, fresh = data.some(MEASURED), settings.from_scratch
        still = not fresh and _is_still(lifted, shown)
        return normalization.put_back(lifted, shown, dropped=dropped, fresh=fresh, still=still)
    if not dropped:
        return lifted
    made = lift(path, dropped=dropped)
    for new, old in zip(made.weights, lifted.weights, strict=True):
        new.variable.assign(old.variable)
    return made


def _apart(path: Path, folder: Path) -> Path:
    """A file whose weights are shared by intent alone (`weights.apart`): itself, or a copy in a folder."""
    content = weights.apart(path)
    if not content:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    replacing.write(folder / path.name, content)
    return folder / path.name


STILL = 1e-4
"""Outputs that change by no more than this part of their largest value are the same for every sample."""


def _is_still(lifted: Lifted, samples: Mapping[str, Array]) -> bool:
    """Whether no output changes with the samples (`STILL`)."""
    given, rows = lifted.given(samples), list[list[Array]]()
    for start in range(0, len(given[0]), normalization.BATCH):
        made = lifted.model([values[start : start + normalization.BATCH] for values in given], training=False)
        rows.append([np.asarray(values) for values in (made if isinstance(made, list | tuple) else [made])])
        if any(movement.varies(np.concatenate(values), STILL) for values in zip(*rows, strict=True)):
            return False
    return len(given[0]) > 1


def _last(lifted: Lifted) -> int:
    """The place of the last operator with a kernel that reads floats.

    Raises:
        InputError: there is none.
    """
    kernels = {place for weight in lifted.weights if is_kernel(weight) for place in weight.tensor.places}
    layers = [o for o in lifted.main.operators if any((0, tensor) in kernels for tensor in o.inputs)]
    places = [o.index for o in layers if floats(o, lifted.main, lifted.tensors)]
    if not places:
        raise InputError(
            "Dropout needs a layer with weights that reads floats; this network has none.",
            place="dropout", fix="leave dropout out",
        )  # fmt: skip
    return places[-1]


def is_kernel(weight: Weight) -> bool:
    """Whether a weight multiplies what comes in, and is to be small: no bias, no slope, no scale."""
    return weight.tensor.kernel


NORMAL_SPREAD = 0.02
"""The standard deviation of embeddings, of tokens or places, that are drawn anew ("BERT", Devlin et al., 2019, as
published)."""


def draw(lifted: Lifted, seed: int) -> None:
    """Draw all weights anew, in place: kernels as He et al. do ("Delving Deep into Rectifiers", 2015), biases 0.

    What an operator multiplies element by element becomes 1, and slopes of a PReLU stay as they are.
    """
    random, readers = np.random.default_rng(seed), _readers(lifted)
    for weight in lifted.weights:
        values = _drawn(weight, *readers.get(weight.tensor.places[0], ("", 0)), random)
        weight.assign(values)


def _readers(lifted: Lifted) -> dict[Place, tuple[str, int]]:
    """By the place of a tensor the operator that reads it, and in which slot."""
    main = lifted.main.operators
    return {(0, tensor): (o.name, slot) for o in main for slot, tensor in enumerate(o.inputs)}


SMALL = 0.25
"""Kernels whose spread is below this share of what He et al. would draw are trained in smaller steps."""


def paces(lifted: Lifted) -> list[tuple[Any, float]]:
    """Kernels that are far smaller than usual, and the share of a step that they may take.

    An optimizer such as Adam moves all numbers about as far. Networks that read pixels of 0 to 255, or whose
    normalization was folded, have kernels of thousandths, which such steps would overrun.
    """
    readers, found = _readers(lifted), []
    for weight in filter(is_kernel, lifted.weights):
        reader, slot = readers.get(weight.tensor.places[0], ("", 0))
        values = weight.variable.numpy().astype(np.float64)
        usual = SMALL * np.sqrt(2 / _fan_in(reader, slot, weight.tensor.values.shape))
        pace = float(np.sqrt(np.square(values).mean()) / usual)
        if 0 < pace < 1:
            found.append((weight.variable, pace))
    return found


def _drawn(weight: Weight, reader: str, slot: int, random: np.random.Generator) -> Array:
    was = weight.tensor.values
    if reader == "PRELU":
        return was
    placed = reader in {"ADD", "SUB", "CONCATENATION"} and np.squeeze(was).ndim > 1  # embeddings of positions
    if reader in TABLES or placed:
        return np.asarray(NORMAL_SPREAD * random.standard_normal(was.shape), np.float32)
    if not is_kernel(weight):
        ones = reader in {"MUL", "DIV"}
        return np.full(was.shape, 1.0 if ones else 0.0, np.float32)
    fan_in = _fan_in(reader, slot, was.shape)
    return np.asarray(random.standard_normal(was.shape) * np.sqrt(2 / fan_in), np.float32)


def _fan_in(reader: str, slot: int, shape: tuple[int, ...]) -> int:
    """How many products are summed for a value: kernels have their outputs first, but in a product's second slot."""
    if reader == "DEPTHWISE_CONV_2D":
        return int(np.prod(shape[1:-1]))
    if reader == "BATCH_MATMUL" and slot == 1:
        return int(shape[-2])
    return max(1, int(np.prod(shape[1:])))
