"""Model files of formats that edgekit does not read, told by their content, so that a refusal says what helps."""

import zipfile
from collections.abc import Callable
from pathlib import Path

TORCH = "export the network with torch.onnx.export(model, inputs, 'model.onnx')"

WEIGHTS = "export the whole network as .keras, .h5, SavedModel, .onnx or .tflite from the code that made it"

MADE_FROM = "name the model that it was made from (.keras, .h5, SavedModel, .onnx or .tflite)"


def _message(head: bytes) -> bool:
    """A small number, then a message that begins with one, as Core ML and SavedModel; ONNX has a name there."""
    if head[:1] != b"\x08" or head[2:3] != b"\x12":
        return False
    rest = _after_number(head[3:])
    return rest[:1] == b"\x0a"


def _node(head: bytes) -> bool:
    """A message with two texts: the name of a node and its operator."""
    if head[:1] != b"\x0a":
        return False
    inner = _after_number(head[1:])
    if inner[:1] != b"\x0a" or len(inner) < 2 or not inner[2 : 2 + inner[1]].isascii():
        return False
    operator = inner[2 + inner[1] :]
    return operator[:1] == b"\x12" and operator[2:3].isalpha()


def _after_number(content: bytes) -> bytes:
    """What follows a protobuf varint."""
    length = next((place for place, byte in enumerate(content[:5]) if byte < 0x80), 4)
    return content[length + 1 :]


HEADS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (lambda head: head[4:8] == b"ORTM", "a model in ONNX Runtime's own format (.ort)", MADE_FROM),
    (lambda head: head[:4] == b"GGUF", "a GGUF file of llama.cpp", WEIGHTS),
    (
        lambda head: head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 2**27,
        "a safetensors file of weights, without a network",
        WEIGHTS,
    ),
    (lambda head: head.startswith((b"<?xml", b"<net ")), "an XML file, as those of OpenVINO IR", MADE_FROM),
    (lambda head: head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}, "a Python pickle", TORCH),
    (
        lambda head: _message(head) and head[1] == 1,
        "one file of a SavedModel folder",
        "name the folder that holds saved_model.pb, with its variables/ beside it",
    ),
    (_message, "a Core ML model", MADE_FROM),
    (
        _node,
        "a TensorFlow graph (GraphDef, a frozen .pb)",
        "save the network as a SavedModel folder, or convert it with tf2onnx to ONNX",
    ),
)
"""(whether a file's first 64 bytes are those, what it is, what helps)."""


def by_head(head: bytes) -> tuple[str, str] | None:
    """What a file is by its first 64 bytes, and what helps; None if it is none of `HEADS`."""
    return next(((what, fix) for told, what, fix in HEADS if told(head)), None)


def by_members(path: Path) -> tuple[str, str] | None:
    """What a zip file is by the names in it, and what helps; None if they tell nothing, or if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.replace("\\", "/") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return None  # who reads Keras's zip files says what is wrong with it
    files = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in files:
        return "a TorchScript program", TORCH.replace("model,", "torch.jit.load(...),")
    if "data.pkl" in files:
        return "a PyTorch checkpoint", f"load it into the network that it is of, and {TORCH}"
    if "serialized_exported_program.json" in files or "archive_format" in files:
        return "a program of torch.export (.pt2)", TORCH.replace("model,", "torch.export.load(...).module(),")
    inside = [name for name in names if name.endswith((".tflite", ".onnx", ".keras", "saved_model.pb"))]
    if inside and "config.json" not in files:
        return f"a zip file that holds {inside[0]}", "unpack it, and name the model inside"
    return None


def by_folder(path: Path) -> tuple[str, str] | None:
    """What a folder is by what lies in it, and what helps; None if that tells nothing."""
    if (path / "Data" / "com.apple.CoreML").is_dir() or (path / "coremldata.bin").is_file():
        return "a Core ML model", MADE_FROM
    return None
