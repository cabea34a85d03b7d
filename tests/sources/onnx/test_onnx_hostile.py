"""Damaged and hostile files end with a remedy, in seconds, before anything large is allocated."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx.network import every_node
from edgekit.sources.onnx.opening import reading
from tests.sources.onnx.onnx_cases import build, f32, i64, save
from tests.sources.onnx.onnx_mutants import mutants
from tests.sources.onnx.onnx_proof import assert_faithful, convert

PATIENCE_S = 60


def _outcome(worker: Worker, path: Path, folder: Path) -> str:
    """``made``, or the remedy's class; anything else is a bug and raises."""
    begun, remedy = time.monotonic(), None
    try:
        convert(worker, path, folder)
    except EdgekitError as error:
        remedy = error
    assert time.monotonic() - begun < PATIENCE_S
    assert remedy is None or (remedy.problem and remedy.place)
    return type(remedy).__name__ if remedy else "made"


@pytest.mark.study
@pytest.mark.slow
def test_mutants_end_with_a_file_or_a_remedy(worker: Worker, tmp_path: Path) -> None:
    outcomes = []
    for number, (name, content) in enumerate(mutants(250, seed=20)):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        try:
            outcomes.append(_outcome(worker, path, tmp_path / f"{number}"))
        except Exception as error:
            raise AssertionError(f"mutant {name}: {error}") from error
    assert {"made", "InputError", "Unsupported"} <= set(outcomes)


@pytest.mark.study
@pytest.mark.shared
def test_reported_files_end_with_a_file_or_a_remedy(worker: Worker, tmp_path: Path, shared: Path) -> None:
    paths = sorted((shared / "models" / "hostile").glob("*.onnx"))
    outcomes = {path.stem: _outcome(worker, path, tmp_path / path.stem) for path in paths}
    assert outcomes["domain_ai_onnx_node"] == "made"
    assert outcomes["onnxs-21-223"] == "InputError"
    assert outcomes["flow-642"] == "Unsupported"


EXPANDING = {
    "ConstantOfShape": build("float[1,4] x", "c = ConstantOfShape(s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", s=i64(60_000, 60_000)),
    "Expand": build("float[1,4] x", "c = Expand(x, s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", s=i64(1_000_000_000, 4)),
    "Tile": build("float[1,4] x", "c = Tile(x, s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", s=i64(1_000_000_000, 1)),
    "Pad": build("float[1,4] x", "c = Pad(x, s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", s=i64(0, 0, 2_000_000_000, 0)),
    "Range": build("float[1,4] x", "c = Range(a, b, d) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", a=np.float32(0), b=np.float32(4e9), d=np.float32(1)),
    "Resize": build("float[1,1,4,4] x", 'c = Resize<mode="nearest">(x, , s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)', s=f32(1, 1, 20_000, 20_000)),
    "MatMul": build("float[1,4] x", "c = MatMul(a, b) m = ReduceMax<keepdims=0>(c) y = Add(x, m)", a=(60_000, 1), b=(1, 60_000)),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(EXPANDING))
def test_what_expands_to_gigabytes_is_refused_by_its_operator(kind: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=rf"{kind} makes 'c' .*GiB"):
        convert(worker, save(tmp_path, EXPANDING[kind]), tmp_path / "waist")


def test_a_constant_that_expands_is_not_evaluated_inside_a_chain(worker: Worker, tmp_path: Path) -> None:
    """The size is itself computed, so that no single operator shows it."""
    model = build(
        "float[1,4] x",
        "a = Mul(k, k) s = Concat<axis=0>(a, a) c = ConstantOfShape(s) m = ReduceMax<keepdims=0>(c) y = Add(x, m)",
        k=i64(300),
    )
    with pytest.raises(Unsupported, match="ConstantOfShape makes 'c'"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


@pytest.mark.parametrize("rows", [2**25, 2**31, 500_000_000, 2**62])
def test_an_input_of_gigabytes_is_refused(rows: int, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x of .* samples of it need .* GiB"):
        convert(worker, save(tmp_path, build(f"float[{rows},8] x", "y = Relu(x)")), tmp_path / "waist")


def test_onnx_may_be_named_as_a_domain(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "t = Relu(x) y = Clip(t, a)", opset=11, a=np.float32(-1))
    for node in model.graph.node:
        node.domain = "ai.onnx"
    assert_faithful(worker, save(tmp_path, model), tmp_path)


def test_sparse_weights_are_refused(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Add(x, w)")
    values = numpy_helper.from_array(f32(1), "w")
    indices = numpy_helper.from_array(i64(2), "w_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    with pytest.raises((InputError, Unsupported), match=r"sparse|'w'"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


@pytest.mark.parametrize(
    ("inputs", "said"), [(["x", "w", ""], "Sum lacks its input"), (["x", "nothing"], "Sum reads 'nothing'"), ([], "Sum lacks")]
)  # fmt: skip
def test_what_is_not_there_is_named(inputs: list[str], said: str, worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Sum(x, w)", w=f32(1, 2, 3, 4))
    del model.graph.node[0].input[:]
    model.graph.node[0].input.extend(inputs)
    with pytest.raises(InputError, match=said):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


def test_a_constant_that_does_not_fill_its_shape_is_named(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Add(x, c)")
    empty = TensorProto(data_type=TensorProto.FLOAT, dims=[2**40], name="bomb")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=empty))
    with pytest.raises(InputError, match="'bomb' do not fill their shape"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


def test_a_network_that_computes_nothing_is_refused(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Identity(k)", k=(1, 4))
    assert isinstance(model, onnx.ModelProto)
    with pytest.raises(Unsupported, match="computes nothing"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


@pytest.mark.parametrize("version", [0, -1, 2**31, 2**40, 2**63 - 1])
@pytest.mark.parametrize("place", [0, 1])
def test_an_operator_set_of_an_impossible_version_is_refused(
    version: int, place: int, worker: Worker, tmp_path: Path
) -> None:
    model = build("float[1,4] x", "y = Relu(x)")
    model.opset_import[place].version = version
    with pytest.raises(InputError, match=f"imports version {version} of"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


IN_A_BRANCH = """
    y = If (c) <
        then_branch = a () => (float[1,4] s) { s = Relu(x) }, else_branch = b () => (float[1,4] t) { t = Elu<alpha=2.0>(x) }
    >
"""


@pytest.mark.parametrize("body", ["y = Elu<alpha=2.0>(x)", IN_A_BRANCH])
def test_attributes_that_stand_for_nothing_are_named(body: str, worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", body, c=np.True_)
    node = next(node for node in every_node(model.graph) if node.op_type == "Elu")
    node.attribute[0].ref_attr_name = "alpha"
    with pytest.raises(InputError, match="'alpha' of Elu has no value"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


def test_a_list_that_doubles_is_refused_before_its_values_are_followed(worker: Worker, tmp_path: Path) -> None:
    doubled = " ".join(f"c{i} = Concat<axis=0>(c{i - 1}, c{i - 1})" for i in range(1, 34))
    model = build("float[1] x", f"{doubled} s = ReduceSum<keepdims=0>(c33) y = Add(s, x)", c0=f32(1))
    begun = time.monotonic()
    with pytest.raises(Unsupported, match=r"Concat makes"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")
    assert time.monotonic() - begun < PATIENCE_S / 4


def _functions(bodies: list[str]) -> onnx.ModelProto:
    text = '<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[1,4] x) => (float[1,4] y) {{ y = own.f{}(x) }}'
    made = text.format(len(bodies) - 1)
    for i, body in enumerate(bodies):
        made += f'<domain: "own", opset_import: ["": 17, "own": 1]> f{i} (a) => (b) {{ {body} }}'
    return onnx.parser.parse_model(made)


INSIDE = "t = Constant<value = bool {1}>() b = If(t) <then_branch = g () => (c) { c = own.f0(a) }, else_branch = h () => (d) { d = Sin(a) }>"


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        (["b = Sin(a)", *(f"t = own.f{i}(a) b = own.f{i}(t)" for i in range(40))], "until they are 1,099,511,627,776"),
        (["b = Sin(a)", *(f"t = own.f{i}(a) u = own.f{i}(t) b = own.f{i}(u)" for i in range(30))], "call one another"),
        (["t = own.f0(a) b = Sin(t)"], "its function f0 calls itself"),
        (["b = own.f1(a)", "b = own.f0(a)"], r"its function f\d calls itself"),
        ([INSIDE], "its function f0 calls itself"),
    ],
    ids=["doubling", "trebling", "itself", "one another", "in a branch"],
)
def test_functions_that_never_end_or_grow_are_refused(bodies: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_functions(bodies), path)
    with pytest.raises(InputError, match=said):
        reading.read(path, SourceOptions())


@pytest.mark.parametrize("depth", [8, 9])
def test_branches_in_branches_are_read_as_deep_as_anybody_writes_them(depth: int, tmp_path: Path) -> None:
    text = "y = Sin(x)"
    for i in range(depth):
        text = f"y = If(c) <then_branch = a{i} () => (float[1,4] y) {{ {text} }}, else_branch = b{i} () => (float[1,4] z) {{ z = Cos(x) }}>"
    path = save(tmp_path, build("float[1,4] x, bool c", text))
    if depth == 8:
        assert reading.read(path, SourceOptions())
    else:
        with pytest.raises(InputError, match="more than 8 deep"):
            reading.read(path, SourceOptions())


def test_many_functions_that_end_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_functions(["b = Sin(a)", *(f"b = own.f{i}(a)" for i in range(1200))]), path)
    assert reading.read(path, SourceOptions())
