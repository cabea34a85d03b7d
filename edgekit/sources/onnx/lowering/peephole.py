"""Pairs of the converter's operators in the form that TFLite has for both together, and that devices run better.

Done in the converter's intermediate form, so that one place serves whatever the pair came from:
LayerNormalization, GroupNormalization, InstanceNormalization, RMSNormalization or the user's own.
"""

from collections import Counter
from typing import Any

import numpy as np
from onnx2tf.tflite_builder.ir import OperatorIR, TensorIR

WITHOUT_OPTIONS = {"LOG_SOFTMAX", "RSQRT"}
"""Operators that only this module makes."""


def fuse(lowered: Any) -> None:
    """Rewrite every pair in place.

    ========================  ==========================  ============================================
    pair                      becomes                     why
    ========================  ==========================  ============================================
    a / √b, b > 0 for sure    a · RSQRT(b)                DIV has no integer kernel
    log(softmax(x))           LOG_SOFTMAX(x)              finite also where the softmax rounds to 0
    c · x + (1 − c) · y       SELECT_V2(c, x, y)          0 · ∞ is NaN, and c chooses that it is not taken
    SELECT(c, x, y)           SELECT_V2(c, x, y)          SELECT does not broadcast; a vector c chooses rows
    ========================  ==========================  ============================================

    Args:
        lowered: onnx2tf's ``ModelIR``.
    """
    makers = {name: operator for operator in lowered.operators for name in operator.outputs}
    reads = Counter(name for operator in lowered.operators for name in operator.inputs)
    single = {name for name, count in reads.items() if count == 1 and name not in lowered.outputs}
    for operator in list(lowered.operators):
        if operator.op_type == "LOG":
            _log_softmax(operator, makers, single)
        elif operator.op_type == "DIV":
            _multiply(lowered, operator, makers)
        elif operator.op_type == "ADD":
            _select(lowered, operator, makers)
        elif operator.op_type == "SELECT" and len({tuple(lowered.tensors[name].shape) for name in operator.inputs}) > 1:
            operator.op_type, operator.options = "SELECT_V2", {}
    _drop_unread(lowered)


def _log_softmax(log: Any, makers: dict[str, Any], single: set[str]) -> None:
    inside = makers.get(log.inputs[0])
    if inside is None or inside.op_type != "SOFTMAX" or log.inputs[0] not in single:
        return
    if float(inside.options.get("beta", 1.0)) == 1:
        log.op_type, log.inputs, log.options = "LOG_SOFTMAX", list(inside.inputs), {}


def _select(lowered: Any, add: Any, makers: dict[str, Any]) -> None:
    """The converter's form of a Where whose operands are broadcast."""
    terms = [makers[name] for name in add.inputs if name in makers and makers[name].op_type == "MUL"]
    if len(terms) != 2 or _fused(add):
        return
    for chosen, other in (terms, terms[::-1]):
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            inverse = makers.get(other.inputs[j])
            if inverse is None or inverse.op_type != "SUB" or inverse.inputs[1] != chosen.inputs[i]:
                continue
            one, condition = lowered.tensors[inverse.inputs[0]].data, _condition(lowered, chosen.inputs[i], makers)
            if condition and one is not None and np.all(np.asarray(one) == 1):
                add.op_type, add.options = "SELECT_V2", {}
                add.inputs = [condition, chosen.inputs[1 - i], other.inputs[1 - j]]
                return


def _condition(lowered: Any, factor: str, makers: dict[str, Any]) -> str | None:
    """The bool tensor of which a factor of zeros and ones was made, by a CAST or beforehand; None if it is another."""
    cast, values = makers.get(factor), lowered.tensors[factor].data
    if cast is not None and cast.op_type == "CAST" and lowered.tensors[cast.inputs[0]].dtype == "BOOL":
        return str(cast.inputs[0])
    if values is None or not np.isin(values, (0, 1)).all():
        return None
    name, shape = f"{factor}/bool", list(np.shape(values))
    lowered.tensors[name] = TensorIR(name, "BOOL", shape, shape, data=np.asarray(values, bool))
    return name


def _multiply(lowered: Any, div: Any, makers: dict[str, Any]) -> None:
    """Let a DIV by a SQRT multiply by RSQRT instead; the SQRT stays for whoever else reads it."""
    root = makers.get(div.inputs[1])
    if root is None or root.op_type != "SQRT" or not _positive(lowered, makers.get(root.inputs[0])):
        return
    dividend = lowered.tensors[div.inputs[0]].data
    if dividend is not None and np.size(dividend) == 1 and np.all(dividend == 1) and not _fused(div):
        div.op_type, div.inputs, div.options = "RSQRT", list(root.inputs), {}
        return
    name = f"{root.outputs[0]}/reciprocal"
    if name not in makers:
        like = lowered.tensors[root.outputs[0]]
        lowered.tensors[name] = TensorIR(name, like.dtype, list(like.shape), list(like.shape_signature or like.shape))
        makers[name] = OperatorIR("RSQRT", list(root.inputs), [name], {})
        lowered.operators.insert(_place(lowered, root), makers[name])
    div.op_type, div.inputs = "MUL", [div.inputs[0], name]


def _positive(lowered: Any, maker: Any) -> bool:
    """A value that something keeps off zero, of which XNNPACK's RSQRT makes NaN, not infinity."""
    if maker is None or maker.op_type not in {"ADD", "MAXIMUM"}:
        return False
    constants = [lowered.tensors[name].data for name in maker.inputs]
    return any(value is not None and np.all(np.asarray(value) > 0) for value in constants)


def _fused(operator: Any) -> bool:
    return str(operator.options.get("fusedActivationFunction", "NONE")) != "NONE"


def _place(lowered: Any, operator: Any) -> int:
    return next(i for i, other in enumerate(lowered.operators) if other is operator)


def _drop_unread(lowered: Any) -> None:
    """Forget operators that nobody reads any more, from the last to the first."""
    read, kept = set(lowered.outputs), []
    for operator in reversed(lowered.operators):
        if any(name in read for name in operator.outputs) or operator.op_type not in _LEFT_OVER:
            kept.append(operator)
            read.update(operator.inputs)
        else:
            for name in operator.outputs:
                lowered.tensors.pop(name, None)
    lowered.operators = kept[::-1]


_LEFT_OVER = {"CAST", "MUL", "SOFTMAX", "SQRT", "SUB"}
