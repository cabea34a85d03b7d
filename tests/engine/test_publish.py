"""Results stand whole in their place, or not at all."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgekit.engine import contents
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


def test_the_users_files_stay_beside_the_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "photos" / "deep").mkdir(parents=True)
    (out / "empty").mkdir()
    (out / "photos" / "deep" / "a.jpg").write_text("a")
    (out / "thesis.tex").write_text("years of work")
    (out / "link").symlink_to("nowhere")
    for text in "12":
        published = publish(out, result(text))
        assert published.kept == ("empty", "link", "photos/", "thesis.tex")
        assert published.gone == ()
        assert names(out) == ["empty", "link", "manifest.json", "model.tflite", "photos", "thesis.tex"]
        assert (out / "thesis.tex").read_text() == "years of work"
        assert (out / "photos" / "deep" / "a.jpg").read_text() == "a"
        assert (out / "link").readlink() == Path("nowhere")
        assert (out / "model.tflite").read_text() == text


def test_a_file_that_the_user_has_open_stays_the_same_file(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))
    with (tmp_path / "out" / "notes.md").open("w") as notes:
        publish(tmp_path / "out", result("2"))
        notes.write("written afterwards")
    assert (tmp_path / "out" / "notes.md").read_text() == "written afterwards"


@pytest.mark.parametrize("exchange", [True, False])
def test_what_the_user_adds_at_the_last_moment_is_not_lost(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    publish(out, result("1"))

    def late(fresh: Path, folder: Path) -> bool:
        (out / "late").mkdir()
        (out / "late" / "notes.md").write_text("mine")
        return exchange and _exchange(fresh, folder)

    monkeypatch.setattr("edgekit.engine.publish._exchange", late)
    publish(out, result("2"))
    assert (out / "late" / "notes.md").read_text() == "mine"
    assert (out / "model.tflite").read_text() == "2"


@pytest.mark.parametrize("name", ["model.tflite", "model.tflite/inside", "manifest.json"])
def test_a_file_of_the_users_under_a_results_name_is_refused_by_name(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    for refused in (lambda: publish(out, result("1")), lambda: check(out, {"model.tflite", "manifest.json"})):
        with pytest.raises(InputError, match=re.escape(name)):
            refused()
    assert (out / name).read_text() == "mine"
    assert leftovers(out) == []


def test_a_folder_of_many_other_files_is_no_place_for_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MOST_KEPT", 3)
    (tmp_path / "out").mkdir()
    for i in range(4):
        (tmp_path / "out" / str(i)).touch()
    with pytest.raises(InputError, match="more than 3 files"):
        check(tmp_path / "out")


def test_files_of_an_earlier_result_that_are_not_asked_for_any_more_are_told(tmp_path: Path) -> None:
    publish(tmp_path / "out", result("1"))

    def other(out: Path) -> None:
        (out / "other.tflite").write_text("other")
        (out / "manifest.json").write_text(json.dumps({"artifacts": [{"files": {"other.tflite": {}}}]}))

    assert publish(tmp_path / "out", other).gone == ("model.tflite",)
    assert names(tmp_path / "out") == ["manifest.json", "other.tflite"]


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
