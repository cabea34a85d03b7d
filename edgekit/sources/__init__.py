"""Sources: one leaf per family of formats. This file is the contract and the sniffing.

A leaf is a module of this package with one subclass of `Source`. It may import heavy libraries at
its top, because only `edgekit.engine.registry` opens that door, in a worker process. Leaves never import
one another.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.errors import InputError, Unsupported
from edgekit.host import foreign, sandbox
from edgekit.nouns.model import Divergence, Model, SourceOptions, TensorRow, Waist

FORMATS = {
    "keras": "keras",  # a .keras zip (Keras 3 or late Keras 2)
    "hdf5": "keras",  # Keras in HDF5, under whatever name
    "savedmodel": "keras",  # a TensorFlow SavedModel folder
    "onnx": "onnx",
    "tflite": "tflite",
}
"""Every readable format → the leaf that reads it."""

SUFFIXES = frozenset({"keras", "h5", "hdf5", "onnx", "tflite"})
"""Usual suffixes of these formats, which are told by their content alone."""


class Source(ABC):
    """Reads a family of formats. Every method is a function from files to files."""

    @abstractmethod
    def describe(self, path: Path, options: SourceOptions) -> Model:
        """Read format, producer, opset and signature.

        Shapes are fixed: batch 1 unless ``options.shapes`` says otherwise.

        Raises:
            InputError: the file cannot be read, or a dynamic dimension needs ``--shape``.
            Unsupported: the file holds operators or domains that edgekit cannot run.
        """

    @abstractmethod
    def to_waist(self, path: Path, options: SourceOptions, out: Path, samples: Path | None = None) -> Waist:
        """Write ``out/waist.tflite``, a float TFLite model that LiteRT loads, and describe it.

        ``samples`` are the user's, ``[N, *source_shape]`` under the source's names as for `run`, where inputs may
        be indices, lengths or flags; who proves the conversion prefers them to inputs that it makes up.

        The user's file is never modified; nothing else is left in ``out``.

        Raises:
            Unsupported: it converts to something no interpreter runs; the operators are named.
        """

    def as_it_is(self, path: Path, options: SourceOptions, out: Path) -> Waist | None:  # noqa: ARG002
        """Write ``out/model.tflite``, the source as a TFLite file in its own precision, and describe it.

        A source whose ``Model.precision`` is one of `edgekit.nouns.model.CALIBRATED` gives its own integers
        here, float32 at the boundary unless it is a TFLite file, which stays as it is. None for other
        sources that are no TFLite files. Whether LiteRT can load it is not tried.

        Raises:
            Unsupported: its integers have no TFLite form; what and where is named.
        """
        return None

    @abstractmethod
    def run(self, path: Path, options: SourceOptions, inputs: Path, outputs: Path) -> None:
        """Run as the reference. ``inputs`` are read with `edgekit.waist.tensors.arrays`, ``outputs`` is an ``.npz``.

        Inputs are ``[N, *source_shape]`` under the source's names; so are the outputs. Neither may fit into memory:
        leaves look at one sample after another, and write with `edgekit.waist.rows.write_rows`.
        """

    def tensors(self, path: Path, options: SourceOptions) -> tuple[TensorRow, ...]:  # noqa: ARG002
        """The tensors by whose names `SourceOptions.inputs` and ``outputs`` may cut, in the order of execution.

        Also of a file that `describe` refuses for its operators; none if a leaf cannot cut.

        Raises:
            InputError: the file cannot be read.
        """
        return ()

    @abstractmethod
    def first_divergence(
        self, path: Path, options: SourceOptions, waist: Waist, inputs: Path, threshold_db: float
    ) -> Divergence | None:
        """Name the first tensor that falls below ``threshold_db`` on the first sample.

        ``waist`` is the waist, or a float artifact made from it (with the artifact's signature); its
        file is an absolute path. None if no inner tensor can be matched to the source's.
        """


SAMPLES = 16
"""How many samples in float64 of a network's inputs and outputs must fit into memory: some are made, run and judged."""


def bound(shapes: Iterable[tuple[str, Sequence[int]]], path: Path) -> None:
    """Refuse a network whose inputs or outputs are too large to be made, before any is.

    Args:
        shapes: name and fixed shape of each.
        path: the file, for the complaint.

    Raises:
        InputError: some samples of them would not fit into memory.
    """
    limit = sandbox.memory_limit() or sandbox.default_memory()
    for name, shape in shapes:
        if math.prod(map(int, shape)) * 8 * SAMPLES > limit:
            raise InputError(
                f"{name} of {path.name} has the shape {list(map(int, shape))}: {SAMPLES} samples of it need "
                f"{math.prod(map(int, shape)) * 8 * SAMPLES / 2**30:,.1f} GiB, more than the limit of "
                f"{limit / 2**30:.1f} GiB of memory.",
                place=f"{path}: {name}",
                fix="give smaller sizes with --shape, or raise the limit with --max-memory",
            )


LARGEST_BYTES = 2**30
"""Largest result of an operator: more than a phone gives to an app."""


def largest_result() -> int:
    """Bytes that one operator's result may take: `LARGEST_BYTES`, or a quarter of the memory that there is."""
    return min(LARGEST_BYTES, (sandbox.memory_limit() or sandbox.default_memory()) // 4)


def bound_results(made: Iterable[tuple[str, str, Sequence[int], int]], path: Path) -> None:
    """Refuse a network in which an operator's result is too large, before any is made.

    Args:
        made: kind of operator, name, fixed shape, and bytes of an element, of each result.
        path: the file, for the complaint.

    Raises:
        Unsupported: one is larger than `largest_result`; the operator is named.
    """
    limit = largest_result()
    for kind, name, shape, bytes_ in made:
        if (size := math.prod(max(0, int(n)) for n in shape) * bytes_) > limit:
            most = f"{limit / 2**30:,.1f} GiB"
            raise Unsupported(
                f"{path.name}: {kind} makes {name!r} {list(map(int, shape))}, {size / 2**30:,.1f} GiB.",
                place=f"{path}: {name}",
                fix=f"choose smaller sizes (at most {most} for a tensor), or cut the model before it",
            )


def sniff(path: Path, fix: str = "export it as .keras, .h5, SavedModel, .onnx or .tflite") -> str:
    """The format of a file or folder by its content, never by its name.

    Args:
        path: what is looked at.
        fix: what helps if it is none of them.

    Returns:
        A key of `FORMATS`.

    Raises:
        InputError: it does not exist, is empty, or is none of the formats.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        _refuse_foreign(path, foreign.by_folder(path))
        raise InputError(
            f"{path.name} is a folder without saved_model.pb.",
            place=str(path),
            fix="name a model file, a SavedModel folder, or a folder with an edgekit.toml",
        )
    if not path.is_file():
        raise InputError(f"There is no file {path}.", place=str(path), fix="check the path")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise InputError(f"{path.name} is empty.", place=str(path), fix="export or download it again")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\x03\x04"):
        _refuse_foreign(path, foreign.by_members(path))
        return "keras"
    if head[4:8] == b"TFL3":
        return "tflite"
    _refuse_foreign(path, foreign.by_head(head))
    if _is_onnx(head):
        return "onnx"
    raise InputError(
        f"{path.name} is no Keras, SavedModel, ONNX or TFLite model: its first bytes are {head[:8]!r}.",
        place=str(path),
        fix=fix,
    )


def _refuse_foreign(path: Path, told: tuple[str, str] | None) -> None:
    if told:
        raise InputError(f"{path.name} is {told[0]}: edgekit does not read that.", place=str(path), fix=told[1])


def _is_onnx(head: bytes) -> bool:
    """A ModelProto usually starts with ir_version (field 1, varint, below 128); text does not."""
    if head[0] == 0x08 and head[1:2] and head[1] < 0x80:
        return len(head) > 2 and head[2] in {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA}
    # Some writers put the graph (field 7) or the opset import (field 8) first.
    return head[0] in {0x3A, 0x42} and b"\x08" in head[:16] and not head.isascii()
