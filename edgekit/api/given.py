"""What a program holds in memory, as files: models, samples."""

import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.nouns.model import Signature

type Model = Any
"""A path of a model, a Keras model, or an ONNX ``ModelProto``."""

type Samples = Any
"""A path or ``module:function``; an array ``[N, ...]``; a dict of arrays by input name, labels under ``y``; a tuple
of arrays, one for each input, labels after them; an iterable of samples or batches of these; or a function that
returns any of them."""

MOST_PROTO_BYTES = 2**31 - 1
"""The largest message that protobuf writes (protobuf documentation, Proto Limits)."""


def model_file(model: Model, folder: Path) -> Path:
    """The file of a model; one that is held in memory is written into a folder.

    Raises:
        InputError: there is no such file, or the object is no model that can be written.
    """
    if isinstance(model, str | bytes) or hasattr(model, "__fspath__"):
        path = Path(model if not isinstance(model, bytes) else model.decode())
        if not path.exists():
            raise InputError(f"There is no file or folder {path}.", place=str(path), fix="check the path")
        return path
    if _is(model, "keras", "Model") or _is(model, "tf_keras", "Model"):
        return _keras_file(model, folder)
    if _is(model, "onnx", "ModelProto"):
        return _onnx_file(model, folder)
    kind = f"{type(model).__module__}.{type(model).__name__}"
    torch = kind.startswith("torch.") or _is(model, "torch.nn", "Module")
    fix = (
        "export it with torch.onnx.export, and give the path" if torch else "give a path, a Keras model or a ModelProto"
    )
    raise InputError(f"{kind} is no model that edgekit can write to a file.", place="model", fix=fix)


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a library's class; whoever holds one has imported the library."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _named(name: str) -> str:
    """A name as one of a file."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._") or "model"


def _keras_file(model: Any, folder: Path) -> Path:
    """A ``.keras`` file that is the same whenever the model is: an archive holds the time at which it was written."""
    saved, path = folder / "saved.keras", folder / f"{_named(str(model.name))}.keras"
    model.save(saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                content = re.sub(rb'"date_saved": "[^"]*"', b'"date_saved": ""', content)
            target.writestr(zipfile.ZipInfo(name), content)
    saved.unlink()
    return path


def _onnx_file(model: Any, folder: Path) -> Path:
    if model.ByteSize() > MOST_PROTO_BYTES:
        raise InputError(
            "The model is larger than the 2 GiB of one ONNX message.",
            place="model",
            fix="save it with onnx.save(model, path, save_as_external_data=True), and give the path",
        )
    path = folder / f"{_named(model.graph.name)}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def is_named(data: Samples) -> bool:
    """Whether samples are named by a path or ``module:function``, and not held in memory."""
    return isinstance(data, str) or hasattr(data, "__fspath__")


def samples_file(data: Samples, signature: Signature, folder: Path, keyword: str) -> Path:
    """Write samples that are held in memory under the names of the model's inputs, block by block.

    Args:
        data: see `Samples`.
        signature: of the source.
        folder: in which they are put, on a disk with room for them.
        keyword: the one by which they were given, for complaints.

    Returns:
        What can be given wherever samples are named by a path.

    Raises:
        InputError: they are none of these forms, or the function that makes them failed.
    """
    from edgekit.samples import HELD, Place, functions  # noqa: PLC0415  numpy, which whoever gives arrays has loaded
    from edgekit.samples.content import LABEL_KEYS  # noqa: PLC0415  as above
    from edgekit.waist.rows import write_arrays  # noqa: PLC0415  as above

    is_function = callable(data) and not _is_array(data)
    call: Callable[[], Any] = data if is_function else lambda: data
    fix = "call it yourself to see more" if is_function else "give an array [N, ...], or samples of one shape"
    raw = functions.collect(call, signature, keyword, Place(folder), fix)
    names = {f"#{i + 1}": spec.source_name for i, spec in enumerate(signature.inputs)}
    arrays = {names.get(name, name): values for name, values in raw.arrays.items()}
    if raw.labels is not None:
        arrays |= {next(key for key in LABEL_KEYS if key not in arrays): raw.labels}
    return write_arrays(folder / f"{keyword}{HELD}", arrays)


def _is_array(data: Any) -> bool:
    return hasattr(data, "__array__") or isinstance(data, Mapping | Iterable)
