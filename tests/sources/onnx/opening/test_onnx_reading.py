"""What is refused, with which remedy, and what the user's file looks like afterwards: untouched."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import runtime
from tests.sources.onnx.onnx_cases import CASES, build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, convert, describe

DYNAMIC = build("float[N,3,H,W] image, float[N,size] extra", "y = Relu(image) z = Relu(extra)", "float[] y, float[] z")


def test_describe_tells_signature_producer_and_opset(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(CASES["conv"])
    model.producer_name, model.producer_version = "pytorch", "2.8"
    described = describe(worker, save(tmp_path, model, "network.onnx"))
    assert (described.name, described.file, described.format) == ("network", "network.onnx", "onnx")
    assert (described.producer, described.opset) == ("pytorch 2.8", 17)
    assert described.signature.inputs[0].shape == (1, 3, 8, 8)
    assert described.signature.outputs[0].source_shape == (1, 4, 8, 8)
    assert described.sha256 == hashlib.sha256((tmp_path / "network.onnx").read_bytes()).hexdigest()
    assert described.bytes == (tmp_path / "network.onnx").stat().st_size


def test_a_dynamic_batch_becomes_1_and_is_said(worker: Worker, tmp_path: Path) -> None:
    described = describe(worker, save(tmp_path, build("float[N,4] x", "y = Relu(x)")))
    assert described.signature.inputs[0].shape == (1, 4)
    assert "x [N, 4] is taken as [1, 4]" in described.warnings[0]


def test_other_dynamic_dimensions_are_asked_for_by_name(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, save(tmp_path, DYNAMIC))
    assert "image [N, 3, H, W]" in caught.value.problem
    assert "extra [N, size]" in caught.value.problem
    assert "--shape image=1,3,224,224" in caught.value.fix


def test_asked_shapes_are_used_and_shared_by_dimension_name(worker: Worker, tmp_path: Path) -> None:
    model = build("float[B,T] x, float[B,T] mask", "y = Mul(x, mask)")
    described = describe(worker, save(tmp_path, model), SourceOptions(shapes={"x": (2, 7)}))
    assert [spec.shape for spec in described.signature.inputs] == [(2, 7), (2, 7)]
    assert described.signature.outputs[0].shape == (2, 7)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [({"imag": (1, 3, 8, 8)}, "no input 'imag'"), ({"x": (1, 3, 8)}, "does not fit"), ({"x": (1, 3, 0, 8)}, "does not fit")],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(
    shapes: dict[str, tuple[int, ...]], said: str, worker: Worker, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        describe(worker, save(tmp_path, CASES["conv"]), SourceOptions(shapes=shapes))


def test_a_dimension_of_size_0_is_refused(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="size 0"):
        describe(worker, save(tmp_path, build("float[1,0] x", "y = Relu(x)")))


@pytest.mark.parametrize("keep", [0, 10, 100, 400])
def test_a_truncated_file_is_refused(keep: int, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, CASES["conv"])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError) as caught:
        describe(worker, path)
    assert "model.onnx" in caught.value.problem


def test_text_is_refused(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("this is no model\n" * 20)
    with pytest.raises(InputError, match="damaged ONNX file"):
        describe(worker, path)


@pytest.mark.parametrize("text", [b"Relu", b"com.microsoft", b"alpha", b"mean"])
def test_text_that_is_not_utf8_is_refused(text: bytes, worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "t = LeakyRelu<alpha=0.1>(x) u = Sub(t, mean) y = Relu(u)", mean=(4,))
    path = save(tmp_path, model)
    path.write_bytes(path.read_bytes().replace(text, b"\xff" + text[1:]))
    with pytest.raises(InputError, match="text that is not UTF-8"):
        describe(worker, path)


def test_documentation_in_another_encoding_matters_to_nobody(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build("float[1,4] x", "y = Relu(x)"))
    for described in (model, model.graph, model.graph.node[0], model.graph.input[0]):
        described.doc_string = "grosse"
    path = save(tmp_path, model)
    path.write_bytes(path.read_bytes().replace(b"grosse", b"gr\xf6sse"))
    assert_faithful(worker, path, tmp_path)


@settings(max_examples=60)
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=3)), min_size=1, max_size=2
    )
)
@example(edits=[(0.15, b"\x80")])  # an operator whose name is no UTF-8
def test_mutated_bytes_give_success_or_a_remedy(
    worker: Worker, tmp_path: Path, edits: list[tuple[float, bytes]]
) -> None:
    body = "a = Gemm<transB=1>(x, w, b) r = Relu(a) s = Reshape(r, shape) y = Softmax<axis=2>(s)"
    path = save(tmp_path, build("float[1,4] x", body, w=(6, 4), b=(6,), shape=i64(1, 2, 3)))
    content = bytearray(path.read_bytes())
    for share, new in edits:
        at = int(share * (len(content) - len(new)))
        content[at : at + len(new)] = new
    path.write_bytes(content)
    try:
        describe(worker, path)
        worker.call("sources", "onnx", "to_waist", path=path, options=SourceOptions(), out=tmp_path)
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - success is as good
        assert error.place  # noqa: PT017
        assert error.fix  # noqa: PT017


def test_names_made_twice_are_refused(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build("float[1,4] x", "t = Relu(x) y = Neg(t)"))
    model.graph.node.append(helper.make_node("Abs", ["x"], ["t"]))
    with pytest.raises(InputError, match="'t' is made twice"):
        describe(worker, save(tmp_path, model))


def test_a_name_that_nothing_makes_is_refused(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="invalid graph"):
        describe(worker, save(tmp_path, build("float[1,4] x", "y = Add(x, ghost)")))


def test_nan_weights_are_refused_by_name(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Mul(x, gain)", gain=np.asarray([1, np.nan, 2, 3], np.float32))
    with pytest.raises(InputError, match="'gain' hold NaN"):
        describe(worker, save(tmp_path, model))


def test_unknown_operators_are_refused_with_their_domain(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build("float[1,4] x", "y = Relu(x)"))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Warp", "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(Unsupported, match=r"com\.example:Warp"):
        describe(worker, save(tmp_path, model))


def test_the_models_own_functions_are_no_unknown_operators(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build("float[1,4] x", "y = Relu(x)"))
    body = [helper.make_node("Mul", ["a", "a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "Square", ["a"], ["b"], body, opsets))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Square", "mine"
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert_faithful(worker, save(tmp_path, model), tmp_path)


@pytest.mark.parametrize("name", ["deeploy_mlperf_ic", "superres_prepost_op18_customops"])
@pytest.mark.shared
def test_real_models_with_unknown_operators_are_refused_by_name(name: str, worker: Worker, shared: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        describe(worker, shared / "models" / "onnx_invalid" / f"{name}.onnx")
    assert "RequantShift" in caught.value.problem or "com.microsoft.extensions:DecodeImage" in caught.value.problem


def _external(folder: Path) -> Path:
    model = onnx.ModelProto()
    model.CopyFrom(CASES["conv"])
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return folder / "model.onnx"


def test_external_data_is_read(worker: Worker, tmp_path: Path) -> None:
    path = _external(tmp_path)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    assert_faithful(worker, path, tmp_path)


def test_missing_external_data_is_named(worker: Worker, tmp_path: Path) -> None:
    path = _external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin"):
        describe(worker, path)


def test_the_users_files_are_untouched_and_none_is_added(worker: Worker, tmp_path: Path) -> None:
    path = _external(tmp_path)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    here = set(Path.cwd().iterdir())
    describe(worker, path)
    convert(worker, path, tmp_path / "waist")
    after = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir() if p.is_file()}
    assert after == before
    assert set(Path.cwd().iterdir()) == here
    assert [p.name for p in (tmp_path / "waist").iterdir()] == ["waist.tflite"]


def test_a_refused_conversion_leaves_nothing(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        convert(worker, save(tmp_path, CASES["conv_dynamic_weights"]), tmp_path / "waist")
    assert list((tmp_path / "waist").iterdir()) == []


def test_initializers_listed_as_inputs_are_weights(worker: Worker, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(build("float[1,4] x, float[4] gain", "y = Mul(x, gain)"))
    model.graph.initializer.append(numpy_helper.from_array(np.arange(4, dtype=np.float32), "gain"))
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    assert [spec.name for spec in waist.signature.inputs] == ["x"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (build("float[1,4] x", "y = NonZero(x)", "int64[] y"), "NonZero"),
        (build("float[1,4] x, int64[2] s", "y = Reshape(x, s)"), "Reshape takes a shape"),
        (build("float[1,4] x", "y = RandomNormalLike(x)"), "RandomNormalLike"),
        (build("float[1,4] x, float[1,4] i", "y = Relu(x)", "string[] y"), "."),
    ],
    ids=["data_dependent", "steered", "random", "string"],
)
def test_what_has_no_static_form_is_refused(
    model: onnx.ModelProto, reason: str, worker: Worker, tmp_path: Path
) -> None:
    with pytest.raises((Unsupported, InputError), match=reason):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 17, 19, 21, 23])
def test_every_opset_from_7_converts(opset: int, worker: Worker, tmp_path: Path) -> None:
    body = "a = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(a) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r) f = Flatten(p) g = Gemm(f, v, c) y = Softmax(g)"
    model = build("float[1,3,8,8] x", body, opset=opset, w=(4, 3, 3, 3), b=(4,), v=(64, 5), c=(5,))
    assert_faithful(worker, save(tmp_path, model), tmp_path)


@pytest.mark.parametrize("domain", ["ai.onnx", "ai.onnx.ml"])
def test_a_newer_opset_than_the_runtimes_is_refused_with_the_newest(
    domain: str, worker: Worker, tmp_path: Path
) -> None:
    model = build("float[1,4] x", "y = Relu(x)", opset=99 if domain == "ai.onnx" else 17)
    if domain != "ai.onnx":
        model.opset_import.append(helper.make_opsetid(domain, 99))
    with pytest.raises(InputError, match=rf"needs opset 99 of {domain}; the newest .* is \d+\.") as caught:
        describe(worker, save(tmp_path, model))
    newest = int(caught.value.problem.rpartition(" is ")[2].removesuffix("."))
    assert str(newest) in caught.value.fix
    model.opset_import[-1 if domain != "ai.onnx" else 0].version = newest
    assert describe(worker, save(tmp_path, model)).opset in {newest, 17}


def test_a_newer_ir_version_than_the_runtimes_is_refused_with_the_newest(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x", "y = Relu(x)")
    model.ir_version = 99
    with pytest.raises(InputError, match=r"needs IR version 99; the newest .* is \d+\.") as caught:
        describe(worker, save(tmp_path, model))
    model.ir_version = int(caught.value.fix.partition("model.ir_version = ")[2].partition(" ")[0])
    assert_faithful(worker, save(tmp_path, model), tmp_path)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("/a/core/graph/model.cc:181 ort::Model::Model(X&&, const Y*) ", "Bad  version."),
        ("/a/b.h:4 void f(const std::vector<int>&) const [with T = float] ", "it fails (here)."),
        ("", "no place (of its own) is named"),
    ],
)
def test_a_complaint_of_the_runtime_leaves_out_its_own_source(where: str, what: str) -> None:
    said = runtime.complaint(RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {where}{what}"))
    assert said == " ".join(what.split())


def test_a_complaint_of_the_runtime_names_the_operator_first() -> None:
    text = (
        "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running DeformConv node. Name:'/deform' "
        "Status Message: deform_conv_attributes.h:206 Validate Offset channel count must be even."
    )
    assert runtime.complaint(RuntimeError(text)) == "DeformConv (/deform): Offset channel count must be even."


def test_shape_arithmetic_of_exporters_folds_away(worker: Worker, tmp_path: Path) -> None:
    body = "a = Conv(x, w) s = Shape(a) n = Gather(s, zero) u = Unsqueeze(n, axis) t = Concat<axis=0>(u, rest) y = Reshape(a, t)"
    model = build("float[N,3,8,8] x", body, w=(4, 3, 3, 3), zero=np.int64(0), axis=i64(0), rest=i64(-1))
    waist = assert_faithful(worker, save(tmp_path, model), tmp_path)
    assert waist.signature.outputs[0].shape == (1, 144)


def test_a_file_that_changes_is_read_again(worker: Worker, tmp_path: Path) -> None:
    """A worker keeps what it read last."""
    path = save(tmp_path, build("float[1,4] x", "y = Relu(x)"))
    assert describe(worker, path).signature.inputs[0].shape == (1, 4)
    save(tmp_path, build("float[1,6] x", "y = Relu(x)"))
    assert describe(worker, path).signature.inputs[0].shape == (1, 6)
    assert convert(worker, path, tmp_path / "waist").signature.inputs[0].shape == (1, 6)


def test_external_data_that_changes_is_read_again(worker: Worker, tmp_path: Path) -> None:
    path = _external(tmp_path)
    assert_faithful(worker, path, tmp_path)
    weights = np.fromfile(tmp_path / "weights.bin", np.float32)
    (-weights).tofile(tmp_path / "weights.bin")
    again = tmp_path / "again"
    again.mkdir()
    assert_faithful(worker, path, again)


def test_options_that_change_are_heeded(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, build("float[B,T] x", "y = Relu(x)"))
    for shape in ((1, 3), (2, 5)):
        described = describe(worker, path, SourceOptions(shapes={"x": shape}))
        assert described.signature.inputs[0].shape == shape
