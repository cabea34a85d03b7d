from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.waist import graph
from edgekit.waist.run import run
from tests import networks


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.classifier(tmp_path_factory.mktemp("net") / "net.tflite")


def test_a_graph_is_read(file: Path) -> None:
    (main,) = graph.read(file)
    assert [operator.name for operator in main.operators] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "AVERAGE_POOL_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    image = main.tensors[main.inputs[0]]
    assert (image.name, image.shape, image.dtype, image.constant_bytes) == ("image", (1, 8, 8, 3), "float32", 0)
    kernel = main.tensors[main.operators[0].inputs[1]]
    assert (kernel.shape, kernel.constant_bytes, kernel.scales) == ((16, 3, 3, 3), 16 * 27 * 4, ())
    assert main.operators[0].options["strideH"] == 1
    assert main.operators[3].options["newShape"] == [1, 64]


def test_names_of_operators_need_not_the_whole_file(file: Path) -> None:
    assert graph.operator_names(file) == {operator.name for main in graph.read(file) for operator in main.operators}


def test_indices_point_at_themselves(file: Path) -> None:
    (main,) = graph.read(file)
    assert [tensor.index for tensor in main.tensors] == list(range(len(main.tensors)))
    assert [operator.index for operator in main.operators] == list(range(len(main.operators)))


def test_packing_what_was_loaded_changes_nothing_that_matters(file: Path) -> None:
    model = graph.load(file)
    again = graph.parse(graph.pack(model), file)
    assert graph.describe(again) == graph.read(file)
    for index, tensor in enumerate(graph.read(file)[0].tensors):
        if tensor.constant_bytes:
            assert np.array_equal(graph.constant(again, 0, index), graph.constant(model, 0, index))


def test_constants_come_in_their_shape_and_activations_do_not(file: Path) -> None:
    model = graph.load(file)
    (main,) = graph.describe(model)
    values = graph.constant(model, 0, main.operators[3].inputs[1])
    assert values is not None
    assert values.dtype == np.int32
    assert values.tolist() == [1, 64]
    assert graph.constant(model, 0, main.inputs[0]) is None


@pytest.mark.parametrize("shape", [(), (16,), (1, 3, 3, 16)])
def test_a_buffer_of_no_bytes_makes_no_constant(file: Path, shape: tuple[int, ...]) -> None:
    model = graph.load(file)
    main = model.subgraphs[0]
    place = next(i for i, tensor in enumerate(main.tensors) if graph.constant(model, 0, i) is not None)
    main.tensors[place].shape = np.array(shape, np.int32)
    model.buffers[main.tensors[place].buffer].data = np.empty(0, np.uint8)
    assert graph.constant(model, 0, place) is None
    main.tensors[place].shape = np.array([0], np.int32)
    assert graph.constant(model, 0, place).size == 0


def test_quantization_is_read(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (2,), "int8")
    quantization = graph.schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint, quantization.quantizedDimension = [0.5, 0.25], [0, 0], 1
    net.subgraph.tensors[x].quantization = quantization
    tensor = graph.read(net.save(tmp_path / "net.tflite", x))[0].tensors[x]
    assert (tensor.scales, tensor.zero_points, tensor.axis) == ((0.5, 0.25), (0, 0), 1)


def test_dynamic_dimensions_and_custom_operators(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    net.subgraph.tensors[x].shapeSignature = np.array([-1, 4], np.int32)
    y = net.operator("CUSTOM", [x], (1, 4))
    net.model.operatorCodes[0].customCode = b"Mine"
    file = net.save(tmp_path / "net.tflite", y)
    (main,) = graph.read(file)
    assert graph.operator_names(file) == {"CUSTOM:Mine"}
    assert (main.tensors[x].shape, main.tensors[x].signature_shape) == ((1, 4), (-1, 4))
    assert main.operators[0].name == "CUSTOM:Mine"


def test_old_files_have_their_operators_in_the_older_field(file: Path) -> None:
    model = graph.load(file)
    for code in model.operatorCodes:
        code.builtinCode = 0
    names = [operator.name for operator in graph.describe(graph.parse(graph.pack(model), file))[0].operators]
    assert names[0] == "CONV_2D"


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\x7fTFL3" + bytes(64), b"hello, I am text, not a model"],
)
def test_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.tflite is") as caught:
        graph.read(path)
    assert caught.value.fix


@settings(max_examples=60)
@given(data=st.data())
def test_a_file_cut_short_or_with_flipped_bytes_is_read_or_refused(data: st.DataObject, file: Path) -> None:
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, min(len(content) - 1, 2000)))] = data.draw(st.integers(0, 255))
    broken = file.parent / "broken.tflite"
    broken.write_bytes(content)
    try:
        graph.read(broken)
    except InputError as error:
        complaint = error
    else:
        return
    assert "broken.tflite" in complaint.problem


def behind(path: Path, *, shift: int = 0) -> Path:
    """The same file with its constants behind the flatbuffer, as converters write networks above 2 GB."""
    model = graph.load(path)
    kept = [buffer.data for buffer in model.buffers]
    for buffer, data in zip(model.buffers, kept, strict=True):
        if data is not None:
            buffer.data, buffer.offset, buffer.size = None, 2, len(data)
    start = len(graph.pack(model))
    tail = b""
    for buffer, data in zip(model.buffers, kept, strict=True):
        if data is not None:
            tail += bytes(-(start + len(tail)) % 16)
            buffer.offset = start + len(tail) + shift
            tail += bytes(data)
    content = graph.pack(model)
    assert len(content) == start
    made = path.with_name("behind.tflite")
    made.write_bytes(content + tail)
    return made


def test_constants_behind_the_flatbuffer_are_read_as_those_in_it(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    far = behind(path)
    assert graph.read(far) == graph.read(path)
    (near_tree, far_tree) = (graph.load(file) for file in (path, far))
    for tensor in range(len(near_tree.subgraphs[0].tensors)):
        near, other = (graph.constant(tree, 0, tensor) for tree in (near_tree, far_tree))
        assert (near is None) == (other is None)
        assert near is None or np.array_equal(near, other)
    again = tmp_path / "again.tflite"
    again.write_bytes(graph.pack(far_tree))  # a copy holds them itself
    x = {"image": networks.weights(2, 1, 8, 8, 3)}
    results = [run(file, x)["probabilities"] for file in (path, far, again)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_constants_that_lie_beyond_the_file_are_refused(tmp_path: Path) -> None:
    far = behind(networks.classifier(tmp_path / "net.tflite"), shift=1 << 40)
    with pytest.raises(InputError, match="damaged"):
        graph.load(far)
