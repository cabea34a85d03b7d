"""Locks that the kernel holds: seen by all, gone with their process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from edgekit.host import ownership
from edgekit.host.ownership import Scratch, hold, leftovers, unheld, writing


def test_a_scratch_folder_is_in_use_until_it_is_closed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "run-")
    with unheld(scratch.path) as free:
        assert not free
    Scratch(tmp_path, "run-").close()
    assert leftovers(tmp_path, "run-") == [scratch.path]
    scratch.close()
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_renamed_away_stays(tmp_path: Path) -> None:
    with Scratch(tmp_path, "run-") as scratch:
        (scratch.path / "a").touch()
        scratch.path.rename(tmp_path / "kept")
    assert (tmp_path / "kept" / "a").exists()


def test_only_own_names_are_swept(tmp_path: Path) -> None:
    strangers = ["run-thesis", "run-abcdefghi", "arun-abcdefgh", "run-ABCDEFGH"]
    for name in strangers:
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run-abcdefgh").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run-abcdefg0").write_text("a file")
    (tmp_path / "run-abcdefg1").mkdir()
    ownership.sweep(tmp_path, "run-")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*strangers, "elsewhere", "run-abcdefgh", "run-abcdefg0"]
    )


def test_a_folder_that_is_gone_cannot_be_held(tmp_path: Path) -> None:
    assert hold(tmp_path / "none") is None
    with unheld(tmp_path / "none") as free:
        assert not free


def test_making_and_sweeping_side_by_side_never_lose_a_folder(tmp_path: Path) -> None:
    lost: list[str] = []

    def make() -> None:
        for _ in range(150):
            with Scratch(tmp_path, "run-") as scratch:
                try:
                    (scratch.path / "a").touch()
                except OSError as error:
                    lost.append(repr(error))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert list(tmp_path.iterdir()) == []


COUNTS = """
import sys
from pathlib import Path
from edgekit.host.ownership import writing
folder = Path(sys.argv[1])
for _ in range(100):
    with writing(folder):
        count = int((folder / "count").read_text())
        (folder / "count").write_text(str(count + 1))
"""


def test_writers_wait_for_one_another_and_leave_no_lock_behind(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "count").write_text("0")
    writers = [subprocess.Popen([sys.executable, "-c", COUNTS, str(folder)]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert (folder / "count").read_text() == "300"
    assert list(tmp_path.iterdir()) == [folder]


HOLDS = """
import sys, time
from pathlib import Path
from edgekit.host.ownership import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    with writing(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_itself_is_locked_where_nothing_can_be_made_beside_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "out").mkdir()
    real = os.open

    def refuse(path, flags, *rest, **more):
        if str(path).endswith(".edgekit-lock"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    with writing(tmp_path / "out"), unheld(tmp_path / "out") as free:
        assert not free
    with unheld(tmp_path / "out") as free:
        assert free
