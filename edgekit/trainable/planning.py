"""What becomes of each operator of the main graph, before any layer is made.

Operators of constants alone are computed at once. Others become a stock layer of tf-keras, a layer around a function,
or, if they have no such form, one that LiteRT runs.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from edgekit.trainable.computing import CONTROL, compute
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, File, NotLiftedError, Operand, carried
from edgekit.trainable.operators.activations import fused
from edgekit.trainable.operators.table import ROWS
from edgekit.trainable.stock import Layout, Stock
from edgekit.trainable.weights import WeightTensor
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array


@dataclass
class LayerPlan:
    """An operator that becomes a layer.

    Attributes:
        call: sampled operands stand for those that the layer is given; known ones are constants.
        weights: those that it reads, by slot.
        inner: those that the subgraphs which it runs may read.
        stock: the layer of tf-keras that it is, if it is one.
        refusal: why LiteRT has to run it; empty if it need not.
    """

    call: Call
    weights: dict[int, WeightTensor]
    inner: tuple[WeightTensor, ...] = ()
    stock: Stock | None = None
    refusal: str = ""

    @property
    def reads(self) -> tuple[WeightTensor, ...]:
        """All weights that it reads."""
        return (*self.weights.values(), *self.inner)

    @property
    def differentiable(self) -> bool:
        """Whether a gradient goes through it."""
        name = self.call.operator.name
        return not self.refusal and (name in CONTROL or ROWS[name].differentiable)


@dataclass
class ModelPlan:
    """Steps in the order of execution, and what is known beforehand, by tensor."""

    steps: list[LayerPlan] = field(default_factory=list)
    known: dict[int, Array] = field(default_factory=dict)


def plan(file: File, found: tuple[WeightTensor, ...], stepwise: Stepwise) -> ModelPlan:
    """Decide for each operator of the main graph.

    Args:
        file: what is lifted.
        found: its weights.
        stepwise: runs what is computed beforehand and has no form in TensorFlow.
    """
    made, main = ModelPlan(), file.graphs[0]
    held = {place: weight for weight in found for place in weight.places}
    inner = tuple(weight for weight in found if any(part for part, _ in weight.places))
    file.variables = {place: weight.values for weight in inner for place in weight.places}  # to try them
    flowing = {*main.inputs, *(tensor for operator in main.operators for tensor in operator.outputs)}

    def operand(tensor: int) -> Operand | None:
        """What an operator reads: a constant, a weight's form, or samples ``[None, *shape]``; None for no tensor."""
        described = main.tensors[tensor]
        if tensor < 0:
            return None
        if tensor in made.known:
            return Operand(made.known[tensor])
        if (0, tensor) in held:
            return Operand(tf.TensorSpec(described.shape, described.dtype))
        if tensor in flowing:
            return Operand(tf.TensorSpec([None, *described.shape], carried(described)), sampled=True)
        return file.constant((0, tensor))

    for operator in main.operators:
        results = tuple(main.tensors[tensor] for tensor in operator.outputs)
        call = Call(operator, tuple(map(operand, operator.inputs)), results, file)
        own = {slot: held[0, tensor] for slot, tensor in enumerate(operator.inputs) if (0, tensor) in held}
        if (values := _beforehand(call, stepwise)) is not None:
            made.known |= dict(zip(operator.outputs, values, strict=True))
        else:
            made.steps.append(_decided(call, own, inner if operator.name in CONTROL else ()))
    _agree(made)
    return made


def _beforehand(call: Call, stepwise: Stepwise) -> list[Array] | None:
    """The results of an operator of constants alone; None if it is none, or draws numbers."""
    row = ROWS.get(call.operator.name)
    constant = all(operand is None or operand.known for operand in call.operands)
    if call.operator.name in NEVER_CONSTANT or not (constant or (row is not None and row.of_shapes)):
        return None
    try:
        return [np.asarray(operand.values) for operand in compute(call)]
    except NotLiftedError:
        made = stepwise.run(call.operator, {})
        return [made[result.index][0] for result in call.results]


NEVER_CONSTANT = CONTROL | {
    "CALL_ONCE", "MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "READ_VARIABLE", "VAR_HANDLE",
}  # fmt: skip
"""What may give something else than before, or something else than numbers, whatever it reads."""


def _decided(call: Call, own: dict[int, WeightTensor], inner: tuple[WeightTensor, ...]) -> LayerPlan:
    step = LayerPlan(call, own, inner)
    row = ROWS.get(call.operator.name)
    try:
        fused(call.options if row is None or not row.recurrent else {})
        step.stock = row.layer(call) if row is not None and row.layer is not None and call.sampled else None
        if step.stock is None:
            _try(call)
    except NotLiftedError as error:
        step.refusal = str(error)
    return step


def _try(call: Call) -> None:
    """Compute an operator once in a graph that is thrown away.

    Raises:
        NotLiftedError: it has no form in TensorFlow, or that gives another shape than the file says.
    """
    with tf.__internal__.FuncGraph("trial").as_default():  # one that leaves known values to be computed at once
        operands = tuple(
            operand
            if operand is None or operand.known
            else Operand(tf.compat.v1.placeholder(operand.values.dtype, operand.values.shape), operand.sampled)
            for operand in call.operands
        )
        for found, result in zip(compute(replace(call, operands=operands), fused=False), call.results, strict=True):
            if found.shape != result.shape:
                raise NotLiftedError(f"TensorFlow makes {list(found.shape)} of it, the file {list(result.shape)}")


def _agree(made: ModelPlan) -> None:
    """Let all readers of a weight agree on how it lies: one variable lies in one way.

    A weight that another operator wants in another way, or that is read by what has no stock layer, lies as in the
    file, and none of its readers has a stock layer.
    """
    changed = True
    while changed:
        changed, odd = False, _at_odds(made.steps)
        for step in made.steps:
            if step.stock is not None and any(weight in odd for weight in step.weights.values()):
                step.stock, changed = None, True
                try:
                    _try(step.call)
                except NotLiftedError as error:
                    step.refusal = str(error)


def _at_odds(steps: list[LayerPlan]) -> set[WeightTensor]:
    """Weights whose readers want them in several ways."""
    wanted: dict[WeightTensor, set[Layout]] = {}
    for step in steps:
        lying = {held.slot: held.layout for held in step.stock.held} if step.stock is not None else {}
        for slot, weight in step.weights.items():
            wanted.setdefault(weight, set()).add(lying.get(slot, Layout.plain(weight.values.shape)))
        for weight in step.inner:
            wanted.setdefault(weight, set()).add(Layout.plain(weight.values.shape))
    return {weight for weight, layouts in wanted.items() if len(layouts) > 1}
