"""The child process: its death, its chatter, its end; with leaves that misbehave on purpose."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import CancelledError, DeviceError, InputError, LeafCrashError, Unsupported
from edgekit.host.events import Advance, Event, Remark, Scalar
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Device
from edgekit.nouns.sensing import Probe
from tests.waiting import until

LEAF = """
import ctypes, errno, os, signal, sys, threading, time
from edgekit.host import events
from edgekit.sources import Source
from edgekit.errors import InputError
from edgekit.nouns.model import Model, Signature, Waist


class Rogue(Source):

    def describe(self, path, options):
        match path.name:
            case "abort":
                os.abort()
            case "killed":
                os.kill(os.getpid(), 9)
            case "bug":
                raise ZeroDivisionError("a bug")
            case "full":
                raise OSError(errno.ENOSPC, "No space left", "/disk")
            case "refused":
                raise InputError("wrong", place="there", fix="mend it")
            case "unwritable":
                raise InputError("no \\udcf2 here", place="there", fix="mend it")
            case "half":
                os._exit(0)
            case "hungry":
                bytearray(64 << 30)
            case "hungry library":
                raise InputError("OOM when allocating tensor", place="there", fix="save it again")
            case "hungry abort":
                print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr, flush=True)
                os.abort()
            case "surrogate":
                return Model(name="\\udcff", file="", sha256="", format="", bytes=0, signature=Signature(inputs=(), outputs=()))
            case "garbled":
                for handle in range(3, 20):
                    try:
                        os.write(handle, b"{}}\\n")
                    except OSError:
                        pass
            case "hang":
                time.sleep(60)
            case "deaf":
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                if os.fork() == 0:
                    time.sleep(60)
                time.sleep(60)
            case "orphan":
                if os.fork() == 0:
                    time.sleep(60)
                os._exit(3)
            case "native":
                ctypes.string_at(0)
            case "telling":
                events.progress(0.25, "half \\udcf2 of a character")
                events.remark("look here")
                for step, loss in enumerate([1.5, float("nan")]):
                    events.metric("loss", loss, step)
                threading.Timer(0.2, events.remark, ("too late",)).start()
            case "chatty":
                while True:
                    events.remark("still here")
                    time.sleep(0.01)
            case "wrong":
                return "not a model"

    def to_waist(self, path, options, out):
        (out / "inner").mkdir(parents=True)
        (out / "inner" / "waist.tflite").write_bytes(b"made")
        if path.name == "link":
            (out / "waist.tflite").symlink_to("/etc/passwd")
        return Waist(file="waist.tflite", signature=Signature(inputs=(), outputs=()))

    def run(self, path, options, inputs, outputs):
        print("chatter"), sys.stdout.flush()
        os.write(1, b'{"result": "not this"}\\n')
        assert sys.stdin.read() == ""

    def first_divergence(self, path, options, waist, inputs, threshold_db):
        import time
        print("pid", os.getpid(), flush=True)
        time.sleep(60)
"""

BENCH = """
import os
from edgekit.drivers import Driver
from edgekit.meters import Meter


class RogueDriver(Driver):

    def state(self, device):
        os.kill(os.getpid(), 9)

    def execute(self, device, lines):
        os.abort()

    def find(self, configured):
        raise NotImplementedError

    open = run = close = find


class RogueMeter(Meter):

    def look(self, device):
        raise NotImplementedError

    def stop(self, probe, sensed):
        os.abort()

    available = look
"""

METADATA = "Metadata-Version: 2.1\nName: rogue\nVersion: 1\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third-party distribution with leaves, found by their entry points."""
    site = tmp_path / "site"
    info = site / "rogue-1.dist-info"
    info.mkdir(parents=True)
    (site / "rogue_leaf.py").write_text(LEAF)
    (site / "rogue_bench.py").write_text(BENCH)
    (info / "METADATA").write_text(METADATA)
    rooms = {"sources": "leaf", "drivers": "bench", "meters": "bench"}
    points = "".join(f"[edgekit.{room}]\nrogue = rogue_{module}\n" for room, module in rooms.items())
    (info / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return site


@pytest.fixture
def rogue(plugin: Path, tmp_path: Path) -> Iterator[Worker]:
    with Worker(tmp_path / "log.txt") as worker:
        yield worker


def describe(worker: Worker, name: str) -> None:
    worker.call("sources", "rogue", "describe", path=Path(name), options=SourceOptions())


def test_a_dead_child_is_unsupported_and_the_next_call_gets_a_new_one(rogue: Worker) -> None:
    with pytest.raises(Unsupported, match="SIGABRT") as died:
        describe(rogue, "abort")
    assert died.value.place == "abort"
    with pytest.raises(Unsupported) as killed:
        describe(rogue, "killed")
    assert "memory" in killed.value.fix
    with pytest.raises(Unsupported, match="exit code 0"):
        describe(rogue, "half")
    with pytest.raises(InputError, match="wrong"):
        describe(rogue, "refused")


def test_a_child_that_dies_at_the_bench_blames_no_model(rogue: Worker) -> None:
    device = Device(id="phone", kind="rogue", title="")
    with pytest.raises(DeviceError, match="SIGABRT") as died:
        rogue.call("drivers", "rogue", "execute", device=device, lines=("true",))
    assert died.value.place == "phone"
    assert "attached" in died.value.fix
    with pytest.raises(DeviceError) as killed:
        rogue.call("drivers", "rogue", "state", device=device)
    assert "memory" in killed.value.fix
    with pytest.raises(DeviceError) as stopped:
        rogue.call("meters", "rogue", "stop", probe=Probe(meter="rogue"), sensed=None)
    assert stopped.value.place == "rogue"


def test_a_bug_is_a_crash_with_its_traceback_in_the_log(rogue: Worker, tmp_path: Path) -> None:
    with pytest.raises(LeafCrashError, match=r"log\.txt"):
        describe(rogue, "bug")
    assert "ZeroDivisionError: a bug" in (tmp_path / "log.txt").read_text()


def test_a_log_that_another_run_removed_is_no_bug(rogue: Worker, tmp_path: Path) -> None:
    """Twenty runs that begin meanwhile are enough: a cache keeps as many logs."""
    for name, kind in (("refused", InputError), ("refused", InputError), ("abort", Unsupported)):
        with pytest.raises(kind):
            describe(rogue, name)
        (tmp_path / "log.txt").unlink(missing_ok=True)


def test_a_folder_that_is_cleared_away_is_no_bug(rogue: Worker, tmp_path: Path) -> None:
    """As systems do with old temporary files, and users with caches."""
    with pytest.raises(InputError, match="wrong"):
        describe(rogue, "refused")
    shutil.rmtree(rogue._own())
    with pytest.raises(InputError, match="was removed while it worked") as cleared:
        rogue.call("sources", "rogue", "to_waist", path=Path("net"), options=SourceOptions(), out=tmp_path / "out")
    assert "run it again" in cleared.value.fix


def test_a_full_disk_is_the_users_to_mend(rogue: Worker) -> None:
    with pytest.raises(InputError, match="no space left") as full:
        describe(rogue, "full")
    assert "EDGEKIT_CACHE" in full.value.fix


def test_a_complaint_with_half_a_character_arrives(rogue: Worker) -> None:
    """As those of libraries do that quote a damaged file."""
    with pytest.raises(InputError, match=r"no \\udcf2 here"):
        describe(rogue, "unwritable")


def test_names_and_answers_that_are_no_text_are_refused_and_hang_nobody(rogue: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8") as refused:
        describe(rogue, os.fsdecode(b"caf\xe9.onnx"))
    assert r"caf\udce9.onnx" in refused.value.place
    with pytest.raises(InputError, match="not UTF-8"):
        describe(rogue, "surrogate")


@pytest.mark.parametrize("name", ["hungry", "hungry library", "hungry abort"])
def test_want_of_memory_names_the_limit_and_the_option(plugin: Path, tmp_path: Path, name: str) -> None:
    with Worker(tmp_path / "log.txt", memory=3 << 29) as worker, pytest.raises(InputError, match=r"1\.5 GiB") as told:
        describe(worker, name)
    assert "--max-memory" in told.value.fix
    assert told.value.place == name


@pytest.mark.parametrize("name", ["garbled", "wrong"])
def test_what_is_no_reply_is_no_bug(rogue: Worker, name: str) -> None:
    with pytest.raises(Unsupported, match="no proper answer"):
        describe(rogue, name)


def test_results_are_copied_out_of_the_childs_folder_and_links_are_refused(rogue: Worker, tmp_path: Path) -> None:
    for out in (tmp_path / "there", tmp_path / "new"):
        (tmp_path / "there").mkdir(exist_ok=True)
        rogue.call("sources", "rogue", "to_waist", path=tmp_path / "x", options=SourceOptions(), out=out)
        assert (out / "inner" / "waist.tflite").read_bytes() == b"made"
    with pytest.raises(Unsupported, match="neither a file nor a folder"):
        rogue.call("sources", "rogue", "to_waist", path=tmp_path / "link", options=SourceOptions(), out=tmp_path / "l")
    assert not (tmp_path / "l" / "waist.tflite").exists()


def test_chatter_goes_to_the_log_and_questions_get_no_answer(rogue: Worker, tmp_path: Path) -> None:
    path = tmp_path / "x"
    result = rogue.call("sources", "rogue", "run", path=path, options=SourceOptions(), inputs=path, outputs=path)
    assert result is None
    assert "chatter" in (tmp_path / "log.txt").read_text()
    assert "not this" in (tmp_path / "log.txt").read_text()


def test_events_arrive_before_the_result_and_none_after_it(rogue: Worker) -> None:
    told: list[Event] = []
    listening = {"path": Path("telling"), "options": SourceOptions()}
    with pytest.raises(Unsupported, match="no proper answer"):  # it returns None
        rogue.call("sources", "rogue", "describe", tell=told.append, **listening)
    assert told == [
        Advance(0.25, r"half \udcf2 of a character"),
        Remark("look here"),
        Scalar("loss", 1.5, 0),
        Scalar("loss", None, 1),
    ]
    time.sleep(0.4)
    with pytest.raises(InputError, match="wrong"):
        rogue.call("sources", "rogue", "describe", tell=told.append, path=Path("refused"), options=SourceOptions())
    assert len(told) == 4


@pytest.mark.parametrize("name", ["hang", "deaf", "chatty"])
def test_a_call_that_hangs_is_cancelled_within_a_second(rogue: Worker, name: str) -> None:
    began: list[float] = []

    def cancel() -> None:
        time.sleep(0.5)
        began.append(time.monotonic())
        rogue.close()

    rogue.call("sources", "rogue", "")
    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(CancelledError):
        describe(rogue, name)
    assert time.monotonic() - began[0] < 1
    thread.join()
    with pytest.raises(InputError, match="wrong"):
        describe(rogue, "refused")


@pytest.mark.parametrize("name", ["hang", "chatty"])
def test_a_call_may_be_given_a_time_limit(rogue: Worker, name: str) -> None:
    rogue.call("sources", "rogue", "")
    since = time.monotonic()
    with pytest.raises(Unsupported, match=r"rogue did not finish within 0\.3 s while reading the model"):
        rogue.call("sources", "rogue", "describe", limit_s=0.3, path=Path(name), options=SourceOptions())
    assert time.monotonic() - since < 1.3
    with pytest.raises(InputError, match="wrong"):
        describe(rogue, "refused")


def test_whoever_listens_may_end_the_call(rogue: Worker) -> None:
    def stop(_: Event) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        rogue.call("sources", "rogue", "describe", tell=stop, path=Path("chatty"), options=SourceOptions())
    with pytest.raises(InputError, match="wrong"):
        describe(rogue, "refused")


def test_a_death_is_seen_though_a_process_that_it_started_holds_its_pipe(rogue: Worker) -> None:
    with pytest.raises(Unsupported, match="exit code 3"):
        describe(rogue, "orphan")


def test_a_fault_in_native_code_names_the_step(rogue: Worker) -> None:
    with pytest.raises(Unsupported, match=r"rogue crashed while reading the model \(SIGSEGV"):
        describe(rogue, "native")


def test_an_unknown_leaf_is_refused(rogue: Worker) -> None:
    with pytest.raises(InputError, match="no source named nothing") as refused:
        rogue.call("sources", "nothing", "")
    assert "rogue" in refused.value.fix


PARENT = """
import sys
from pathlib import Path
from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions, Waist, Signature
path = Path(sys.argv[1])
waist = Waist(file="w", signature=Signature(inputs=(), outputs=()))
Worker(path.parent / "log.txt").call(
    "sources", "rogue", "first_divergence", path=path, options=SourceOptions(), waist=waist, inputs=path, threshold_db=1.0
)
"""


def test_a_killed_parent_takes_the_child_and_its_files_along(plugin: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    log = tmp_path / "log.txt"
    log.touch()
    environment = os.environ | {"TMPDIR": str(temporary)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "x")], env=environment)
    until(lambda: log.read_text().endswith("\n"))
    child = int(log.read_text().split()[-1])
    assert any(temporary.iterdir())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])
    assert list(temporary.iterdir()) == []
