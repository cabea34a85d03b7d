"""This host needs nothing but a cache of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.drivers.benches import Bench


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    def left() -> set[str]:
        kept = {"logs", "CACHEDIR.TAG"}  # of the run, and the cache's own mark
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if not kept & {*path.parts}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(folder))
        (folder / "places").mkdir()
        assert os.environ["EDGEKIT_CACHE"] == str(folder)
        yield Bench(id="local", left=left)
