"""What a Keras file says about itself, read without running anything in it.

What it would run is looked at in `edgekit.sources.keras.vetting`, where it leads in `containers`.
"""

import json
import mmap
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from edgekit.errors import InputError
from edgekit.sources.keras import containers

SAVE_WHOLE = "in the code that builds it: model.load_weights(…) and then model.save('model.keras')"
"""The remedy for files that hold no architecture."""

SAVE_AGAIN = "load it where it was trained and save it again with model.save('model.keras')"
"""The remedy for files that no library loads."""


@dataclass(frozen=True)
class Archive:
    """A Keras file's own words: the version that wrote it, its configuration, how many numbers it holds as weights."""

    version: str
    config: dict[str, Any]
    stored: int

    @property
    def keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.version.split(".")[0].isdigit() and int(self.version.split(".")[0]) >= 3


def read(path: Path, *, zipped: bool) -> Archive:
    """The configuration of a ``.keras`` zip or an HDF5 file.

    Raises:
        InputError: it is damaged, holds weights only, or is no Keras model.
    """
    archive = _read_zip(path) if zipped else _read_hdf5(path)
    try:
        json.dumps([archive.version, archive.config], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # h5py and json let halves of characters through
        raise _damaged(path, "it holds text that is not UTF-8") from error
    return archive


def _read_zip(path: Path) -> Archive:
    try:
        with zipfile.ZipFile(path) as archive:
            containers.check_zip(archive, path)
            names = {name.replace("\\", "/"): name for name in archive.namelist()}
            if "config.json" not in names:
                raise _no_model(path, names)
            config = json.loads(archive.read(names["config.json"]))
            metadata = json.loads(archive.read(names["metadata.json"])) if "metadata.json" in names else {}
            archive.testzip()
            stored = sum(_elements(archive, name, path) for name in archive.namelist() if name.endswith(".h5"))
    except UNREADABLE as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise _damaged(path, "config.json holds no model")
    return Archive(str(metadata.get("keras_version", "")), config, stored)


def _elements(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    with archive.open(name) as member, h5py.File(member, "r") as weights:
        return containers.elements(weights, path)


def _no_model(path: Path, names: dict[str, str]) -> InputError:
    if "model.weights.h5" in names:
        return _weights_only(path)
    return InputError(
        f"{path.name} is a zip file, but no Keras model: it holds no config.json.",
        place=str(path),
        fix="save the network with model.save('model.keras'), or export it as ONNX",
    )


def _read_hdf5(path: Path) -> Archive:
    try:
        if _has_endless_heap(path):
            raise _damaged(path, "a heap of its texts has an object of size 0")
        with h5py.File(path, "r") as file:
            version, config = file.attrs.get("keras_version", ""), file.attrs.get("model_config")
            keys = set(file.keys())
            stored = containers.elements(file, path)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:  # TypeError: of a type that numpy lacks
        raise _damaged(path, str(error)) from error
    if config is None and (keys & {"layers", "_layer_checkpoint_dependencies", "vars"} or version or "top" in keys):
        raise _weights_only(path)
    if config is None:
        raise InputError(
            f"{path.name} is an HDF5 file, but no Keras model: it has no attribute model_config.",
            place=str(path),
            fix="save the network with model.save('model.keras')",
        )
    try:
        parsed = json.loads(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"model_config: {error}") from error
    if not isinstance(parsed, dict):
        raise _damaged(path, "model_config holds no model")
    text = version.decode(errors="surrogateescape") if isinstance(version, bytes) else str(version)  # h5py's own way
    return Archive(text, parsed, stored)


def _has_endless_heap(path: Path) -> bool:
    """Whether libhdf5 would walk through a global heap for ever: it steps by sizes, and takes free space of size 0.

    The layout is that of the HDF5 File Format Specification 3.0, III.E (global heap), with lengths of 8 bytes.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_HEAP)
        while start >= 0:
            at, end = start + 16, min(start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content))
            while at + 16 <= end:
                index, size = int.from_bytes(content[at : at + 2], "little"), content[at + 8 : at + 16]
                step = int.from_bytes(size, "little")
                if index == step == 0:
                    return True
                at += step if index == 0 else 16 + (step + 7) // 8 * 8
            start = content.find(_HEAP, start + 1)
    return False


_HEAP = b"GCOL\x01\0\0\0"
"""Signature, version and reserved bytes of a global heap collection."""


def _weights_only(path: Path) -> InputError:
    return InputError(
        f"{path.name} holds weights only: it does not say which layers they belong to.",
        place=str(path),
        fix=SAVE_WHOLE,
    )


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"{path.name} is damaged ({detail[:200]}).", place=str(path), fix="save, export or download it again"
    )


def unknown_name(message: str) -> str | None:
    """The class or function that a loader's complaint says it does not know; None for other complaints."""
    found = re.search(r"(?:Unknown|Could not locate|Could not find)\s\w+:?\s+['\"]?([\w>.]+)['\"]?", message)
    return found.group(1) if found else None


@contextmanager
def readable(path: Path, *, zipped: bool) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A file that Keras can read, with notes: the user's, or a repaired copy that is gone afterwards.

    Keras before 2.16 wrote weight paths with backslashes on Windows, which no library finds again.
    HDF5 under the name ``.keras`` and zips under other names get the name that loaders insist on.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-keras-") as folder:
        if zipped and _has_backslashes(path):
            copy = Path(folder) / "model.keras"
            _repair(path, copy)
            yield copy, ("repaired weight paths that were saved with backslashes (on Windows)",)
        elif path.suffix == (".keras" if zipped else ".h5") or (not zipped and path.suffix == ".hdf5"):
            yield path, ()
        else:
            link = Path(folder) / ("model.keras" if zipped else "model.h5")
            link.symlink_to(path.absolute())
            yield link, ()


UNREADABLE = (
    RuntimeError,  # with RecursionError and NotImplementedError
    OSError,
    KeyError,
    ValueError,
    EOFError,
    TypeError,  # of a type that numpy lacks
    zipfile.BadZipFile,
    zlib.error,
)
"""What h5py and zipfile raise at damaged content."""


def _has_backslashes(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        if any("\\" in name for name in archive.namelist()):
            return True
        if "model.weights.h5" not in archive.namelist():
            return False
        found: list[str] = []
        with archive.open("model.weights.h5") as member, h5py.File(member, "r") as weights:
            weights.visit(found.append)
    return any("\\" in name for name in found)


def _repair(path: Path, copy: Path) -> None:
    """Write a copy whose paths have slashes, inside the zip and inside its weights file."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new, tempfile.TemporaryDirectory() as folder:
        for name in old.namelist():
            if name.replace("\\", "/").endswith(".weights.h5"):
                _repair_weights(Path(old.extract(name, folder)), Path(folder) / "repaired.h5")
                new.write(Path(folder) / "repaired.h5", name.replace("\\", "/"))
            else:
                new.writestr(name.replace("\\", "/"), old.read(name))


def _repair_weights(old: Path, new: Path) -> None:
    with h5py.File(old, "r") as source, h5py.File(new, "w") as target:

        def copy(name: str, item: Any) -> None:
            """A group or dataset with its attributes, under a name that both systems read."""
            fixed = name.replace("\\", "/")
            if isinstance(item, h5py.Dataset):
                made = target.create_dataset(fixed, data=item[()])
            else:
                made = target.require_group(fixed)
            for key, value in item.attrs.items():
                made.attrs[key] = value

        source.visititems(copy)
