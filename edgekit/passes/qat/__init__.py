"""Quantization-aware training in the arithmetic of the file that ships.

float file + its integer file ── Simulation ──→ trained ──→ integer file that was learned, and its weights as floats
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgekit.errors import InputError
from edgekit.host import events, replacing
from edgekit.nouns.recipe import Qat
from edgekit.passes import Passed, Task, TrainingPass
from edgekit.passes.qat import agreement, writing
from edgekit.passes.qat.agreement import Share
from edgekit.passes.qat.forwarding import IntegerForward
from edgekit.passes.qat.held import worked_on
from edgekit.passes.qat.mending import mended
from edgekit.passes.qat.operators.table import ways
from edgekit.passes.qat.simulation import Simulation
from edgekit.passes.qat.specification import Specification
from edgekit.trainable.form import Lifted, Weight
from edgekit.trainable.lifting import lift
from edgekit.training import data, finishing
from edgekit.training.fitting import fit
from edgekit.training.hooks import Hooks
from edgekit.waist.tensors import Array

LEARNED = "learned.tflite"
"""The integer file that a pass leaves: inputs and outputs are float."""

CLOSE = 0.9
"""The share of floats that an operator with weights of integers has to compute as LiteRT does, to be trained.

What it reads is rounded as it comes, and now and then a number in the middle between two integers falls to the other.
"""

UNHEEDED = ("dropout", "normalization", "from_scratch", "weight_decay", "l1")
"""Settings of training that are for networks of floats."""

AS_BEGUN = "the integers that training began with are what is built: quantized anew, zeros and shared values would go"
"""What is told of a network of zeros or shared values that training did not make better."""

COMPARED = 8
"""Samples on which operators are held against LiteRT's."""


class QatPass(TrainingPass):
    """Trains weights and scales so that the integer file computes what the teacher computes."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`."""
        settings = task.settings
        assert isinstance(settings, Qat)
        _refuse_unheeded(settings)
        assert task.specification is not None, "a step builds it before"
        found, lifted = data.read(task), lift(Path(task.waist))
        samples = found.some(COMPARED)
        simulation = proven(Path(task.specification).read_bytes(), lifted, samples, settings)
        forward = IntegerForward(simulation, lifted)
        hooks = Hooks(forward=forward, variables=simulation.variables)
        fitted = fit(lifted, found, settings, hooks=hooks, checkpoints=Path(task.checkpoints), seed=task.seed)
        content = writing.integer_file(simulation)
        held = worked_on([weight.values() for weight in lifted.weights if weight.tensor.kernel])
        left = writing.give_back(lifted, writing.real(simulation)) if fitted.kept else []
        figures, apart = _compared(simulation, content, samples)
        notes = (*_notes(simulation, left, apart), *([] if fitted.kept or not held else [AS_BEGUN]))
        made = finishing.passed(task, lifted, out, fitted, figures=figures, notes=notes)
        if not fitted.kept and not held:  # each backend quantizes better than what it takes over of another one's file
            return made
        replacing.write(out / LEARNED, content)
        return msgspec.structs.replace(made, learned=LEARNED)


def _refuse_unheeded(settings: Qat) -> None:
    """Refuse what would change the float network, or its weights, and never reach the integers.

    Raises:
        InputError: a setting asks for it.
    """
    usual = Qat(normalization="off") if settings.normalization == "off" else Qat()
    for name in UNHEEDED:
        if getattr(settings, name) != getattr(usual, name):
            raise InputError(
                f"Quantization-aware training begins with the weights that there are, and cannot heed {name}.",
                place=f"qat.{name}",
                fix=f"leave {name} out, or set it in a pass finetune before qat",
            )


def proven(content: bytes, lifted: Lifted, samples: Mapping[str, Array], settings: Qat) -> Simulation:
    """A simulation of an integer file whose every operator makes the integers that LiteRT makes of the samples.

    Each way in which an operator may be computed is tried; what makes others by all of them is left to LiteRT itself.

    Args:
        content: of the file.
        lifted: the float network that it was made from.
        samples: for each input's name ``[N, *shape]``.
        settings: of the pass.
    """
    events.progress(None, "holding each operator against LiteRT")
    spec = Specification.read(content)
    copies = list(_copies(spec, lifted))
    real = {tensor: weight.values() for weight, tensors in copies if weight.tensor.kernel for tensor in tensors}
    spec, tied = mended(spec, real, [tensors for _, tensors in copies])
    seen, chosen = agreement.observed(spec.content, samples), dict[int, int]()

    def simulated(as_it_is: Collection[int] = ()) -> Simulation:
        return Simulation(
            spec, as_it_is=as_it_is, chosen=chosen, learn_ranges=settings.learn_ranges, real=real, tied=tied
        )

    while True:
        made = simulated()
        wrong = _wrong(agreement.alone(made, seen))
        others = {o: chosen.get(o, 0) + 1 for o in wrong}
        others = {o: way for o, way in others.items() if way < len(ways(spec.main.operators[o], spec.main.tensors))}
        if not others:
            return simulated(wrong) if wrong else made
        chosen |= others


def _copies(spec: Specification, lifted: Lifted) -> Iterator[tuple[Weight, list[int]]]:
    """Weights of a float network with the constants of its integer file that were rounded from each.

    An unrolled loop has the same weights in each step, which a quantizer may write as constants of their own.
    """
    for weight in lifted.weights:
        names = {lifted.main.tensors[tensor].name for part, tensor in weight.tensor.places if part == 0}
        size = weight.tensor.values.size
        found = [t for t in spec.main.tensors if t.name in names and t.constant_bytes and size == np.prod(t.shape)]
        if found:
            yield weight, [tensor.index for tensor in found]


def _wrong(shares: Sequence[Share]) -> set[int]:
    """The operators that do not compute what LiteRT does."""
    return {share.operator for share in shares if share.reads and share.equal < (1 if share.integers else CLOSE)}


def _compared(simulation: Simulation, content: bytes, samples: Mapping[str, Array]) -> tuple[dict[str, float], str]:
    """How far the file that was learned and the simulation agree, from 0 to 1, and the operators that do not."""
    seen = agreement.observed(content, samples)
    found = [share for share in agreement.alone(simulation, seen) if share.reads]
    judged = [share for share in found if share.integers] or found
    apart = {share.name: share.equal for share in sorted(found, key=lambda share: -share.equal) if share.equal < 1}
    figures = {
        "equal_integers_of_the_worst_operator": min((share.equal for share in judged), default=1.0),
        "equal_output_values": min(agreement.whole(simulation, seen).values()),
    }
    return figures, ", ".join(f"{name} {math.floor(1e6 * share) / 1e4:g} %" for name, share in apart.items())


def _notes(simulation: Simulation, left: list[str], apart: str) -> tuple[str, ...]:
    notes = []
    if names := simulation.by_litert:
        notes.append(f"computed by LiteRT while training, on scales that stay: {', '.join(sorted(names))}")
    if apart:
        notes.append(f"share of values that training computed as LiteRT does: {apart}; all else to the last integer")
    names, read = {tensor.name for tensor in simulation.spec.main.tensors}, simulation.read_by_litert
    if held := [name for name in left if name in read]:
        notes.append(f"not trained, since LiteRT computes their operators: {_some(held)}")
    if shared := [name for name in left if name in names - read]:
        notes.append(f"not trained, since they stand on the scale of activations: {_some(shared)}")
    if gone := [name for name in left if name not in names]:
        notes.append(f"no constant of the integer file has the name of {_some(gone)}: these stay as they were")
    return tuple(notes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
