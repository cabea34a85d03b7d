"""OpenVINO networks with loops, as its own operators make them."""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.openvino.libraries import operators as op
from edgekit.backends.openvino.libraries import ov


def saved(model: Any, path: Path) -> Path:
    """The ``.xml`` of a network, its ``.bin`` beside it."""
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def _loop(times: int, x: Any, body: Any, *, while_below: float | None = None) -> Any:
    """``body`` on a ``[1, 4]``, over and over: -1 means for ever, ``while_below`` until its values are as large."""
    held = op.parameter([1, 4], np.float32)
    made = body(held)
    more = op.constant(np.array(True))
    if while_below is not None:
        more = op.reduce_logical_and(op.less(made, op.constant(np.float32(while_below))), op.constant([0, 1]))
    results = [op.result(more), op.result(made)]
    loop = op.loop(op.constant(np.array(times, np.int64)), op.constant(np.array(True)))
    loop.set_function(ov.Model(results, [held]))
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(held, x.output(0), made.output(0))
    loop.set_friendly_name("again")
    return loop.get_iter_value(made.output(0), -1)


def _product(x: Any) -> Any:
    return op.matmul(x, op.constant(np.eye(4, dtype=np.float32)), transpose_a=False, transpose_b=False)


def looped(times: int, *, inner: int | None = None, products: bool = False, while_below: float | None = None) -> Any:
    """A network of one loop, or of one in another."""
    x = op.parameter([1, 4], np.float32, name="x")

    def body(held: Any) -> Any:
        if inner is not None:
            return op.relu(_loop(inner, held, _product))
        return _product(held) if products else op.sin(held)

    return _named(ov.Model([_loop(times, x, body, while_below=while_below)], [x]))


def sliced(steps: int) -> Any:
    """A network that takes ``[1, steps, 4]`` step by step."""
    x = op.parameter([1, steps, 4], np.float32, name="x")
    step = op.parameter([1, 1, 4], np.float32)
    made = _product(step)
    loop = op.tensor_iterator()
    loop.set_body(ov.Model([made], [step]))
    loop.set_sliced_input(step, x.output(0), 0, 1, 1, -1, 1)
    loop.set_friendly_name("steps")
    return _named(ov.Model([loop.get_concatenated_slices(made.output(0), 0, 1, 1, -1, 1)], [x]))


def _named(model: Any) -> Any:
    model.inputs[0].tensor.set_names({"x"})
    model.outputs[0].tensor.set_names({"y"})
    return model
