"""What tests of sources share."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scheduling import WITH_KERAS
from tests.sources.keras_files import SCRIPTS


@pytest.fixture(scope="session")
def keras_files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of that name which `tests/sources/keras_files.py` writes; all are written at once if many are needed."""
    top = tmp_path_factory.mktemp("keras")
    files = {item.path.name for item in request.session.items if WITH_KERAS.search(item.path.as_posix())}

    def folder(name: str) -> Path:
        if not (top / name).exists():
            names = SCRIPTS if len(files) > 8 else (name,)
            command = [sys.executable, "-m", "tests.sources.keras_files", top, *names]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return top / name

    return folder
