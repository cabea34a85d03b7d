"""What ``gate`` and ``baseline`` share: which folders, and which baseline."""

from pathlib import Path

from edgekit.cli import options
from edgekit.config import FILE_NAME, Project
from edgekit.config import project as read_project
from edgekit.errors import InputError
from edgekit.nouns.gating import BASELINE
from edgekit.verbs.gate import folders as folders_of


def project() -> Project:
    """That of the current folder; an empty one if there is none."""
    return read_project(Path.cwd()) if Path(FILE_NAME).is_file() else Project()


def folders(named: tuple[str, ...], project: Project) -> list[Path]:
    """The folders that are named, else those of the project's targets.

    Raises:
        InputError: one is not there, or none is named and there is no project.
    """
    if named:
        return [options.existing(name) for name in named]
    if project.model is None:
        raise InputError(
            f"No folder is named, and there is no {FILE_NAME} with a model here.",
            place="FOLDER",
            fix="name a folder that edgekit build wrote, such as dist/model/android",
        )
    found = folders_of(project, Path(project.model))
    for folder in found:
        if not folder.exists():
            raise InputError(f"There is no folder {folder}.", place=FILE_NAME, fix="build it first: edgekit build")
    return found


def baseline(named: str | None) -> Path | None:
    """The baseline that is named, else the usual one if it is there."""
    if named is not None:
        return options.existing(named)
    return Path(BASELINE) if Path(BASELINE).is_file() else None
