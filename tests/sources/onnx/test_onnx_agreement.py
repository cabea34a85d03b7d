"""The conversion's own check: on zeros, constants and large values too."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.model import Divergence
from edgekit.sources.onnx import agreement, refusal
from edgekit.sources.onnx.runtime import session
from tests.sources.onnx.onnx_cases import build, save
from tests.sources.onnx.onnx_proof import convert


def _known(model: onnx.ModelProto) -> agreement.ReferenceRun:
    return agreement.reference(session(model), {"x": (1, 4)}, {"x": np.dtype(np.float32)})


def test_the_source_is_also_run_at_the_edges() -> None:
    known = _known(build("float[1,4] x", "y = Relu(x)"))
    assert [name for name, _, _ in known.edges] == ["zeros", "ones", "large values"]
    assert not known.edges[0][1]["x"].any()
    assert (known.edges[1][1]["x"] == 1).all()
    assert np.abs(known.edges[2][1]["x"]).max() > 1e3


def _fault(model: onnx.ModelProto, edge: int, value: float) -> str | None:
    known = _known(model)
    _, feed, outputs = known.edges[edge]
    usual = np.stack([result["y"] for result in known.outputs])
    given = np.full_like(outputs["y"], value)
    return agreement.fault(outputs["y"], given, usual, lambda: agreement.shaken(known, feed, "y"))


def test_a_lost_guard_is_a_fault_at_the_edge() -> None:
    guarded = build("float[1,4] x", "n = ReduceL2<axes=[1]>(x) c = Max(n, e) y = Div(x, c)", e=np.float32(1e-12))
    assert "NaN" in (_fault(guarded, 0, np.nan) or "")
    assert _fault(guarded, 0, 0.0) is None
    assert "error" in (_fault(guarded, 1, 0.9) or "")


def test_what_the_source_itself_does_not_settle_is_no_fault() -> None:
    """The deviation of a constant is rounding, and divided by itself it is anything."""
    rounding = build("float[1,4] x", "m = ReduceMean<axes=[1]>(x) d = Sub(x, m) s = Mul(d, k) y = Exp(s)", k=np.float32(1e6))  # fmt: skip
    assert _fault(rounding, 1, 1.5) is None
    assert _fault(rounding, 1, np.nan) is not None


BOUNDED = build(
    "float[1,4] x, float low, float high",
    "far = Add(low, big) a = GreaterOrEqual(x, far) b = LessOrEqual(x, high) c = And(a, b) m = Where(c, x, none) y = Softmax(m)",
    none=np.float32(-np.inf),
    big=np.float32(1e6),
)
"""A softmax over what lies between two settings: NaN if that is nothing."""


def test_a_source_that_gives_no_number_is_not_called_a_disagreement(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, BOUNDED)
    known = agreement.reference(
        session(BOUNDED),
        {"x": (1, 4), "low": (), "high": ()},
        dict.fromkeys(("x", "low", "high"), np.dtype(np.float32)),
    )
    assert not any(np.isfinite(result["y"]).any() for result in known.outputs)
    with pytest.raises(Unsupported, match="gives NaN or infinity at the output 'y'") as caught:
        convert(worker, path, tmp_path / "waist")
    assert "--constant low=" in caught.value.fix
    assert "--constant high=" in caught.value.fix


def test_inputs_that_steer_shapes_are_offered_as_constants(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,2,3] x, int64[1] axes", "y = Unsqueeze(x, axes) z = ReduceSum(x, axes)", "float[] y, float[] z")  # fmt: skip
    with pytest.raises(Unsupported) as caught:
        convert(worker, save(tmp_path, model), tmp_path / "waist")
    assert "--constant axes=" in caught.value.fix


def test_a_refusal_names_the_first_operator_only(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "a = Relu(x) b = NonZero(a) c = RandomNormalLike(x) y = Add(c, x)", "int64[] b, float[] y")  # fmt: skip
    with pytest.raises(Unsupported) as caught:
        convert(worker, save(tmp_path, model), tmp_path / "waist")
    assert "NonZero" in caught.value.problem
    assert "RandomNormalLike" not in caught.value.problem


def test_where_a_conversion_leaves_its_source_is_named() -> None:
    found = Divergence(tensor="inner", operator="ADD", sqnr_db=3.0)
    refused = refusal.disagreement("y", "3.0 dB SQNR, 60 dB wanted", found)
    assert "part at the tensor 'inner' (ADD)" in refused.problem


@pytest.mark.parametrize("changed", [1, 4])
def test_a_tie_among_many_classes_is_none_to_refuse(changed: int) -> None:
    classes = np.random.default_rng(0).integers(0, 5, (1, 256, 256))
    other = classes.copy()
    other.flat[:: classes.size // changed] += 1
    assert agreement.closeness_db(classes, other) > agreement.THRESHOLD_DB
    assert agreement.closeness_db(classes, np.roll(classes, 1)) < 3
    assert agreement.closeness_db(classes[:, :4, :4], other[:, :4, :4]) < agreement.THRESHOLD_DB


FAINT = {
    "one": "s = Add(x, low) y = Sigmoid(s)",
    "turned": "s = Add(x, low) t = Sigmoid(s) y = Reshape(t, shape)",
    "joined": "s = Add(x, low) a = Sigmoid(s) n = Neg(x) m = Add(n, low) b = Sigmoid(m) y = Concat<axis=1>(a, b)",
    "multiplied": "s = Add(x, low) a = Sigmoid(s) b = Sigmoid(x) y = Mul(a, b)",
}
"""Scores near 0, of which ONNX Runtime computes all but the last bits of 1."""


@pytest.mark.parametrize("form", FAINT)
@pytest.mark.parametrize("low", [-10.0, -14.0, -16.0])
def test_the_rounding_of_a_faint_score_is_no_disagreement(
    form: str, low: float, worker: Worker, tmp_path: Path
) -> None:
    shape = np.array([4, 1], np.int64)
    file = save(tmp_path, build("float[1,4] x", FAINT[form], low=np.float32(low), shape=shape), "faint")
    convert(worker, file, tmp_path / "out")


def test_scores_that_are_nothing_but_rounding_show_nothing(worker: Worker, tmp_path: Path) -> None:
    models = [build("float[1,4] x", FAINT["one"], low=np.float32(low)) for low in (-10.0, -24.0)]
    made = convert(worker, save(tmp_path, models[0], "faint"), tmp_path / "out")
    with pytest.raises(agreement.Disagreement):
        agreement.check(tmp_path / "out" / made.file, made.signature, _known(models[1]))


@pytest.mark.parametrize("form", FAINT)
def test_a_faint_score_that_is_another_is_a_disagreement(form: str, worker: Worker, tmp_path: Path) -> None:
    shape = np.array([4, 1], np.int64)
    models = [build("float[1,4] x", FAINT[form], low=np.float32(low), shape=shape) for low in (-10.0, -10.1)]
    file = save(tmp_path, models[0], "faint")
    made = convert(worker, file, tmp_path / "out")
    with pytest.raises(agreement.Disagreement, match="dB SQNR"):
        agreement.check(tmp_path / "out" / made.file, made.signature, _known(models[1]))
