"""Files beside a model that hold part of it: found by the name that the model gives, never elsewhere."""

from pathlib import Path

from edgekit.errors import InputError


def companion(path: Path, name: str) -> Path:
    """The file beside a model that holds part of it.

    Args:
        path: the model.
        name: as the model has it, relative to its folder.

    Raises:
        InputError: it is not there, or lies outside of the model's folder, by its name or by a link.
    """
    file = path.parent / name
    homes = {path.parent.resolve(), path.resolve().parent}  # the file itself may be a link, as in a hub's cache
    outside = "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts
    if outside or not any(map(file.resolve().is_relative_to, homes)):
        raise InputError(
            f"{path.name} keeps weights outside of its folder ({name}).",
            place=str(path),
            fix="export it again with its weights beside it",
        )
    if not file.is_file():
        raise InputError(
            f"{name}, which holds weights of {path.name}, is not there.",
            place=str(file),
            fix=f"put it beside {path.name}",
        )
    return file
