"""Whatever bytes a model file holds, its format is recognized or refused with a remedy."""

import json
import pickle
import re
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.sources import FORMATS, sniff

ROOT = Path(__file__).resolve().parent.parent

HEADS = {
    "tflite": b"\x1c\x00\x00\x00TFL3",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "keras": b"PK\x03\x04",
    "onnx": b"\x08\x08\x12\x07pytorch",
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("name", ["model.onnx", "model.keras", "model"])
def test_the_content_decides_not_the_name(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(HEADS[kind] + bytes(64))
    assert sniff(tmp_path / name) == kind


def test_a_savedmodel_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without saved_model\.pb"):
        sniff(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert sniff(tmp_path) == "savedmodel"
    assert sniff(ROOT / "docs" / "examples" / "digits" / "model.keras") == "keras"


def sniffed(content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        try:
            return sniff(path)
        except InputError as error:
            return "" if error.place and error.fix else "no remedy"


@given(st.binary(max_size=200))
def test_any_bytes_give_a_format_or_an_input_error(content: bytes) -> None:
    assert sniffed(content) in {"", *FORMATS}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_text_is_no_model(text: str) -> None:
    assert sniffed(text.replace("PK", "pk").replace("TFL3", "tfl3").encode()) == ""


@given(st.sampled_from(sorted(HEADS)), st.binary(max_size=80))
def test_a_head_is_enough(kind: str, rest: bytes) -> None:
    assert sniffed(HEADS[kind] + rest) == kind


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()

FOREIGN = {
    "safetensors": (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4), "a safetensors file", "code that made it"),
    "ONNX Runtime": (b"\x18\x00\x00\x00ORTM" + bytes(64), r"\.ort", "that it was made from"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(64), "a GGUF file", "code that made it"),
    "IR": (b'<?xml version="1.0"?>\n<net name="x" version="11"></net>', "OpenVINO IR", "that it was made from"),
    "pickle": (pickle.dumps({"w": [1.0]}), "a Python pickle", r"torch\.onnx\.export"),
    "saved_model.pb": (b"\x08\x01\x12\xe2\x95\x42\x0a\xdd\x24" + bytes(64), "of a SavedModel folder", "the folder"),
    "mlmodel": (b"\x08\x06\x12\x8b\x04\x0a\x20\x0a\x05image" + bytes(64), "a Core ML model", "that it was made from"),
    "frozen.pb": (b"\x0a\x3e\x0a\x05input\x12\x0bPlaceholder*\x0b\x0a" + bytes(64), "GraphDef", "SavedModel"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_format_is_named(kind: str, tmp_path: Path) -> None:
    content, what, helps = FOREIGN[kind]
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match=what) as caught:
        sniff(tmp_path / "model.onnx")
    assert re.search(helps, str(caught.value.fix))


ZIPS = {
    "TorchScript": (("net/code/__torch__.py", "net/data.pkl", "net/constants.pkl"), r"torch\.jit\.load"),
    "checkpoint": (("archive/data.pkl", "archive/data/0"), r"torch\.onnx\.export"),
    r"torch\.export": (("m/archive_format", "m/models/model.json"), r"torch\.export\.load"),
    r"holds hand_detector\.tflite": (("hand_detector.tflite", "hand_landmarks.tflite"), "unpack it"),
}


@pytest.mark.parametrize("what", ZIPS)
def test_a_zip_file_of_another_format_is_named(what: str, tmp_path: Path) -> None:
    names, helps = ZIPS[what]
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(InputError, match=what) as caught:
        sniff(tmp_path / "model.pt")
    assert re.search(helps, str(caught.value.fix))


def test_a_folder_of_core_ml_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.mlpackage" / "Data" / "com.apple.CoreML").mkdir(parents=True)
    with pytest.raises(InputError, match="a Core ML model"):
        sniff(tmp_path / "net.mlpackage")
