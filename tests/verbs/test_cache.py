"""What the cache holds, and less of it, for whoever asks."""

import json
from pathlib import Path

import pytest

from edgekit import cli
from edgekit.engine.store import Store
from edgekit.nouns.lineage import Step
from edgekit.nouns.results import PrunedCache
from edgekit.verbs import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of two answers."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CACHE_LIMIT", "1G")
    store = Store(tmp_path / "cache")
    for number in (1, 2):
        store.ask(Step(what="a", settings={"number": number}), int, lambda out: (out / "file").write_bytes(bytes(4000)))
    store.close()
    return tmp_path / "cache"


def test_its_size_and_what_a_prune_leaves(folder: Path) -> None:
    found = cache.size()
    assert (found.folder, found.answers, found.limit_bytes) == (folder, 2, 1 << 30)
    assert 8000 < found.bytes < 12000
    assert cache.prune(found.bytes) == PrunedCache(0, 0)
    dropped = cache.prune(found.bytes - 1)
    assert dropped.dropped == 1
    assert cache.size().bytes == found.bytes - dropped.bytes


def test_the_command_line_says_the_same_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["cache", "size", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = cache.size()
    assert told == {"folder": str(folder), "answers": 2, "bytes": found.bytes, "limit_bytes": 1 << 30}
    assert cli.run(["cache", "prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dropped": 2, "bytes": found.bytes}
