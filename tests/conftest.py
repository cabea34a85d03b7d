"""What every test may use."""

import compileall
import contextlib
import gc
import os
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from edgekit import runner
from edgekit.engine.session import Session
from edgekit.engine.worker import Worker
from edgekit.host.cachedir import cache_folder
from edgekit.steps import bundling
from tests.cpu_times import CpuTimes
from tests.lines import Lines
from tests.scheduling import TOGETHER, SharingFiles

# A busy machine is no failure, and neither is a fixture that all examples share. Whether a change lands depends
# on the change and not on the draw; elsewhere every run draws anew.
settings.register_profile(
    "edgekit",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("edgekit")

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ROOT / "tests" / "studies"


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of pytest-xdist a cache of its own: devices are swept and locked there."""
    if not (os.environ.get("PYTEST_XDIST_WORKER") or config.option.collectonly):
        compile_modules()
    if rows := config.getoption("--cpu-times"):
        config.pluginmanager.register(CpuTimes(rows))
    if (found := config.getoption("--lines")) and not os.environ.get("PYTEST_XDIST_WORKER"):
        config.pluginmanager.register(Lines(ROOT / "edgekit", Path(found).resolve()))
    if process := os.environ.get("PYTEST_XDIST_WORKER"):
        emulators = cache_folder() / "emulators"  # a system that takes half a minute to set up
        os.environ["EDGEKIT_CACHE"] = f"{cache_folder()}-{process}"
        emulators.mkdir(parents=True, exist_ok=True)
        cache_folder().mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (cache_folder() / "emulators").symlink_to(emulators)


IMPORT_ALL = """
import contextlib, importlib, pkgutil, edgekit
from edgekit.nouns.leaves import MODULES
for name in (*(module.name for module in pkgutil.walk_packages(edgekit.__path__, "edgekit.")), *MODULES):
    if name != "edgekit.__main__":
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
"""


def compile_modules() -> None:
    """Compile what edgekit imports and all tests, once, and edgekit: workers may not write there, and could not keep it.

    `uv sync` leaves that to the first import; each worker would spend 7 s on TensorFlow. To compile all that is
    installed takes five times as long. Tests, which pytest compiles itself, would be compiled by each of its processes. For
    the same reason these may write what they compile, even if the environment says that they shall not.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    installed, stamp = Path(sysconfig.get_path("purelib")), Path(sys.prefix) / "compiled"
    if os.access(sys.prefix, os.W_OK) and (
        not stamp.exists() or stamp.stat().st_mtime_ns < installed.stat().st_mtime_ns
    ):
        commands = ["-W", "ignore", "-c", IMPORT_ALL], ["-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", ""]
        quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for process in [subprocess.Popen([sys.executable, *command], **quiet) for command in commands]:
            process.wait()
        stamp.touch()
    compileall.compile_dir(ROOT / "edgekit", quiet=2)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cpu-times", type=int, metavar="N", help="show the CPU seconds of each file and of the N dearest tests"
    )
    parser.addoption("--lines", metavar="FILE", help="show which lines of edgekit no test runs, in whatever process")
    parser.addoption("--update-golden", action="store_true", help="write the screens of tests/golden anew")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharingFiles:
    return SharingFiles(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no study in a run that leaves them out: each process of pytest-xdist imports all that is collected."""
    return True if collection_path == STUDIES and config.option.markexpr == "not study" else None


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    studies = f"{STUDIES}{os.sep}"
    for item in items:
        if str(item.path).startswith(studies):
            item.add_marker("study")
    # What one process does alone first, then files of slow tests, so that all processes end together.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    paths = {item.path for item in items}
    alone = {path for path in paths if any(files.search(path.as_posix()) for files in TOGETHER.values())}
    items.sort(key=lambda item: (item.path not in alone, item.path not in slow))
    folder = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared"))
    if folder.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"no folder {folder}; set EDGEKIT_SHARED"))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through seven thousand tests and all modules, again and again."""
    assert "tensorflow" not in sys.modules, "a file of tests imports TensorFlow for every process: use tests.lazy.Lazy"
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def files_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Builds within this process write code for apps, and reports, in tests of that alone: marked so, for their time."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("bundles") is None:
            patch.setattr(bundling, "bundle", lambda *_: None)
        if request.node.get_closest_marker("reports") is None:
            patch.setattr("edgekit.cli.build._explain", lambda _session, _console, results: results)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real third-party models and data."""
    return Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """No file of tests leaves a place of this process in the cache: another one may use its name."""
    yield
    assert not list((cache_folder() / "places").glob(runner.place_name(0)[:-1] + "*"))


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One child process for all leaf tests, as a build has it."""
    with Worker(tmp_path_factory.mktemp("worker") / "log.txt") as running:
        yield running


@dataclass(frozen=True)
class Disk:
    """A file system in memory of a size that can be changed."""

    path: Path

    def resize(self, kib: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kib}k", self.path], check=True)

    def protect(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """An empty disk of 4 KiB. Where mounting is not permitted there is none, except in CI, which must permit it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        assert not os.environ.get("CI"), mounted.stderr
        pytest.skip(f"a disk can be mounted by root only: {mounted.stderr.strip()}")
    yield Disk(place)
    subprocess.run(["umount", "--lazy", place], check=True)


Workers = dict[tuple[str, str], Worker]


@pytest.fixture(scope="session")
def worker_pool() -> Iterator[dict[tuple[Any, ...], Workers]]:
    """Worker processes by what they may take; they end with the tests."""
    pool: dict[tuple[Any, ...], Workers] = defaultdict(dict)
    yield pool
    for workers in pool.values():
        for worker in workers.values():
            worker.close()


@pytest.fixture(scope="module")
def kept_workers(worker_pool: dict[tuple[Any, ...], Workers]) -> Iterator[None]:
    """All sessions of such files of tests share worker processes, since to import TensorFlow takes seconds."""
    begin = Session.__init__

    def share(session: Session, *arguments: Any, **options: Any) -> None:
        begin(session, *arguments, **options)
        session._workers = worker_pool[session._max_memory, session._max_seconds]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "__init__", share)
        patch.setattr(Session, "_close_workers", lambda _: None)
        patch.setattr("edgekit.engine.session.LOGS_KEPT", sys.maxsize)  # a worker writes in that of its first session
        yield
