"""Weights in files beside the model, wherever in it they belong: part of it, bounded, and never from elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx.opening import external
from edgekit.steps import conversion, reading
from tests.sources.onnx.onnx_cases import build, f32
from tests.sources.onnx.onnx_proof import assert_faithful, computed, describe, draw

BRANCHES = "then_branch = t () => (o) {{ {} o = Add(x, w) }}, else_branch = e () => (o) {{ o = Neg(x) }}"
CONSTANT = "w = Constant<value = float[6] {1, 2, 3, 4, 5, 6}>()"
FUNCTION = """<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[1,6] x) => (float[1,6] y) { y = own.shift(x) }
<opset_import: ["": 17], domain: "own"> shift (x) => (o) { w = Constant<value = float[6] {1, 2, 3, 4, 5, 6}>() o = Add(x, w) }"""

KINDS = {
    "initializer": build("float[1,6] x", "y = Add(x, w)", w=f32(1, 2, 3, 4, 5, 6)),
    "Constant": build("float[1,6] x", f"{CONSTANT} y = Add(x, w)"),
    "Constant in a branch": build("float[1,6] x", f"y = If(c) <{BRANCHES.format(CONSTANT)}>", c=np.bool_(1)),
    "Constant in a loop": build(
        "float[1,6] x",
        f"y = Loop(n, c, x) <body = b (int64 i, bool d, float[1,6] s) => (k, z) "
        f"{{ {CONSTANT} k = Identity(d) z = Add(s, w) }}>",
        n=np.int64(2), c=np.bool_(1),
    ),
    "Constant in a function": onnx.parser.parse_model(FUNCTION),
    "shape": build("float[1,6] x", "t = Constant<value = int64[2] {2, 3}>() y = Reshape(x, t)"),
}  # fmt: skip


def _branch_weights() -> onnx.ModelProto:
    """A branch with an initializer of its own."""
    model = build("float[1,6] x", f"y = If(c) <{BRANCHES.format('')}>", c=np.bool_(1), w=f32(0))
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    model.graph.initializer.remove(weights)
    model.graph.node[0].attribute[0].g.initializer.append(numpy_helper.from_array(f32(1, 2, 3, 4, 5, 6), "w"))
    return model


KINDS["initializer of a branch"] = _branch_weights()


def _every(message: object) -> Iterator[TensorProto]:
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from _every(inner)


def _save(folder: Path, model: onnx.ModelProto, location: str = "weights.bin", **said: int) -> Path:
    """The model with its largest tensor in a file beside it, written by hand: onnx's own tools leave some out."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    tensor = max(_every(copy), key=lambda t: numpy_helper.to_array(t).size)
    content = numpy_helper.to_array(tensor).tobytes()
    (folder / "weights.bin").write_bytes(b"head" + content)
    for field in ("raw_data", "float_data", "int64_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": 4, "length": len(content), **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "model.onnx").write_bytes(copy.SerializeToString())
    return folder / "model.onnx"


def _turned(file: Path) -> bytes:
    """The same numbers, first and last exchanged: valid for shapes as well."""
    content = file.read_bytes()
    width = 8 if len(content) == 20 else 4
    return content[:4] + content[-width:] + content[4 + width : -width] + content[4 : 4 + width]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session(Store(tmp_path_factory.mktemp("cache")), tmp_path_factory.mktemp("log") / "log.txt") as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_and_a_change_gives_another_answer(kind: str, session: Session, tmp_path: Path) -> None:
    path = _save(tmp_path, KINDS[kind])
    right = []
    for turn in range(3):
        if turn == 1:
            file = tmp_path / "weights.bin"
            file.write_bytes(_turned(file))
        if turn == 2:
            _save(tmp_path, KINDS[kind])
        network = reading.open_network(session, path, SourceOptions())
        assert network.model.companions == ("weights.bin",)
        waist = conversion.to_waist(session, network)
        samples = draw(waist.result)
        right.append(next(iter(computed(waist.result, waist.folder, samples).values())))
    assert right[0].shape != right[1].shape or not np.array_equal(right[0], right[1])
    np.testing.assert_array_equal(right[0], right[2])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_built_computes_what_the_source_does(kind: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, _save(tmp_path, KINDS[kind]), tmp_path)


def test_a_companion_that_has_gone_is_missed_with_a_warm_cache_too(session: Session, tmp_path: Path) -> None:
    path = _save(tmp_path, KINDS["Constant"])
    conversion.to_waist(session, reading.open_network(session, path, SourceOptions()))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin"):
        reading.open_network(session, path, SourceOptions())


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/hostname", "link.bin", "sub/weights.bin"])
@pytest.mark.parametrize("kind", ["initializer", "Constant in a branch"])
def test_files_elsewhere_are_never_read(kind: str, location: str, worker: Worker, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = _save(folder, KINDS[kind], location)
    shutil.copy(folder / "weights.bin", tmp_path / "outside.bin")
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "sub").symlink_to(tmp_path)
    shutil.copy(folder / "weights.bin", tmp_path / "weights.bin")
    with pytest.raises(InputError, match="outside of its folder"):
        describe(worker, path)


@pytest.mark.parametrize("said", [{"offset": 8}, {"length": 1000}, {"offset": -4}, {"length": -1}])
def test_more_than_the_file_holds_is_refused(said: dict[str, int], worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.bin does not hold"):
        describe(worker, _save(tmp_path, KINDS["Constant"], **said))


def test_more_than_two_gib_are_refused_before_they_are_read(worker: Worker, tmp_path: Path) -> None:
    size = 24_000 * 25_000 * 4
    path = _save(tmp_path, KINDS["Constant"], offset=0, length=size)
    with (tmp_path / "weights.bin").open("r+b") as file:
        file.truncate(size)  # sparse: it takes no room
    with pytest.raises(Unsupported, match="2 GiB"):
        describe(worker, path)


def test_those_of_sparse_tensors_and_training_count() -> None:
    model = onnx.ModelProto()
    elsewhere = TensorProto(data_location=TensorProto.EXTERNAL)
    elsewhere.external_data.add(key="location", value="a.bin")
    model.graph.sparse_initializer.add().values.CopyFrom(elsewhere)
    elsewhere.external_data[0].value = "b.bin"
    model.training_info.add().algorithm.initializer.append(elsewhere)
    elsewhere.external_data[0].value = "c.bin"
    model.graph.node.append(
        helper.make_node("Constant", [], ["c"], sparse_value=onnx.SparseTensorProto(values=elsewhere))
    )
    assert external.files(model) == ("a.bin", "b.bin", "c.bin")
