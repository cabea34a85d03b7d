"""How far gradients reach: which operators stop them, and which weights get none for that."""

from collections.abc import Sequence

from edgekit.trainable.operands import carried
from edgekit.trainable.planning import LayerPlan
from edgekit.trainable.weights import WeightTensor

FLOWING = ("float32", "complex64")
"""Dtypes of tensors that have a gradient."""


def reached(steps: Sequence[LayerPlan], outputs: Sequence[int]) -> set[WeightTensor]:
    """The weights from which some float output can be changed through operators that have a gradient."""
    wanted = set(outputs)
    found: set[WeightTensor] = set()
    for step in reversed(steps):
        operator = step.call.operator
        floats = any(result.index in wanted and carried(result) in FLOWING for result in step.call.results)
        if floats and step.differentiable:
            wanted |= {tensor for tensor in operator.inputs if tensor >= 0}
            found |= {*step.weights.values(), *step.inner}
    return found


def notes(steps: Sequence[LayerPlan], outputs: Sequence[int], names: dict[WeightTensor, str]) -> tuple[str, ...]:
    """A remark for each operator that stops training: its name, why, and the weights that get no gradient for it."""
    trained = reached(steps, outputs)
    made = {tensor: step for step in steps for tensor in step.call.operator.outputs}
    remarks = []
    for step in steps:
        if _passes(step):
            continue
        lost = [weight for weight in _before(step, made) if weight not in trained]
        if lost or step.refusal:
            remarks.append(_remark(step, [names[weight] for weight in lost]))
    return tuple(remarks)


def _passes(step: LayerPlan) -> bool:
    """Whether some gradient comes through an operator, or none can be asked of it since it reads no floats."""
    read = [operand.values.dtype for operand in step.call.operands if operand is not None and not operand.known]
    floats = any(dtype in FLOWING for dtype in read)
    return not floats or (step.differentiable and any(carried(result) in FLOWING for result in step.call.results))


def _before(step: LayerPlan, made: dict[int, LayerPlan]) -> list[WeightTensor]:
    """The weights of an operator and of all before it, each once, in no particular order of execution."""
    found: dict[WeightTensor, None] = {}
    waiting, seen = [step], {id(step)}
    while waiting:
        current = waiting.pop()
        found |= dict.fromkeys((*current.weights.values(), *current.inner))
        for tensor in current.call.operator.inputs:
            maker = made.get(tensor)
            if maker is not None and id(maker) not in seen:
                seen.add(id(maker))
                waiting.append(maker)
    return list(found)


MOST_NAMES = 5


def _remark(step: LayerPlan, lost: Sequence[str]) -> str:
    result = step.call.results[0].name
    why = f" ({step.refusal})" if step.refusal else ""
    behind = ", ".join(lost[:MOST_NAMES]) + (f" and {len(lost) - MOST_NAMES} more" if len(lost) > MOST_NAMES else "")
    told = f"; no gradient reaches {behind}" if lost else ""
    return f"{step.call.operator.name} {result} stops training{why}{told}"
