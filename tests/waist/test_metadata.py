"""TFLite metadata: read back field by field, and nothing of the network touched."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffers import encode, number_types, packer, table
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.nouns.description import (
    AudioInput,
    ClassificationOutput,
    Description,
    DetectionOutput,
    ImageInput,
    ModelCard,
    Output,
    SegmentationOutput,
    TokensInput,
)
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing.described import complete
from edgekit.waist import graph, metadata, run
from tests import networks


class Read:
    """A table of a flatbuffer by the numbers of its fields, as the format itself defines it."""

    def __init__(self, content: bytes, place: int | None = None) -> None:
        start = encode.Get(packer.uoffset, content, 0) if place is None else place
        self._table = table.Table(content, start)

    def _at(self, field: int) -> int:
        offset = self._table.Offset(4 + 2 * field)
        return self._table.Pos + offset if offset else 0

    def number(self, field: int, kind: Any = number_types.Int8Flags) -> Any:
        place = self._at(field)
        return self._table.Get(kind, place) if place else 0

    def text(self, field: int) -> str:
        place = self._at(field)
        return self._table.String(place).decode() if place else ""

    def table(self, field: int) -> "Read":
        return Read(self._table.Bytes, self._table.Indirect(self._at(field)))

    def tables(self, field: int) -> list["Read"]:
        offset = self._table.Offset(4 + 2 * field)
        if not offset:
            return []
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [Read(self._table.Bytes, self._table.Indirect(start + 4 * i)) for i in range(count)]

    def numbers(self, field: int, kind: Any = number_types.Float32Flags) -> list[Any]:
        offset = self._table.Offset(4 + 2 * field)
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [self._table.Get(kind, start + 4 * i) for i in range(count)]


def spec(name: str, shape: tuple[int, ...], dtype: str = "float32", **more: Any) -> TensorSpec:
    return TensorSpec(
        name=name, shape=shape, dtype=dtype, source_name=name, source_shape=shape, source_dtype=dtype, **more
    )


def network(path: Path, *outputs: tuple[str, tuple[int, ...]], shape: tuple[int, ...] = (1, 8, 8, 3)) -> Signature:
    """A network that adds constants up to outputs of any shapes; its file's order of outputs is the reverse."""
    net = networks.Network()
    x = net.input("x", shape)
    axes = net.constant("axes", np.arange(len(shape), dtype=np.int32))
    mean = net.operator("MEAN", [x, axes], (), kind="ReducerOptions", keepDims=False)
    made = [
        net.operator(
            "ADD", [net.constant(f"c{name}", networks.weights(*size)), mean], size, name=name, kind="AddOptions"
        )
        for name, size in outputs
    ]
    net.save(path, *reversed(made))
    return Signature(inputs=(spec("x", shape),), outputs=tuple(spec(name, size) for name, size in outputs))


def embedded(
    path: Path, signature: Signature, *outputs: Output, image: Any = None, card: ModelCard | None = None
) -> tuple[Read, tuple[str, ...], bytes]:
    """The main subgraph's metadata, the notes, and the file."""
    inputs = (image if image is not None else ImageInput(range=(-1.0, 1.0)),)
    told = complete(Description(inputs=inputs, outputs=outputs, card=card or ModelCard()), signature)
    out = path.with_name("out.tflite")
    notes = metadata.embed(path, out, told, signature, "model")
    content = metadata.content_of(out)
    assert content is not None
    assert content[4:8] == b"M001"
    return Read(content), notes, out.read_bytes()


def test_names_normalization_labels_licence_and_author(tmp_path: Path) -> None:
    signature = network(tmp_path / "m.tflite", ("y", (1, 3)))
    card = ModelCard(name="Net", author="Ada", license="MIT", version="v2", description="tells cats from dogs")
    image = ImageInput(range=(0.0, 1.0), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labels = ("cat", "dog", "東京")
    root, notes, content = embedded(
        tmp_path / "m.tflite", signature, ClassificationOutput(labels=labels, threshold=0.25), image=image, card=card
    )
    assert notes == ()
    assert [root.text(i) for i in (0, 1, 2, 4, 5, 7)] == ["Net", card.description, "v2", "Ada", "MIT", "1.0.0"]
    (main,) = root.tables(3)
    (x,), (y,) = main.tables(2), main.tables(3)
    assert (x.text(0), y.text(0)) == ("x", "y")
    assert x.table(3).number(0, number_types.Uint8Flags) == 2  # ImageProperties
    assert x.table(3).table(1).number(0) == 1  # RGB
    size = x.table(3).table(1).table(1)
    assert [size.number(i, number_types.Uint32Flags) for i in (0, 1)] == [8, 8]
    (unit,) = x.tables(4)
    assert unit.number(0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert unit.table(1).numbers(0) == pytest.approx([123.675, 116.28, 103.53])
    assert unit.table(1).numbers(1) == pytest.approx([58.395, 57.12, 57.375])
    assert x.table(5).numbers(0) == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert x.table(5).numbers(1) == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    (file,), (unit,) = y.tables(6), y.tables(4)
    assert (file.text(0), file.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert unit.table(1).number(0, number_types.Float32Flags) == 0.25
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode() == "cat\ndog\n東京\n"
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_network_is_not_touched(tmp_path: Path) -> None:
    signature = network(tmp_path / "m.tflite", ("a", (1, 4)), ("b", (1, 2, 2, 3)))
    before = graph.load(tmp_path / "m.tflite")
    told = (ClassificationOutput(name="a", labels=("1", "2", "3", "4")),)
    _, _, content = embedded(tmp_path / "m.tflite", signature, *told)
    after = graph.load(tmp_path / "out.tflite")
    assert graph.describe(after) == graph.describe(before)
    assert [bytes(b.data) if b.data is not None else b"" for b in after.buffers[: len(before.buffers)]] == [
        bytes(b.data) if b.data is not None else b"" for b in before.buffers
    ]
    given_ = {"x": np.random.default_rng(0).normal(size=(3, 1, 8, 8, 3)).astype(np.float32)}
    sides = [list(run.each(tmp_path / name, given_, threads=1)) for name in ("m.tflite", "out.tflite")]
    for old, new in zip(*sides, strict=True):
        for name in old:
            np.testing.assert_array_equal(old[name], new[name])
    _, _, again = embedded(tmp_path / "m.tflite", signature, *told)
    assert again == content  # the same build gives the same bytes


def test_tensors_stand_in_the_files_order_and_a_second_time_replaces_the_first(tmp_path: Path) -> None:
    signature = network(tmp_path / "m.tflite", ("a", (1, 4)), ("b", (1, 2)))
    root, _, _ = embedded(tmp_path / "m.tflite", signature)
    assert [t.text(0) for t in root.tables(3)[0].tables(3)] == ["b", "a"]
    (tmp_path / "out.tflite").rename(tmp_path / "n.tflite")
    labels = tuple("abcd")
    root, _, _ = embedded(tmp_path / "n.tflite", signature, ClassificationOutput(name="a", labels=labels))
    assert len(graph.load(tmp_path / "out.tflite").metadata) == 1
    assert root.tables(3)[0].tables(3)[1].tables(6)[0].text(0) == "labels.txt"


@pytest.mark.parametrize(
    ("box_format", "kind", "index"),
    [("xyxy", 1, [0, 1, 2, 3]), ("yxyx", 1, [1, 0, 3, 2]), ("xywh", 2, [0, 1, 2, 3]), ("cxcywh", 3, [0, 1, 2, 3]),
     ("cycxhw", 3, [1, 0, 3, 2])],
)  # fmt: skip
def test_detections_have_the_names_that_readers_look_for(
    tmp_path: Path, box_format: Any, kind: int, index: list[int]
) -> None:
    shapes = (("n", (1,)), ("s", (1, 5)), ("c", (1, 5)), ("b", (1, 5, 4)))
    signature = network(tmp_path / "m.tflite", *shapes)
    told = DetectionOutput(
        name="b", scores="s", classes="c", count="n", labels=("cat", "dog"), box_format=box_format, suppression="none"
    )
    root, notes, _ = embedded(tmp_path / "m.tflite", signature, told)
    assert notes == ()
    (main,) = root.tables(3)
    outputs = main.tables(3)
    assert [t.text(0) for t in outputs] == ["location", "category", "score", "number of detections"]
    boxes = outputs[0].table(3)
    assert boxes.number(0, number_types.Uint8Flags) == 3  # BoundingBoxProperties
    assert boxes.table(1).numbers(0, number_types.Uint32Flags) == index
    assert (boxes.table(1).number(1), boxes.table(1).number(2)) == (kind, 0)
    assert outputs[1].tables(6)[0].number(2) == 3  # TENSOR_VALUE_LABELS
    assert main.tables(8)[0].text(0) == "detection_result"
    assert root.text(7) == "1.2.0"


def test_what_it_cannot_say_is_noted(tmp_path: Path) -> None:
    signature = network(tmp_path / "m.tflite", ("y", (1, 3)), ("d", (1, 9, 7)))
    _, notes, _ = embedded(
        tmp_path / "m.tflite", signature, ClassificationOutput(name="y", activation="softmax"),
        DetectionOutput(name="d", objectness=True), image=ImageInput(channels="BGR"),
    )  # fmt: skip
    assert [note.split("cannot say ")[1][:20] for note in notes] == [
        "that x is BGR NHWC: ", "how d becomes boxes:", "that y holds logits ",
    ]  # fmt: skip


def test_audio_tokens_and_several_files_of_labels(tmp_path: Path) -> None:
    signature = network(tmp_path / "m.tflite", ("y/z", (1, 2)), ("m", (1, 4, 4, 2)), shape=(1, 16))
    two = (
        ClassificationOutput(name="y/z", labels=("a", "b")),
        SegmentationOutput(name="m", labels=("c", "d"), layout="NHWC"),
    )
    root, _, content = embedded(tmp_path / "m.tflite", signature, *two, image=AudioInput(sample_rate=8000))
    audio = root.tables(3)[0].tables(2)[0].table(3)
    assert audio.number(0, number_types.Uint8Flags) == 4  # AudioProperties
    assert [audio.table(1).number(i, number_types.Uint32Flags) for i in (0, 1)] == [8000, 1]
    assert root.text(7) == "1.3.0"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["labels.txt", "labels_y_z.txt"]
    whole = signature.inputs[0]
    ids = Signature(
        inputs=(TensorSpec(**{f: getattr(whole, f) for f in whole.__struct_fields__} | {"source_dtype": "int32"}),),
        outputs=signature.outputs,
    )
    root, _, content = embedded(tmp_path / "m.tflite", ids, image=TokensInput(vocabulary=("the", "dog")))
    assert root.tables(3)[0].tables(2)[0].tables(6)[0].number(2) == 5  # VOCABULARY
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("vocabulary.txt") == b"the\ndog\n"


def test_a_file_that_is_too_large_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = network(tmp_path / "m.tflite", ("y", (1, 3)))
    monkeypatch.setattr(metadata, "MOST_BYTES", 10)
    (note,) = metadata.embed(tmp_path / "m.tflite", tmp_path / "o.tflite", Description(), signature, "m")
    assert "too large" in note
    assert (tmp_path / "o.tflite").read_bytes() == (tmp_path / "m.tflite").read_bytes()


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(name=words, author=words, labels=st.lists(words, min_size=3, max_size=3), tensor=words)
@settings(max_examples=60, deadline=None)
def test_any_words_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, author: str, labels: list[str], tensor: str
) -> None:
    made = metadata.described.metadata(
        Description(
            outputs=(ClassificationOutput(name=tensor, labels=tuple(labels)),), card=ModelCard(name=name, author=author)
        ),
        (spec(tensor, (1, 4)),),
        (spec(tensor, (1, 3)),),
        "model",
    )
    root = Read(made.content)
    assert (root.text(0), root.text(4)) == (name or "model", author)
    assert root.tables(3)[0].tables(3)[0].text(0) == tensor
    assert made.files == {"labels.txt": "".join(f"{line}\n" for line in labels)}
