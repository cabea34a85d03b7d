"""Each operator that is lifted computes what LiteRT computes, and its gradients are those of LiteRT."""

from pathlib import Path

import pytest

from edgekit.waist import graph
from tests.lazy import Lazy
from tests.trainable import cases
from tests.trainable.lifted import agreement_db, samples, slopes

lifting = Lazy("edgekit.trainable.lifting")
writing = Lazy("edgekit.trainable.writing")
tf = Lazy("tensorflow")

ROUNDED = {"QUANTIZE"}
"""Cases whose slope is 0 almost everywhere, and that pass the gradient of what they round."""


SIBLINGS = {
    "NEG", "GELU_approximate", "PRELU_of_rows", "CONV_2D", "CONV_2D_dilated", "CONV_2D_places", "DEPTHWISE_CONV_2D",
    "DEPTHWISE_CONV_2D_dilated", "TRANSPOSE_CONV_places", "TRANSPOSE_CONV_same", "FULLY_CONNECTED_rows", "BATCH_MATMUL",
    "AVERAGE_POOL_2D_valid", "MAX_POOL_2D_same", "L2_POOL_2D_valid", "SUM_kept", "PAD",
    "SPACE_TO_BATCH_ND", "RESIZE_BILINEAR", "LSTM", "LSTM_time_major",
}  # fmt: skip
"""Cases whose kind another case shows; a study lifts them."""


def test_every_operator_has_a_case_that_is_no_sibling(tmp_path: Path) -> None:
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    for name in cases.CASES:
        (main, *_) = graph.read(cases.write(name, tmp_path))
        kinds[name in SIBLINGS] |= {operator.name for operator in main.operators}
    assert kinds[True] <= kinds[False]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.study, pytest.mark.long] if name in SIBLINGS else [])
        for name in cases.CASES
    ],
)
def test_an_operator_is_lifted(name: str, tmp_path: Path) -> None:
    path = cases.write(name, tmp_path)
    lifted = lifting.lift(path)
    values = samples(path)
    assert not lifted.notes
    assert agreement_db(lifted, values) >= (40 if name in ROUNDED else 80)
    assert writing.written(lifted) == path.read_bytes()
    by_gradients, by_litert = slopes(lifted, tmp_path, values)
    if name not in ROUNDED:
        assert by_gradients == pytest.approx(by_litert, rel=0.03, abs=0.03)


@pytest.mark.parametrize("name", cases.STOPPING)
def test_an_operator_without_a_gradient_computes_the_same(name: str, tmp_path: Path) -> None:
    lifted = lifting.lift(cases.write(name, tmp_path))
    assert agreement_db(lifted, samples(lifted.path)) >= 80
    assert lifted.notes
    assert all("stops training; no gradient reaches scale" in note for note in lifted.notes)


@pytest.mark.parametrize("name", [name for name in cases.CASES if name.startswith("BATCH_MATMUL")])
def test_no_stack_of_matrices_is_multiplied_by_a_single_one(name: str, tmp_path: Path) -> None:
    """Its gradient writes past its memory in TensorFlow 2.21 with oneDNN."""
    lifted = lifting.lift(cases.write(name, tmp_path))
    traced = tf.function(lifted.model).get_concrete_function([tf.TensorSpec(x.shape) for x in lifted.model.inputs])
    products = [one for one in traced.graph.get_operations() if "MatMul" in one.type]
    assert products
    for one in products:
        assert len({len(side.shape) for side in one.inputs}) == 1
        assert one.type == "MatMul" or all(side.shape[0] is None for side in one.inputs)
