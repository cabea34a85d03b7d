"""TFLite metadata: what a file tells an app of its inputs and outputs, inside of the file.

The official format (https://ai.google.dev/edge/litert/models/metadata): a flatbuffer of its own in a buffer of
the model's, which an entry of the model's metadata names, and a zip archive with labels and vocabularies behind
the model. Android Studio, MediaPipe Tasks and the Task Library read it; runtimes that do not know it pass it over.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.description import Description
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import graph
from edgekit.waist.metadata import described

ENTRY = b"TFLITE_METADATA"
"""The name of the model's entry."""

MOST_BYTES = 2**31 - 2**24
"""The largest file that metadata is put into: a flatbuffer's offsets end at 2 GiB."""


def embed(path: Path, out: Path, description: Description, signature: Signature, model: str) -> tuple[str, ...]:
    """Write a TFLite file once more, with metadata; operators, tensors and constants are not touched.

    Args:
        path: the file.
        out: where to write.
        description: complete.
        signature: of the file.
        model: what the network is called if the user gives it no name.

    Returns:
        Notes on what the metadata could not say.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    content = path.read_bytes()
    if len(content) > MOST_BYTES:
        out.write_bytes(content)
        return ("it is too large for metadata inside of it: its description is in the manifest alone",)
    tree = graph.parse(content, path)
    main = graph.describe(tree)[0]
    made = described.metadata(
        description,
        _in_order(signature.inputs, tuple(main.tensors[index].name for index in main.inputs)),
        _in_order(signature.outputs, tuple(main.tensors[index].name for index in main.outputs)),
        model,
    )
    _set_entry(tree, made.content)
    out.write_bytes(_with_files(graph.pack(tree), made.files))
    return made.notes


def _in_order(specs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """The specs of tensors in the file's own order; as they stand if it calls them otherwise."""
    by_name = {spec.name: spec for spec in specs}
    return tuple(by_name[name] for name in names) if set(names) == set(by_name) else specs


def _set_entry(model: Any, content: bytes) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    others = [other for other in model.metadata or () if other.name != ENTRY]
    model.metadata = [*others, entry]


def _with_files(model: bytes, files: dict[str, str]) -> bytes:
    """A model with a zip archive behind it that is the same for the same files: stored, of no date, nothing for none.

    Its offsets are those of the whole file, as the official writer has them.
    """
    if not files:
        return model
    packed = io.BytesIO()
    packed.write(model)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode("utf8"))
    return packed.getvalue()


def content_of(path: Path) -> bytes | None:
    """The flatbuffer of a file's metadata, None if it has none.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    tree = graph.load(path)
    for entry in tree.metadata or ():
        if entry.name == ENTRY:
            return bytes(tree.buffers[entry.buffer].data)
    return None
