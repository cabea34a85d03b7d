"""Whatever bytes a model file holds, its format is recognized or refused with a remedy."""

import tempfile
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
