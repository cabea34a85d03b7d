"""What killed runs left of long steps, in the cache: a folder for each question, until its answer is there."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgekit.host import cachedir
from edgekit.host.ownership import Scratch, unheld

FOLDER = "unfinished"

KEPT_S = 14 * 86400.0
"""How long it waits for the next run."""


def place(root: Path) -> Path:
    """Where in a cache these folders lie; made if it is not there.

    Raises:
        InputError: the cache's folder is somebody else's.
        OSError: it cannot be written to.
    """
    cachedir.claim(root)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def held(root: Path, key: str) -> Iterator[Path]:
    """A folder in which a step leaves what the next run can go on from, if this one is killed.

    It is gone once the block has ended without an error. A run beside this one gets another, which ends with it.

    Raises:
        As `place`.
    """
    folder = place(root) / key
    folder.mkdir(exist_ok=True)
    with unheld(folder) as free:
        if not free:
            with Scratch(folder.parent, "run-") as scratch:
                yield scratch.path
            return
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def drop(root: Path, min_age_s: float = KEPT_S) -> None:
    """Remove what nobody has come back to for so long."""
    for folder in (root / FOLDER).glob("*"):
        with unheld(folder) as free, suppress(OSError):
            if free and time.time() - folder.stat().st_mtime >= min_age_s:
                shutil.rmtree(folder, ignore_errors=True)
