"""The cache: whole answers or none, whatever happens."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine.store import ANSWER, Store, Stored, digest_of, file_digest, tree_digest
from edgekit.errors import InputError
from edgekit.host.ownership import unheld
from edgekit.nouns.base import FileDigest
from edgekit.nouns.lineage import Step
from edgekit.nouns.model import Signature, Waist
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "cache")
    yield store
    store.close()


def asked(number: int) -> Step:
    return Step(what="a", settings={"number": number})


def another_run(store: Store) -> Store:
    """The same cache after this run."""
    store.close()
    return Store(store.root)


def write(content: str):
    def make(out: Path) -> int:
        (out / "file.txt").write_text(content)
        return len(content)

    return make


def never(out: Path) -> int:
    raise AssertionError("the answer was there")


def test_the_second_question_is_answered_from_the_cache(store: Store) -> None:
    first = store.ask(asked(1), int, write("hello"))
    second = store.ask(asked(1), int, never)
    assert (first.result, first.from_cache) == (5, False)
    assert (second.result, second.from_cache) == (5, True)
    assert (second.folder / "file.txt").read_text() == "hello"
    assert first.sha256 == second.sha256 == digest_of({"file.txt": first.files["file.txt"].sha256})


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no place here where a folder cannot be made even by root")
@pytest.mark.parametrize("place", ["x", "x/y"])
def test_a_place_where_no_folder_can_be_made_is_the_users_to_mend(place: str) -> None:
    store = Store(Path("/proc") / place)
    with pytest.raises(InputError, match="cache cannot be written to: No such file") as refused:
        store.ask(asked(1), int, write("hello"))
    assert refused.value.place == str(store.root)
    assert "EDGEKIT_CACHE" in refused.value.fix


def test_a_file_that_is_missing_while_an_answer_is_made_is_no_fault_of_the_caches(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match=r"lost\.txt"):
        store.ask(asked(1), int, lambda out: len((out / "lost.txt").read_bytes()))


def test_another_question_is_answered_anew(store: Store) -> None:
    store.ask(asked(1), int, write("hello"))
    assert store.ask(asked(2), int, write("bye")).result == 3


def test_the_order_of_a_questions_keys_does_not_matter(store: Store) -> None:
    store.ask(Step(what="a", settings={"a": 1, "b": {"c": 2, "d": 3}}), int, write("hello"))
    assert store.ask(Step(what="a", settings={"b": {"d": 3, "c": 2}, "a": 1}), int, never).from_cache


def test_an_answer_keeps_its_step_as_it_was_really_done(store: Store) -> None:
    def slow(out: Path) -> Waist:
        time.sleep(0.05)
        (out / "waist.tflite").write_text("waist")
        return Waist(file="waist.tflite", signature=Signature(inputs=(), outputs=()), notes=("129.8 dB",))

    def never(out: Path) -> Waist:
        raise AssertionError("the answer was there")

    before = (Step(what="describe"),)
    first = store.ask(asked(1), Waist, slow, before)
    again = another_run(store).ask(asked(1), Waist, never, before)
    assert again.steps == first.steps
    described, own = again.steps
    assert described.what == "describe"
    assert own.seconds is not None
    assert own.seconds >= 0.05
    assert (own.notes, own.made, own.question) == (("129.8 dB",), again.sha256, asked(1).question)


@pytest.mark.parametrize("field", ["what", "leaf", "settings", "inputs", "seed", "code", "tools"])
def test_what_a_step_asks_decides_its_answer(store: Store, field: str) -> None:
    other = {"settings": {"a": 1}, "inputs": {"a": "1"}, "tools": {"a": "1"}, "seed": 1}.get(field, "b")
    store.ask(Step(what="a"), int, write("hello"))
    assert not store.ask(msgspec.structs.replace(Step(what="a"), **{field: other}), int, write("bye")).from_cache


def test_what_came_of_a_step_does_not_decide_its_answer(store: Store) -> None:
    store.ask(Step(what="a"), int, write("hello"))
    told = Step(what="a", made="1", seconds=2.0, notes=("a",), evidence={"sqnr_db": 1.0})
    assert store.ask(told, int, never).from_cache


def truncate(folder: Path) -> None:
    (folder / "file.txt").write_text("hel")


def change(folder: Path) -> None:
    (folder / "file.txt").write_text("jello")


def remove(folder: Path) -> None:
    (folder / "file.txt").unlink()


def garble(folder: Path) -> None:
    (folder / ANSWER).write_text("{")


def forget(folder: Path) -> None:
    (folder / ANSWER).unlink()


@pytest.mark.parametrize("damage", [truncate, change, remove, garble, forget])
def test_a_damaged_answer_is_dropped_and_asked_anew(store: Store, damage) -> None:
    store.ask(asked(1), int, write("hello"))
    damage(next((store.root / "answers").iterdir()))
    later = another_run(store)
    again = later.ask(asked(1), int, write("hello"))
    assert not again.from_cache
    assert (again.folder / "file.txt").read_text() == "hello"
    assert later.ask(asked(1), int, never).from_cache
    latest = another_run(later)
    assert latest.ask(asked(1), int, never).from_cache
    latest.close()
    assert not list((store.root / "tmp").iterdir())


def test_an_answer_of_another_type_is_asked_anew(store: Store) -> None:
    store.ask(asked(1), int, write("hello"))

    def digest(out: Path) -> FileDigest:
        return FileDigest(sha256="0", bytes=0)

    assert not store.ask(asked(1), FileDigest, digest).from_cache


def test_a_failure_stores_nothing(store: Store) -> None:
    def fail(out: Path) -> int:
        (out / "half").write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.ask(asked(1), int, fail)
    assert not list(store.root.rglob("*half*"))
    assert not (store.root / "answers").exists()


def test_threads_of_one_build_share_the_work(store: Store) -> None:
    made: list[int] = []

    def slow(out: Path) -> int:
        time.sleep(0.1)
        made.append(1)
        return 1

    threads = [threading.Thread(target=store.ask, args=(asked(1), int, slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


CHILD = """
import sys, time
from pathlib import Path
from edgekit.engine.store import Store
from edgekit.nouns.lineage import Step
def make(out):
    for i in range(20):
        (out / f"{i}.txt").write_text(str(i))
        if i == 10:
            print("half", flush=True)
            time.sleep(float(sys.argv[2]))
    return 20
print(Store(Path(sys.argv[1])).ask(Step(what="a", settings={"number": 1}), int, make).result)
"""


def child(store: Store, pause_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(store.root), str(pause_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_no_answer_and_its_leftovers_are_swept(store: Store) -> None:
    with child(store, 60) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert list((store.root / "tmp").iterdir())
    assert not (store.root / "answers").exists()
    store.ask(asked(2), int, write("x"))
    store.close()
    assert not list((store.root / "tmp").iterdir())


def test_processes_that_race_both_get_a_whole_answer(store: Store) -> None:
    racers = [child(store, 0.2) for _ in range(3)]
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        assert out.splitlines()[-1] == "20"
    assert len(store.ask(asked(1), int, never).files) == 20
    store.ask(asked(2), int, write("sweeps"))
    store.close()
    assert not list((store.root / "tmp").iterdir())


def test_prune_drops_the_longest_unused_first(store: Store) -> None:
    for i in range(4):
        os.utime(store.ask(asked(i), int, write("x" * 1000)).folder / ANSWER, (i, i))  # one file under two names
    store = another_run(store)
    sizes = [size for _, size, _ in store.entries()]
    dropped, freed = store.prune(max_bytes=sum(sizes[2:]))
    assert (dropped, freed) == (2, sum(sizes[:2]))
    assert store.ask(asked(3), int, never).from_cache
    assert not store.ask(asked(0), int, write("x")).from_cache
    store.prune()
    assert store.entries() == []


def test_a_use_makes_an_answer_young_again(store: Store) -> None:
    for i in range(2):
        os.utime(store.ask(asked(i), int, write("x")).folder / ANSWER, (i, i))
    used = store.ask(asked(0), int, never)
    assert [folder.name for folder, _, _ in store.entries()][-1] == used.folder.name
    ((_, size, _), _) = store.entries()
    assert store.prune(min_age_s=3600) == (1, size)
    assert store.entries()[0][0].name == used.folder.name


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_a_digest_depends_on_content_alone(question: dict[str, object]) -> None:
    assert digest_of(question) == digest_of(dict(reversed(question.items())))
    assert digest_of(question) != digest_of(question | {"another": "key"}) or "another" in question


def test_a_folders_digest_changes_with_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = tree_digest(tmp_path)
    assert one.bytes == 1
    (tmp_path / "a").rename(tmp_path / "b")
    two = tree_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({one.sha256, two.sha256, tree_digest(tmp_path).sha256}) == 3
    assert tree_digest(tmp_path / "b") == file_digest(tmp_path / "b")


def test_what_a_prune_drops_stays_for_the_run_that_reads_it(store: Store) -> None:
    made = store.ask(asked(1), int, write("made"))
    reader = Store(store.root)
    found = reader.ask(asked(1), int, never)
    assert Store(store.root).prune()[0] == 1
    assert (made.folder / "file.txt").read_text() == (found.folder / "file.txt").read_text() == "made"
    assert reader.ask(asked(1), int, never).from_cache  # the same question again, in the same run
    reader.close()
    assert not found.folder.exists()
    assert not Store(store.root).ask(asked(1), int, write("anew")).from_cache


def test_answers_are_copied_where_the_disk_has_no_hard_links(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    made = store.ask(asked(1), int, write("made"))
    Store(store.root).prune()
    assert (made.folder / "file.txt").read_text() == "made"


@pytest.fixture(params=["disk", "another mount"])
def copy(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cache with two answers, a run's scratch and files of others, as `cp -r` brings it to another machine."""
    for number in (1, 2):
        store.ask(asked(number), int, write(f"answer {number}"))
    store.close()
    (store.root / "tmp" / "run-another_").mkdir(parents=True)
    (store.root / "tmp" / "run-another_" / "half.txt").write_text("of a run on another machine")
    (store.root / "answers" / "notes.txt").write_text("somebody's")
    if request.param == "disk":
        yield shutil.copytree(store.root, tmp_path / "copy", copy_function=shutil.copyfile)
        return
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other mount here")
    with tempfile.TemporaryDirectory(dir=memory, prefix="edgekit-test-") as folder:
        yield shutil.copytree(store.root, Path(folder) / "copy", copy_function=shutil.copyfile)


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks, no links"])
def test_a_copied_cache_answers_and_only_what_nobody_owns_is_swept(
    copy: Path, locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network's file system: other inodes and times, and perhaps neither locks nor hard links."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not locks:
        monkeypatch.setattr(fcntl, "flock", refuse)
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    reader, other = Store(copy, limit_bytes=10**9), Store(copy)
    found = [reader.ask(asked(1), int, never), other.ask(asked(1), int, never), reader.ask(asked(2), int, never)]
    assert [(answer.folder / "file.txt").read_text() for answer in found] == ["answer 1", "answer 1", "answer 2"]
    reader.ask(asked(3), int, write("added"))
    reader.close()
    assert (found[1].folder / "file.txt").read_text() == "answer 1"
    assert (copy / "tmp" / "run-another_").is_dir() != locks  # without locks nobody can tell whose it is
    assert (copy / "answers" / "notes.txt").read_text() == "somebody's"
    assert Store(copy).prune()[0] == 3
    assert (found[1].folder / "file.txt").read_text() == "answer 1"
    other.close()
    assert (copy / "answers" / "notes.txt").read_text() == "somebody's"


PRUNE = """
import sys, time
from pathlib import Path
from edgekit.engine.store import Store
while True:
    Store(Path(sys.argv[1])).prune()
    print("pruned", flush=True)
    time.sleep(0.003)
"""


def nested(number: int):
    def make(out: Path) -> int:
        (out / "deep").mkdir()
        for i in range(5):
            (out / "deep" / f"{i}.txt").write_text(f"{number} {i}" * 100)
        return number

    return make


def ask_and_read(root: Path, number: int, seen: list[bool | str]) -> None:
    """One question of a run of its own; what is not whole, or fails, is remembered."""
    reader = Store(root)
    try:
        answer = reader.ask(asked(number), int, nested(number))
        texts = [(answer.folder / "deep" / f"{i}.txt").read_text() for i in range(5)]
        whole = answer.result == number and texts == [f"{number} {i}" * 100 for i in range(5)]
        seen.append(answer.from_cache if whole else f"torn: {answer}, {texts}")
    except OSError as error:
        seen.append(repr(error))
    reader.close()


def test_runs_read_whole_answers_while_a_prune_drops_them(store: Store) -> None:
    seen: list[bool | str] = []

    def run() -> None:
        for i in range(6000):  # how often the pruner comes first differs by machine: on until both ends were seen
            ask_and_read(store.root, i % 3, seen)
            if i >= 300 and min(seen.count(True), seen.count(False)) > 10:
                break

    command = [sys.executable, "-c", PRUNE, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pruner:
        assert pruner.stdout is not None
        assert pruner.stdout.readline() == "pruned\n"
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pruner.poll() is None
        pruner.kill()
        pruner.stdout.read()
    assert {True, False} >= set(seen)
    assert seen.count(True) > 10  # both ends of the race were run
    assert seen.count(False) > 10


def flip(folder: Path) -> None:
    text = (folder / ANSWER).read_text()
    (folder / ANSWER).write_text(text.replace('"result": 5', '"result": 7'))


def test_a_result_with_a_flipped_bit_is_asked_anew(store: Store) -> None:
    store.ask(asked(1), int, write("hello"))
    flip(next((store.root / "answers").iterdir()))
    later = another_run(store)
    assert later.ask(asked(1), int, write("hello")).result == 5
    later.close()


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers(-(2**53), 2**53) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))  # fmt: skip
def test_any_result_is_sealed_as_it_is_read(result: object) -> None:
    written = msgspec.json.encode(Stored(asked(1), result, {}).sealed())
    assert msgspec.json.decode(written, type=Stored).intact


@pytest.mark.parametrize("other", [("--pid", "--fork", "--mount-proc"), ()], ids=["another container", "this one"])
def test_a_run_in_another_container_keeps_its_scratch(store: Store, other: tuple[str, ...]) -> None:
    """Both share the cache and see no process of the other's."""
    command = [sys.executable, "-c", CHILD, str(store.root), "60"]
    if other:
        if subprocess.run(["unshare", *other, "true"], capture_output=True, check=False).returncode:
            pytest.skip("no namespaces may be made here")
        command = ["unshare", "--kill-child", *other, *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        (theirs,) = (store.root / "tmp").iterdir()
        store.ask(asked(2), int, write("x"))
        assert len(list(theirs.iterdir())) == 11
        process.kill()
    until(lambda: not locked(theirs))
    store.close()
    another_run(store).scratch().close()
    assert not theirs.exists()


def locked(folder: Path) -> bool:
    with unheld(folder) as free:
        return not free


def test_answers_beyond_the_limit_go_when_a_run_ends(store: Store) -> None:
    bounded = Store(store.root, limit_bytes=2000)
    for i in range(4):
        os.utime(bounded.ask(asked(i), int, write("x" * 800)).folder / ANSWER, (i, i))
    assert len(bounded.entries()) == 4
    bounded.close()
    kept = store.entries()
    assert 1 <= len(kept) < 4
    assert sum(size for _, size, _ in kept) <= 2000
    assert store.ask(asked(3), int, never).from_cache
    Store(store.root, limit_bytes=0).close()  # a run that adds nothing drops nothing
    assert store.entries()


def test_only_answers_are_listed_and_dropped(store: Store) -> None:
    store.ask(asked(1), int, write("x"))
    mine = store.root / "answers" / "thesis"
    mine.mkdir()
    store.prune()
    assert mine.is_dir()
    assert not store.entries()


def test_a_link_to_a_folder_is_followed_in_a_digest(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "away")
    before = tree_digest(tmp_path / "folder")
    (tmp_path / "away" / "a").write_text("2")
    assert tree_digest(tmp_path / "folder") != before
    assert before.bytes == 1


def test_a_folder_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "again").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leads back"):
        tree_digest(tmp_path)


def test_names_that_are_no_text_have_a_digest_too(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff")).write_text("1")
    before = tree_digest(tmp_path)
    (tmp_path / os.fsdecode(b"a\xff")).rename(tmp_path / os.fsdecode(b"a\xfe"))
    assert tree_digest(tmp_path).sha256 != before.sha256


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "x.npz"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"x\.npz is no regular file"):
        tree_digest(pipe)
    with pytest.raises(InputError, match="no regular file"):
        file_digest(Path("/dev/zero"))
