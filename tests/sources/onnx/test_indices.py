"""Integer inputs that are indices: how far they may go, and conversions that hang on it."""

from pathlib import Path

import numpy as np
import pytest
from onnx import checker, parser, save

from edgekit import samples
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource, indices
from edgekit.waist import run, tensors

OPSET = '<ir_version: 9, opset_import: ["": 17]>'

SCATTER = "g (float[{n},4] feat, int64[{n},1] idx) => (float[{rows},4] y) <float[1,4] zero = {{0,0,0,0}}, int64[2] to = {{{rows},4}}> {{ table = Expand(zero, to) y = ScatterND(table, idx, feat) }}"
CELLS = "g (float[{n}] feat, int64[{n},2] idx) => (float[5,6] y) <float[1,1] zero = {{0}}, int64[2] to = {{5,6}}> {{ table = Expand(zero, to) y = ScatterND(table, idx, feat) }}"


def _model(text: str):
    model = parser.parse_model(f"{OPSET} {text}")
    checker.check_model(model)
    return model


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("g (int64[1,3] i) => (float[1,3,2] y) <float[5,2] t = {0,1,2,3,4,5,6,7,8,9}> { y = Gather(t, i) }", 5),
        ("g (int64[3] i) => (float[5,3] y) <float[5,2] t = {0,1,2,3,4,5,6,7,8,9}> { y = Gather <axis = 1> (t, i) }", 2),
        ("g (int32[1,3] i) => (float[3,2] y) <float[5,2] t = {0,1,2,3,4,5,6,7,8,9}, int64[1] s = {-1}> "
         "{ j = Cast <to = 7> (i) k = Reshape(j, s) y = Gather(t, k) }", 5),
        ("g (float[7,4] x, int64[2,1] i) => (float[2,4] y) { y = GatherND(x, i) }", 7),
        ("g (int64[3] i) => (float[3,9] y) <int64[1] d = {9}, float[2] v = {0,1}> { y = OneHot(i, d, v) }", 9),
        ("g (int64[3] i, float[3] x) => (float[3] y) { j = Cast <to = 1> (i) y = Add(j, x) }", None),
        (CELLS.format(n=7), 5),
    ],
)  # fmt: skip
def test_the_smallest_table_bounds_what_indexes_it(text: str, limit: int | None) -> None:
    model = _model(text)
    name = next(value.name for value in model.graph.input if value.type.tensor_type.elem_type != 1)
    assert indices.limits(model, [name]).get(name) == (None if limit is None else range(limit))


@pytest.mark.parametrize(
    "text", [SCATTER.format(n=80, rows=576), SCATTER.format(n=30, rows=31), CELLS.format(n=12)], ids=str
)
def test_a_scatter_converts_exactly_without_samples(text: str, tmp_path: Path) -> None:
    """Indices that repeat would leave its result open."""
    save(_model(text), tmp_path / "m.onnx")
    source, options = OnnxSource(), SourceOptions()
    signature = source.describe(tmp_path / "m.onnx", options).signature
    waist = source.to_waist(tmp_path / "m.onnx", options, tmp_path)
    drawn = samples.random(signature, 5)
    drawn.save(tmp_path / "in.npz")
    source.run(tmp_path / "m.onnx", options, tmp_path / "in.npz", tmp_path / "out.npz")
    made = run.run(tmp_path / "waist.tflite", tensors.inputs_to_file(waist.signature, drawn.inputs))
    found = tensors.outputs_to_source(waist.signature, made)
    assert np.array_equal(found["y"], np.load(tmp_path / "out.npz")["y"])
    assert np.load(tmp_path / "out.npz")["y"].any()


def test_the_users_samples_are_preferred(tmp_path: Path) -> None:
    """Behind arithmetic nobody knows how far an index may go; what is made up repeats, and a right file is refused."""
    text = (
        SCATTER.format(n=12, rows=20)
        .replace("(table, idx,", "(table, next,")
        .replace("table = Exp", "next = Add(idx, one) table = Exp")
    )
    save(_model(text.replace("float[1,4] zero", "int64[1] one = {1}, float[1,4] zero")), tmp_path / "m.onnx")
    random = np.random.default_rng(0)
    idx = np.stack([random.permutation(19)[:12, None] for _ in range(3)])
    np.savez(tmp_path / "in.npz", feat=random.standard_normal((3, 12, 4)).astype(np.float32), idx=idx)
    with pytest.raises(Unsupported, match="disagrees"):
        OnnxSource().to_waist(tmp_path / "m.onnx", SourceOptions(), tmp_path)
    waist = OnnxSource().to_waist(tmp_path / "m.onnx", SourceOptions(), tmp_path, tmp_path / "in.npz")
    assert (tmp_path / waist.file).is_file()
