"""TFLite as a source: signatures, shapes that the file leaves open, quantized files, and damage."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.nouns.model import Model, SourceOptions, Waist
from edgekit.sources.tflite import TfliteSource
from edgekit.waist import graph, run
from tests import networks

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "docs" / "examples" / "digits" / "model.keras"
PLAIN = SourceOptions()


@pytest.fixture(scope="session")
def digits(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real float TFLite file: the bundled example's."""
    out = tmp_path_factory.mktemp("digits")
    worker.call("sources", "keras", "to_waist", path=DIGITS, options=PLAIN, out=out)
    return out / "waist.tflite"


@pytest.fixture
def changed(digits: Path, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Write the example again after a change to its object tree."""

    def change(edit: Callable[[Any], None]) -> Path:
        tree = graph.load(digits)
        edit(tree)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(tree.Pack(builder), file_identifier=b"TFL3")
        path = tmp_path / "changed.tflite"
        path.write_bytes(bytes(builder.Output()))
        return path

    return change


def boundary(tree: Any) -> tuple[Any, Any]:
    """The first input's and the first output's tensor."""
    main = tree.subgraphs[0]
    return main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]


def describe(worker: Worker, path: Path, **shapes: tuple[int, ...]) -> Model:
    made = worker.call("sources", "tflite", "describe", path=path, options=SourceOptions(shapes=shapes))
    assert isinstance(made, Model)
    return made


def to_waist(worker: Worker, path: Path, out: Path, **shapes: tuple[int, ...]) -> Waist:
    made = worker.call("sources", "tflite", "to_waist", path=path, options=SourceOptions(shapes=shapes), out=out)
    assert isinstance(made, Waist)
    return made


def test_describes_what_the_file_says(worker: Worker, digits: Path) -> None:
    made = describe(worker, digits)
    assert [(spec.name, spec.shape, spec.dtype) for spec in made.signature.inputs] == [
        ("image", (1, 8, 8, 1), "float32")
    ]
    assert [(spec.name, spec.shape) for spec in made.signature.outputs] == [("digit", (1, 10))]
    assert made.producer == "MLIR Converted."


def test_a_fixed_float_file_is_its_own_waist(worker: Worker, digits: Path, tmp_path: Path) -> None:
    made = to_waist(worker, digits, tmp_path)
    assert (tmp_path / made.file).read_bytes() == digits.read_bytes()
    assert made.notes == ()


def test_an_open_batch_becomes_one(worker: Worker, changed: Any, tmp_path: Path) -> None:
    def opened(tree: Any) -> None:
        for tensor in boundary(tree):
            tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)

    made = to_waist(worker, changed(opened), tmp_path / "out")
    main = graph.read(tmp_path / "out" / made.file)[0]
    assert [main.tensors[index].signature_shape for index in main.inputs] == [(1, 8, 8, 1)]
    assert [spec.shape for spec in made.signature.outputs] == [(1, 10)]
    assert made.notes


def test_a_larger_batch_reaches_every_tensor(worker: Worker, changed: Any, tmp_path: Path) -> None:
    def opened(tree: Any) -> None:
        image, _ = boundary(tree)
        image.shapeSignature = np.array([-1, 8, 8, 1], np.int32)
        for operator in tree.subgraphs[0].operators:  # a flatten to [-1, n], as converters write it for an open batch
            if tree.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.RESHAPE:
                shape = tree.subgraphs[0].tensors[operator.inputs[1]]
                width = int(np.prod(tree.subgraphs[0].tensors[operator.outputs[0]].shape[1:]))
                tree.buffers[shape.buffer].data = np.frombuffer(np.array([-1, width], np.int32).tobytes(), np.uint8)

    path = changed(opened)
    made = to_waist(worker, path, tmp_path / "out", image=(4, 8, 8, 1))
    assert made.signature.inputs[0].shape == (4, 8, 8, 1)
    assert made.signature.outputs[0].shape == (4, 10)
    random = np.random.default_rng(0).random((2, 4, 8, 8, 1)).astype(np.float32)
    four = run.run(tmp_path / "out" / made.file, {"image": random})["digit"]
    single = to_waist(worker, path, tmp_path / "single")
    one = run.run(tmp_path / "single" / single.file, {"image": random.reshape(8, 1, 8, 8, 1)})["digit"]
    np.testing.assert_allclose(four.reshape(8, 10), one.reshape(8, 10), rtol=1e-4, atol=1e-6)


def test_other_open_dimensions_need_a_shape(worker: Worker, changed: Any) -> None:
    def opened(tree: Any) -> None:
        boundary(tree)[0].shapeSignature = np.array([-1, -1, -1, 1], np.int32)

    with pytest.raises(InputError) as caught:
        describe(worker, changed(opened))
    assert "image is [?, ?, ?, 1]" in caught.value.problem
    assert "--shape image=1,?,?,1" in caught.value.fix


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 0, 8, 1)])
def test_a_shape_that_does_not_fit_is_explained(worker: Worker, digits: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, digits, image=shape)
    assert str(list(shape)) in caught.value.problem


def test_a_shape_that_the_operators_refuse_is_unsupported(worker: Worker, digits: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        describe(worker, digits, image=(1, 9, 7, 1))
    assert "[1, 9, 7, 1]" in caught.value.problem


def test_names_that_repeat_or_lack_are_numbered(worker: Worker, changed: Any, tmp_path: Path) -> None:
    def nameless(tree: Any) -> None:
        for tensor in boundary(tree):
            tensor.name = b""

    path = changed(nameless)
    made = describe(worker, path)
    assert [spec.name for spec in made.signature.inputs] == ["input_0"]
    assert [spec.name for spec in made.signature.outputs] == ["output_0"]
    waist = to_waist(worker, path, tmp_path / "out")
    assert waist.signature == made.signature
    values = run.run(tmp_path / "out" / waist.file, {"input_0": np.zeros((1, 1, 8, 8, 1), np.float32)})
    assert values["output_0"].shape == (1, 1, 10)


def test_missing_samples_are_named(worker: Worker, digits: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", picture=np.zeros((1, 1, 8, 8, 1), np.float32))
    with pytest.raises(InputError) as caught:
        worker.call(
            "sources", "tflite", "run",
            path=digits, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
        )  # fmt: skip
    assert "image" in caught.value.problem
    assert not (tmp_path / "out.npz").exists()


def test_custom_operators_are_named(worker: Worker, changed: Any, tmp_path: Path) -> None:
    def foreign(tree: Any) -> None:
        code = tree.operatorCodes[tree.subgraphs[0].operators[0].opcodeIndex]
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, schema.BuiltinOperator.CUSTOM
        code.customCode = b"FlexFancy"

    with pytest.raises(Unsupported) as caught:
        to_waist(worker, changed(foreign), tmp_path / "out")
    assert "FlexFancy" in caught.value.problem
    assert not (tmp_path / "out").exists()


def test_a_dimension_of_size_zero_is_refused(worker: Worker, changed: Any) -> None:
    def empty(tree: Any) -> None:
        boundary(tree)[0].shape = np.array([1, 0, 8, 1], np.int32)

    with pytest.raises(InputError) as caught:
        describe(worker, changed(empty))
    assert "[1, 0, 8, 1]" in caught.value.problem


def test_a_graph_without_inputs_is_refused(worker: Worker, changed: Any) -> None:
    def closed(tree: Any) -> None:
        tree.subgraphs[0].inputs = []

    with pytest.raises(InputError):
        describe(worker, changed(closed))


def test_a_claim_of_two_gigabytes_takes_no_memory(worker: Worker, digits: Path, tmp_path: Path) -> None:
    content = bytearray(digits.read_bytes())
    buffers = [len(buffer.data) for buffer in graph.load(digits).buffers if buffer.data is not None]
    position = content.index(struct.pack("<I", max(buffers)))
    content[position : position + 4] = struct.pack("<I", 2**31 - 1)
    path = tmp_path / "huge.tflite"
    path.write_bytes(content)
    with pytest.raises(EdgekitError) as caught:
        to_waist(worker, path, tmp_path / "out")
    assert caught.value.fix
    assert not (tmp_path / "out").exists()


@pytest.mark.study
@settings(max_examples=200)
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4
    )
)
@example(edits=[(0.09375, b"\x01\x01\x01\x80")])  # a tensor name that is no UTF-8
def test_mutated_bytes_give_success_or_a_remedy(
    worker: Worker, digits: Path, tmp_path: Path, edits: list[tuple[float, bytes]]
) -> None:
    original = digits.read_bytes()
    structure = len(original) // 3  # weights fill the rest; a changed weight breaks nothing
    content = bytearray(original)
    for share, new in edits:
        at = int(share * structure) if len(new) % 2 else len(original) - 1 - int(share * structure)
        content[at : at + len(new)] = new
    path = tmp_path / "mutated.tflite"
    path.write_bytes(content)
    np.savez(tmp_path / "in.npz", image=np.zeros((1, 1, 8, 8, 1), np.float32))
    try:
        describe(worker, path)
        to_waist(worker, path, tmp_path / "out")
        worker.call(
            "sources", "tflite", "run",
            path=path, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
        )  # fmt: skip
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - success is as good
        assert error.place  # noqa: PT017


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "tflite/basic_pitch_nmp",
        "tflite/dtln_model_1",
        "tflite/gesture_keypoint_classifier",
        "tflite/gesture_point_history_classifier",
        "mlperf_tiny/pretrainedResnet",
    ],
)
def test_third_party_float_models_reach_the_waist_unchanged(
    worker: Worker, shared: Path, tmp_path: Path, name: str
) -> None:
    path = shared / "models" / f"{name}.tflite"
    made = to_waist(worker, path, tmp_path)
    random = np.random.default_rng(0)
    values = {spec.name: random.random((3, *spec.shape)).astype(spec.dtype) for spec in made.signature.inputs}
    np.savez(tmp_path / "in.npz", **values)  # type: ignore[arg-type]
    worker.call(
        "sources", "tflite", "run",
        path=path, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
    )  # fmt: skip
    reference = run.run(path, values)
    found = run.run(tmp_path / made.file, values)
    with np.load(tmp_path / "out.npz") as held:
        assert set(held) == set(reference) == set(found)
        for output in held:
            np.testing.assert_array_equal(held[output], reference[output])
            np.testing.assert_array_equal(found[output], reference[output])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("mlperf_tiny/ad01_int8", "int8"),
        ("mlperf_tiny/kws_ref_model", "int8"),
        ("mlperf_tiny/pretrainedResnet_quant", "int8"),
        ("mlperf_tiny/str_ww_ref_model", "int8"),
        ("mlperf_tiny/vww_96_int8", "int8"),
    ],
)
def test_quantized_models_can_be_read_and_run_but_not_built_from(
    worker: Worker, shared: Path, tmp_path: Path, name: str, dtype: str
) -> None:
    path = shared / "models" / f"{name}.tflite"
    made = describe(worker, path)
    assert made.signature.inputs[0].dtype == dtype
    assert (made.signature.inputs[0].scale is not None) == (dtype == "int8")
    values = {spec.name: np.ones((2, *spec.shape), spec.dtype) for spec in made.signature.inputs}
    np.savez(tmp_path / "in.npz", **values)  # type: ignore[arg-type]
    worker.call(
        "sources", "tflite", "run",
        path=path, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
    )  # fmt: skip
    with np.load(tmp_path / "out.npz") as held:
        for output, expected in run.run(path, values).items():
            np.testing.assert_array_equal(held[output], expected)
    with pytest.raises(Unsupported) as caught:
        to_waist(worker, path, tmp_path / "out")
    assert "quantized already" in caught.value.problem
    assert "int8" in caught.value.problem


def test_the_first_tensor_that_differs_is_named(worker: Worker, digits: Path, changed: Any, tmp_path: Path) -> None:
    """The example against itself, with the weights of its last layer turned around."""

    def turn(tree: Any) -> None:
        main = tree.subgraphs[0]
        dense = next(o for o in reversed(main.operators) if len(o.inputs) == 3)
        buffer = tree.buffers[main.tensors[dense.inputs[1]].buffer]
        buffer.data = (-np.frombuffer(bytes(buffer.data), np.float32)).view(np.uint8)

    waist = to_waist(worker, digits, tmp_path / "waist")
    np.savez(tmp_path / "in.npz", image=np.random.default_rng(0).random((1, 1, 8, 8, 1), np.float32))
    found = [
        worker.call(
            "sources", "tflite", "first_divergence",
            path=digits, options=PLAIN, waist=msgspec.structs.replace(waist, file=str(file)),
            inputs=tmp_path / "in.npz", threshold_db=60.0,
        )
        for file in (tmp_path / "waist" / waist.file, changed(turn))
    ]  # fmt: skip
    assert found[0] is None
    assert found[1].operator == "FULLY_CONNECTED"
    assert found[1].sqnr_db < 60


@pytest.mark.shared
def test_a_quantized_file_is_kept_as_it_is(worker: Worker, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "mlperf_tiny" / "ad01_int8.tflite"
    made = worker.call("sources", "tflite", "as_it_is", path=path, options=PLAIN, out=tmp_path)
    assert made.signature == describe(worker, path).signature
    values = {
        spec.name: np.random.default_rng(0).integers(-128, 128, (2, *spec.shape), np.int8)
        for spec in made.signature.inputs
    }
    expected = run.run(path, values)
    assert {name: got.tolist() for name, got in run.run(tmp_path / made.file, values).items()} == {
        name: got.tolist() for name, got in expected.items()
    }


def test_a_file_that_no_runtime_loads_is_kept_too(worker: Worker, changed: Any, tmp_path: Path) -> None:
    def rename(tree: Any) -> None:
        tree.operatorCodes[0].builtinCode = tree.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        tree.operatorCodes[0].customCode = b"Teleport"

    path = changed(rename)
    made = worker.call("sources", "tflite", "as_it_is", path=path, options=PLAIN, out=tmp_path)
    assert (tmp_path / made.file).read_bytes() == path.read_bytes()


def test_weights_in_float16_are_decoded(worker: Worker, tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    kernel = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float16)
    stored = net.constant("kernel16", kernel)
    wide = net.operator("DEQUANTIZE", [stored], (4, 8), name="kernel")
    y = net.operator("FULLY_CONNECTED", [x, wide, -1], (1, 4), name="y", kind="FullyConnectedOptions")
    path = tmp_path / "half.tflite"
    net.save(path, y)
    assert describe(worker, path).precision == "float16"
    made = worker.call("sources", "tflite", "to_waist", path=path, options=PLAIN, out=tmp_path / "waist")
    waist = tmp_path / "waist" / made.file
    (operator,) = graph.read(waist)[0].operators
    assert operator.name == "FULLY_CONNECTED"
    weights = graph.constant(graph.load(waist), 0, operator.inputs[1])
    assert weights is not None
    assert weights.dtype == np.float32
    assert np.array_equal(weights, kernel.astype(np.float32))
    values = {"x": np.random.default_rng(1).normal(size=(2, 1, 8)).astype(np.float32)}
    assert np.allclose(run.run(path, values)["y"], run.run(waist, values)["y"], rtol=1e-6, atol=1e-6)


def test_a_subgraph_that_uses_what_is_not_there_is_damaged(worker: Worker, tmp_path: Path) -> None:
    path = networks.element_wise(tmp_path / "m.tflite", "ABS")
    tree = graph.load(path)
    tree.subgraphs.append(graph.load(path).subgraphs[0])
    tree.subgraphs[1].operators[0].outputs = [99]
    path.write_bytes(graph.pack(tree))
    with pytest.raises(InputError, match="uses a tensor that is not there"):
        worker.call("sources", "tflite", "describe", path=path, options=PLAIN)


def reckoned(net: networks.Network, x: int) -> int:
    """``x [batch, 12]`` as ``[batch, 3, 4]``, by a shape that is reckoned while the network runs."""
    shape = net.operator("SHAPE", [x], (2,), dtype="int32", kind="ShapeOptions", outType=schema.TensorType.INT32)
    ends = [net.constant(name, np.array([value], np.int32)) for name, value in (("begin", 0), ("end", 1), ("step", 1))]
    batch = net.operator("STRIDED_SLICE", [shape, *ends], (1,), dtype="int32", kind="StridedSliceOptions")
    rest = net.constant("rest", np.array([3, 4], np.int32))
    wanted = net.operator("CONCATENATION", [batch, rest], (3,), dtype="int32", kind="ConcatenationOptions")
    return net.operator("RESHAPE", [x, wanted], (1, 1, 1), kind="ReshapeOptions")


@pytest.mark.parametrize("batch", [1, 5])
def test_a_shape_that_is_reckoned_is_known(batch: int, tmp_path: Path) -> None:
    """As the frames of a spectrogram are, of which LiteRT knows the size once they are there."""
    net = networks.Network()
    x = net.input("x", (1, 12))
    made = reckoned(net, x)
    result = net.operator("NEG", [made], (1, 1, 1))
    net.subgraph.tensors[x].shapeSignature = np.array([-1, 12], np.int32)
    for tensor in (made, result):
        net.subgraph.tensors[tensor].shapeSignature = np.array([-1, -1, -1], np.int32)
    path = net.save(tmp_path / "net.tflite", result)
    waist = TfliteSource().to_waist(path, SourceOptions(shapes={"x": (batch, 12)}), tmp_path / "out")
    assert waist.signature.outputs[0].shape == (batch, 3, 4)
    main = graph.read(tmp_path / "out" / waist.file)[0]
    assert main.tensors[made].shape == (batch, 3, 4)
    assert -1 not in main.tensors[made].signature_shape


def test_an_input_that_a_run_refuses_keeps_the_shape_that_was_asked_for(tmp_path: Path) -> None:
    """Indices made of values: one of the runs looks beyond the table."""
    net = networks.Network()
    x = net.input("x", (1, 1))
    three = net.constant("three", np.array([[3.2]], np.float32))
    scaled = net.operator("MUL", [x, three], (1, 1), kind="MulOptions")
    index = net.operator("CAST", [scaled], (1, 1), dtype="int32", kind="CastOptions")
    table = net.constant("table", np.arange(6, dtype=np.float32).reshape(3, 2))
    result = net.operator("GATHER", [table, index], (1, 1, 2), kind="GatherOptions")
    for tensor, shape in ((x, [-1, 1]), (scaled, [-1, 1]), (index, [-1, 1]), (result, [-1, 1, 2])):
        net.subgraph.tensors[tensor].shapeSignature = np.array(shape, np.int32)
    path = net.save(tmp_path / "net.tflite", result)
    waist = TfliteSource().to_waist(path, SourceOptions(shapes={"x": (5, 1)}), tmp_path / "out")
    assert waist.signature.inputs[0].shape == (5, 1)
    assert waist.signature.outputs[0].shape == (5, 1, 2)


def test_a_shape_that_depends_on_values_stays_open(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 12))
    half = net.constant("half", np.full((1, 12), 0.5, np.float32))
    above = net.operator("GREATER", [x, half], (1, 12), dtype="bool")
    places = net.operator("WHERE", [above], (1, 2), dtype="int64")
    net.subgraph.tensors[x].shapeSignature = np.array([-1, 12], np.int32)
    net.subgraph.tensors[places].shapeSignature = np.array([-1, 2], np.int32)
    counted = net.operator("SUM", [places, net.constant("axes", np.array([0], np.int32))], (2,), dtype="int64")
    path = net.save(tmp_path / "net.tflite", counted)
    waist = TfliteSource().to_waist(path, SourceOptions(), tmp_path / "out")
    main = graph.read(tmp_path / "out" / waist.file)[0]
    assert main.tensors[places].signature_shape[0] == -1
