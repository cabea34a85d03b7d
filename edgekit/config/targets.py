"""Targets: one TOML file each, looked up in ``./targets`` first, then among the packaged ones."""

import re
from pathlib import Path

from edgekit.config import toml
from edgekit.errors import InputError
from edgekit.nouns.target import Target


def targets_path() -> tuple[Path, ...]:
    """The folders where targets are looked up: ``./targets`` first, then the packaged ones."""
    here = Path(__file__).resolve().parents[1]
    candidates = (Path.cwd() / "targets", here / "_data" / "targets", here.parent / "targets")
    return tuple(dict.fromkeys(folder for folder in candidates if folder.is_dir()))


def target_names() -> tuple[str, ...]:
    """Every target that can be named, sorted."""
    return tuple(sorted({file.stem for folder in targets_path() for file in folder.glob("*.toml")}))


def target(name: str) -> Target:
    """The target of that name, or in the TOML file of that path.

    Raises:
        InputError: there is none (the nearest name is given), or something in its file is wrong.
    """
    for file in [Path(name)] if name.endswith(".toml") else [folder / f"{name}.toml" for folder in targets_path()]:
        if file.is_file() and (name.endswith(".toml") or name in target_names()):
            return _target(file)
    raise InputError(
        f"There is no target {name or repr(name)}.",
        place=f"targets looked up in: {', '.join(map(str, targets_path()))}",
        fix=toml.nearest(Path(name).stem, target_names()) or f"choose one of: {', '.join(target_names())}",
    )


def _target(file: Path) -> Target:
    made: Target = toml.convert(toml.read(file), Target, file)
    if made.name != file.stem:
        raise toml.wrong(file, "name", f'"{made.name}", but the file is named {file.name}', f'name = "{file.stem}"')
    if not made.variants:
        raise toml.wrong(file, "variants", "empty", "add a [[variants]] table with file, backend, precision and use")
    files = [variant.file for variant in made.variants]
    for i, name in enumerate(files):
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise toml.wrong(
                file, f"variants[{i}].file", f'"{name}"', "give a plain file name such as model_int8.tflite"
            )
        if name in files[:i]:
            raise toml.wrong(file, f"variants[{i}].file", f'"{name}" a second time', "give every variant its own file")
    return made
