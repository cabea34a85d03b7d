"""Files that are one sample each, alone or in folders: images, recordings."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from edgekit.errors import InputError
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.samples import listing
from edgekit.samples.content import Raw
from edgekit.samples.reading import class_labels
from edgekit.waist.tensors import Array


class Stack(NamedTuple):
    """The samples of an input ``[N, *source_shape]``, how they were read, and what is doubtful about them."""

    array: Array
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def read(
    path: Path,
    signature: Signature,
    suffixes: Collection[str],
    stack: Callable[[list[Path], TensorSpec], Stack],
) -> Raw:
    """The samples of a file, or of a folder.

    Args:
        path: a file; or a folder, whose sub-folders are class labels, or inputs if they carry inputs' names.
        signature: of the source.
        suffixes: by which files of the kind are known, in lower case.
        stack: reads files for an input.

    Raises:
        InputError: they are for one input, and the network has several; or a file cannot be read.
    """
    specs = {spec.source_name: spec for spec in signature.inputs}
    if path.is_dir() and all((path / name).is_dir() for name in specs):
        stacks = {name: stack(_files(path / name, suffixes), spec) for name, spec in specs.items()}
        return Raw(
            {name: made.array for name, made in stacks.items()},
            notes=tuple(note for made in stacks.values() for note in made.notes),
            doubts=tuple(doubt for made in stacks.values() for doubt in made.doubts),
        )
    if len(specs) != 1:
        raise InputError(
            f"{path.name} is for one input, the model has {len(specs)}.",
            place=str(path),
            fix=f"make a folder with a sub-folder for each input: {', '.join(specs)}",
        )
    ((name, spec),) = specs.items()
    files = _files(path, suffixes) if path.is_dir() else [path]
    labels, notes = class_labels(path, files) if path.is_dir() else (None, ())
    made = stack(files, spec)
    return Raw({name: made.array}, labels, notes + made.notes, made.doubts)


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return [file for file in listing.files(folder, suffixes) if not file.name.startswith(".")]
