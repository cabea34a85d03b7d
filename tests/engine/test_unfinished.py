"""What a killed run leaves of a long step, and the next finds."""

import os
import time
from pathlib import Path

import pytest

from edgekit.engine import unfinished
from edgekit.engine.store import Store
from edgekit.errors import InputError

KEY = "0" * 64


def left(root: Path) -> Path:
    """What a run leaves that ends by an error."""
    try:
        with unfinished.held(root, KEY) as folder:
            (folder / "epoch_3").write_text("weights")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return folder


def test_the_next_run_finds_it_and_the_last_leaves_nothing(tmp_path: Path) -> None:
    left(tmp_path / "cache")
    with unfinished.held(tmp_path / "cache", KEY) as folder:
        assert (folder / "epoch_3").read_text() == "weights"
    assert not folder.exists()


def test_a_run_beside_another_does_not_touch_its_folder(tmp_path: Path) -> None:
    with unfinished.held(tmp_path / "cache", KEY) as first:
        (first / "x").write_text("1")
        with unfinished.held(tmp_path / "cache", KEY) as second:
            assert second != first
            assert not list(second.iterdir())
        assert not second.exists()
        assert (first / "x").read_text() == "1"


def test_pruning_drops_what_nobody_came_back_to(tmp_path: Path) -> None:
    folder = left(tmp_path / "cache")
    Store(tmp_path / "cache").prune(1 << 30)
    assert folder.exists()
    old = time.time() - unfinished.KEPT_S - 1
    os.utime(folder, (old, old))
    Store(tmp_path / "cache").prune(1 << 30)
    assert not folder.exists()


def test_an_emptied_cache_holds_nothing_unfinished_but_what_is_in_use(tmp_path: Path) -> None:
    with unfinished.held(tmp_path / "cache", KEY) as folder:
        Store(tmp_path / "cache").prune(0)
        assert folder.exists()
    folder = left(tmp_path / "cache")
    Store(tmp_path / "cache").prune(0)
    assert not folder.exists()


def test_a_folder_of_somebody_else_s_is_not_made_a_cache(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError), unfinished.held(tmp_path, KEY):
        pass
