"""The cache's folder: edgekit takes none that is somebody else's."""

import os
from pathlib import Path

import pytest

from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.host import cachedir
from edgekit.host.cachedir import TAG, TAGGED, claim
from edgekit.nouns.lineage import Step

KEY = "0" * 64


def test_a_new_folder_is_marked(tmp_path: Path) -> None:
    claim(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / TAG).read_bytes() == TAGGED
    claim(tmp_path / "a" / "b")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / "anything").touch()  # edgekit's from now on
    claim(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "thesis.tex",
        "tmp/notes",
        "tmp/1234/notes",
        "logs/build.log",
        "answers/a/b",
        ".hidden",
        "places/mine",
        "tmp",
        TAG,
    ],
)
def test_a_folder_with_content_is_refused_and_left_as_it_is(name: str, tmp_path: Path) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("years of work")
    store = Store(tmp_path)
    with pytest.raises(InputError, match="edgekit did not make") as refused:
        store.ask(Step(what="a"), int, lambda out: 1)
    assert "EDGEKIT_CACHE" in refused.value.fix
    store.prune()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


@pytest.mark.parametrize("name", [f"answers/{KEY}/answer.json", "tmp/123-ab_d3f9z/x", "logs/123.log", "tools/x"])
def test_a_cache_from_before_there_was_a_mark_is_known_by_its_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    claim(tmp_path)
    assert (tmp_path / TAG).is_file()


def test_a_mark_that_a_full_disk_cut_short_is_one(tmp_path: Path) -> None:
    (tmp_path / TAG).write_bytes(TAGGED[:10])
    (tmp_path / "anything").touch()
    claim(tmp_path)


def test_another_run_may_begin_between_the_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It marks the folder and fills it after this run looked for the mark, before this run lists what is there."""
    real = Path.mkdir

    def other(folder: Path, *given: int, **named: bool) -> None:
        real(folder, *given, **named)
        (tmp_path / TAG).write_bytes(TAGGED)
        real(tmp_path / "tmp" / "edgekit-12345678", parents=True, exist_ok=True)

    monkeypatch.setattr(Path, "mkdir", other)
    claim(tmp_path)


def test_write_access_for_all_is_told(tmp_path: Path) -> None:
    assert cachedir.doubts(tmp_path / "nowhere") == ()
    tmp_path.chmod(0o755)
    assert cachedir.doubts(tmp_path) == ()
    tmp_path.chmod(0o777)
    (doubt,) = cachedir.doubts(tmp_path)
    assert "chmod o-w" in doubt


def test_another_owner_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    (doubt,) = cachedir.doubts(tmp_path)
    assert "another user" in doubt


def test_the_limit_is_the_users_or_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cachedir.LIMIT_VARIABLE, raising=False)
    assert 0 < cachedir.limit_bytes(tmp_path / "none" / "yet") <= cachedir.LIMIT_BYTES
    monkeypatch.setenv(cachedir.LIMIT_VARIABLE, "3 GiB")
    assert cachedir.limit_bytes(tmp_path) == 3 * 1024**3
    for wrong in ("much", "-1", "1e9", "9" * 99, "٣"):
        monkeypatch.setenv(cachedir.LIMIT_VARIABLE, wrong)
        with pytest.raises(InputError, match="no size"):
            cachedir.limit_bytes(tmp_path)
