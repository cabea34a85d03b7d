"""MaxPool with indices: every form of it in one network, on numbers of which many are equal."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import build, save
from tests.sources.onnx.onnx_proof import computed, convert, draw, expected

Form = dict[str, Any]

FORMS: dict[tuple[int, ...], list[Form]] = {
    (2, 3, 9): [
        {"kernel_shape": [kernel], "strides": [step], **more}
        for kernel, step, more in product(
            (2, 3), (1, 2), ({"pads": [1, 1]}, {"dilations": [2], "ceil_mode": 1}, {"ceil_mode": 1, "pads": [1, 0]})
        )
    ],
    (2, 3, 7, 8): [
        *(
            {"kernel_shape": kernel, "strides": steps, "pads": pads, "storage_order": order}
            for (kernel, order), (steps, pads) in product(
                (([3, 3], 0), ([2, 3], 1)), (([1, 1], [0] * 4), ([2, 3], [1, 1, 1, 1]), ([2, 1], [0, 1, 1, 0]))
            )
        ),
        *(
            {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": auto}
            for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
        ),
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [2, 3], "dilations": [2, 2], "storage_order": 1},
    ],
    (1, 2, 8, 8): [{"kernel_shape": [2, 2], "strides": [2, 2], "storage_order": order} for order in (0, 1)],
    (1, 2, 4, 5, 6): [
        *({"kernel_shape": [2, 2, 3], "strides": [2, 1, 3], "storage_order": order} for order in (0, 1)),
        {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2], "pads": [0, 1, 0, 0, 0, 0]},
    ],
}
"""By the input's shape; each operator of ``[2, 2]`` by ``[2, 2]`` is the converter's own."""


@pytest.mark.parametrize("shape", FORMS, ids=str)
def test_the_places_of_maxima(shape: tuple[int, ...], worker: Worker, tmp_path: Path) -> None:
    nodes, outputs = [helper.make_node("Round", ["x"], ["r"])], []
    for i, form in enumerate(FORMS[shape]):
        nodes.append(helper.make_node("MaxPool", ["r"], [f"y{i}", f"i{i}"], **form))
        outputs += [(f"y{i}", TensorProto.FLOAT), (f"i{i}", TensorProto.INT64)]
    graph = helper.make_graph(
        nodes,
        "forms",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs],
    )
    path = save(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    waist = convert(worker, path, tmp_path / "waist")
    samples = draw(waist)
    reference, got = expected(worker, path, tmp_path, samples), computed(waist, tmp_path / "waist", samples)
    apart = {name: FORMS[shape][int(name[1:])] for name in reference if not np.array_equal(reference[name], got[name])}
    assert apart == {}


def test_pooling_that_is_undone(worker: Worker, tmp_path: Path) -> None:
    """An encoder tells its decoder where maxima were (SegNet)."""
    model = build(
        "float[1,3,9,6] x",
        "p, i = MaxPool<kernel_shape=[3,2], strides=[3,2]>(x) y = MaxUnpool<kernel_shape=[3,2], strides=[3,2]>(p, i)",
    )
    path = save(tmp_path, model)
    waist = convert(worker, path, tmp_path / "waist")
    samples = draw(waist)
    (reference,), (got,) = (
        found.values()
        for found in (expected(worker, path, tmp_path, samples), computed(waist, tmp_path / "waist", samples))
    )
    assert np.array_equal(reference, got)


REFUSED = {
    "a window of very many places": "y, i = MaxPool<kernel_shape=[9,9]>(x)",
    "a window behind the image": "y, i = MaxPool<kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x)",
}
"""Of the second ONNX's shape inference has one place more than ONNX Runtime gives."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_places_is_refused_by_name(name: str, worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,1,19,19] x", REFUSED[name], "float[] y, int64[] i")
    with pytest.raises(Unsupported, match="MaxPool"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")
