"""What several studies use."""

from collections.abc import Iterator

import pytest

from edgekit.engine.session import Session
from edgekit.engine.store import Store


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A run with a cache of its own, for all studies of this process: some convert the same models."""
    folder = tmp_path_factory.mktemp("session")
    with Session(Store(folder / "cache"), folder / "log.txt") as running:
        yield running
