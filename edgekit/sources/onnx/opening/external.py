"""Weights that an ONNX file keeps in files beside it, wherever in the model they belong."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import Message

from edgekit.errors import InputError, Unsupported
from edgekit.host.companions import companion

LIMIT_BYTES = 2**31 - 1
"""Protobuf's and TFLite's largest file (both use signed 32-bit sizes)."""


def files(model: onnx.ModelProto) -> tuple[str, ...]:
    """The names of these files, sorted."""
    return tuple(sorted({_place(tensor).get("location", "") for tensor in tensors(model)}))


def tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """The tensors of a message, and of those inside it, whose data lie elsewhere.

    All count: initializers, attributes, branches and loops, functions, parts of sparse tensors, training.
    """
    if isinstance(message, onnx.TensorProto):
        if message.data_location == onnx.TensorProto.EXTERNAL:
            yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from tensors(inner)


def load(path: Path, model: onnx.ModelProto) -> None:
    """Read their data into the model, once it is known to fit; in place.

    Raises:
        InputError: a file is not there, is shorter than the model says, or lies outside of its folder.
        Unsupported: the model would be larger than 2 GiB.
    """
    found = [(tensor, *_extent(path, tensor)) for tensor in tensors(model)]
    refuse_large(path, path.stat().st_size + sum(length for *_, length in found))
    for tensor, file, offset, length in found:
        with file.open("rb") as data:
            data.seek(offset)
            tensor.raw_data = data.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def refuse_large(path: Path, size: int) -> None:
    """Stop if a model of so many bytes is more than a file can hold.

    Raises:
        Unsupported: it is.
    """
    if size > LIMIT_BYTES:
        raise Unsupported(
            f"{path.name} holds {size / 2**30:.1f} GiB; neither ONNX in one piece nor TFLite can be larger than 2 GiB.",
            place=str(path),
            fix="choose a smaller model, or export parts of it one by one",
        )


def _place(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _extent(path: Path, tensor: onnx.TensorProto) -> tuple[Path, int, int]:
    """The file that holds a tensor's data, where they begin in it, and how many bytes they are."""
    place = _place(tensor)
    file = companion(path, place.get("location", ""))
    size = file.stat().st_size
    try:
        offset = int(place.get("offset", 0))
        length = int(place.get("length", size - offset))
    except ValueError as error:
        raise _misplaced(path, tensor, file) from error
    if offset < 0 or length < 0 or offset + length > size:
        raise _misplaced(path, tensor, file)
    return file, offset, length


def _misplaced(path: Path, tensor: onnx.TensorProto, file: Path) -> InputError:
    return InputError(
        f"{file.name} does not hold what {path.name} keeps of {tensor.name or 'a constant'!r} in it.",
        place=str(file),
        fix=f"put the file beside {path.name} as it was when the model was exported",
    )
