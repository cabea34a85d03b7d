"""Results stand whole in their place, or not at all."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgekit.engine.publish import _exchange, check, publish
from edgekit.errors import InputError


def result(text: str):
    def make(out: Path) -> None:
        (out / "model.tflite").write_text(text)
        (out / "manifest.json").write_text(json.dumps({"artifacts": [{"files": {"model.tflite": {}}}]}))

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_a_result_appears_with_its_parents(tmp_path: Path) -> None:
    publish(tmp_path / "a" / "b", result("1"))
    assert (tmp_path / "a" / "b" / "model.tflite").read_text() == "1"
    assert leftovers(tmp_path / "a" / "b") == []


def test_an_earlier_result_is_replaced_whole(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))
    publish(tmp_path / "out", result("2"))
    assert (tmp_path / "out" / "model.tflite").read_text() == "2"
    assert leftovers(tmp_path / "out") == []


def test_what_edgekit_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        publish(tmp_path / "out", result("1"))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_file_added_to_a_result_is_the_users(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))
    (tmp_path / "out" / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.md"):
        publish(tmp_path / "out", result("2"))


def test_a_failure_changes_nothing(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))

    def fail(out: Path) -> None:
        (out / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"no space left(.|\n)*fix: free some space, or choose another folder with -o"):
        publish(tmp_path / "out", fail)
    assert names(tmp_path / "out") == ["manifest.json", "model.tflite"]
    assert leftovers(tmp_path / "out") == []


PUBLISHES = """
import sys, time
from pathlib import Path
from edgekit.engine import publish
def stop(out):
    (out / "half").write_text("half")
    print("making", flush=True)
    time.sleep(60)
def rename(self, target, real=Path.rename):
    if self.name == "new":
        print("between", flush=True)
        time.sleep(60)
    return real(self, target)
if sys.argv[2] == "between":
    publish._exchange = lambda *_: False  # as where the file system has none
    Path.rename = rename
publish.publish(Path(sys.argv[1]), stop if sys.argv[2] == "making" else lambda out: (out / "manifest.json").write_text("{}"))
"""


@pytest.mark.parametrize("moment", ["making", "between"])
def test_what_a_killed_build_left_is_swept_and_what_it_took_away_is_put_back(moment: str, tmp_path: Path) -> None:
    (tmp_path / ".out.edgekit-mine").mkdir()
    publish(tmp_path / "out", result("1"))
    (tmp_path / "out" / "profiles").mkdir()
    (tmp_path / "out" / "profiles" / "a.json").write_text("measured")
    command = [sys.executable, "-c", PUBLISHES, str(tmp_path / "out"), moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{moment}\n"
        process.kill()
    assert (tmp_path / "out").exists() == (moment == "making")
    publish(tmp_path / "out", result("2"))
    assert leftovers(tmp_path / "out") == [".out.edgekit-mine"]
    assert (tmp_path / "out" / "profiles" / "a.json").read_text() == "measured"
    assert (tmp_path / "out" / "model.tflite").read_text() == "2"


def test_a_result_is_there_at_every_moment_of_its_replacement(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("0"))
    if not _exchange(tmp_path / "out", tmp_path / "out"):
        pytest.skip("folders cannot change places here")
    done, absent = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            absent.append(not (tmp_path / "out" / "manifest.json").exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    for i in range(60):
        publish(tmp_path / "out", result(str(i)))
    done.set()
    watcher.join()
    assert not any(absent)
    assert absent


def test_a_file_that_a_killed_measurement_left_keeps_no_build_from_its_place(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))
    (tmp_path / "out" / ".edgekit-ab_12xyz.part").write_text("half a manifest")
    publish(tmp_path / "out", result("2"))
    assert names(tmp_path / "out") == ["manifest.json", "model.tflite"]


def test_links_among_profiles_stay_links(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))
    (tmp_path / "secret").write_text("not the result's")
    (tmp_path / "out" / "profiles").mkdir()
    (tmp_path / "out" / "profiles" / "a.json").symlink_to(tmp_path / "secret")
    (tmp_path / "out" / "profiles" / "dangling.json").symlink_to(tmp_path / "nowhere")
    publish(tmp_path / "out", result("2"))
    assert (tmp_path / "out" / "profiles" / "a.json").readlink() == tmp_path / "secret"
    assert (tmp_path / "out" / "profiles" / "dangling.json").is_symlink()


def test_builds_side_by_side_leave_one_whole_result(tmp_path: Path) -> None:
    threads = [threading.Thread(target=publish, args=(tmp_path / "out", result(str(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "out" / "model.tflite").read_text() in "01234567"
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert leftovers(tmp_path / "out") == []


def test_a_place_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError):
        check(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        check(tmp_path / "file" / "out")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="the folder that you are in"):
        check(tmp_path / "here")
    check(tmp_path / "new" / "deep")
    assert names(tmp_path) == ["file", "here"]
