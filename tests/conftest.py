"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from edgekit.config import cache_folder
from edgekit.worker import Worker

settings.register_profile("edgekit", deadline=None)  # a busy machine is no failure
settings.load_profile("edgekit")

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Give each process of pytest-xdist a cache of its own: devices are swept and locked there."""
    if process := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["EDGEKIT_CACHE"] = str(cache_folder() / process)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the screens of tests/golden anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared"))
    if folder.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"no folder {folder}; set EDGEKIT_SHARED"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real third-party models and data."""
    return Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One child process for all leaf tests, as a build has it."""
    with Worker(tmp_path_factory.mktemp("worker") / "log.txt") as running:
        yield running
