"""Boards that break: connections cut at any moment, full and read-only disks, missing Pythons."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit import runner
from edgekit.drivers.ssh import Ssh, connection, transfer
from edgekit.drivers.ssh.connection import Board
from edgekit.engine.worker import Worker
from edgekit.errors import DeviceError, MissingTool, Unsupported
from edgekit.nouns.profile import Deployment, DeviceConfig, Run
from edgekit.nouns.sensing import Probe
from tests.drivers.ssh.conftest import QUICK, device_of, through
from tests.drivers.ssh.server import Server, Wire, bare, interpreter, processes
from tests.waiting import until

pytestmark = pytest.mark.study

Make = Callable[..., DeviceConfig]
Network = tuple[Path, Path]
LONG = Run(mode="idle", idle_s=120.0)
"""A block that does not end by itself while a test waits."""


@pytest.fixture
def big(network: Network, tmp_path: Path) -> Path:
    """Inputs of 8 MiB, enough to break off in the middle."""
    path = tmp_path / "big.npz"
    np.savez(path, image=np.random.default_rng(0).random((10923, 1, 8, 8, 3), np.float32))
    return path


def in_the_middle(act: Callable[[], object], when: Callable[[], bool], then: Callable[[], None]) -> DeviceError:
    """Do something as soon as a condition holds while a call runs; the call's error."""
    caught: list[DeviceError] = []

    def call() -> None:
        with pytest.raises(DeviceError) as error:
            act()
        caught.append(error.value)

    thread = threading.Thread(target=call)
    thread.start()
    until(when)
    then()
    thread.join(60)
    assert not thread.is_alive()
    (error,) = caught
    return error


def test_a_cut_in_an_upload_leaves_nothing(
    driver: Ssh, board: Make, server: Server, wire: Wire, network: Network, big: Path
) -> None:
    config = board()
    device = device_of(through(config, wire))
    driver.execute(device, ("true",))
    wire.cut_up = wire.up + 2**21
    with pytest.raises(DeviceError, match="The connection ended while copying files to it"):
        driver.open(device, network[0], big, QUICK, runner.place_name(0))
    assert wire.up > 2**20
    assert server.tree(config) == []


def test_a_board_that_stays_away_is_cleared_by_the_next_run(
    driver: Ssh, board: Make, server: Server, wire: Wire, network: Network, big: Path
) -> None:
    """The process that began is a worker's parent that has died meanwhile: its number is in the folder's name."""
    config = board()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    place = f"{runner.place_name(0).rsplit('-', 2)[0]}-{int(dead.stdout)}-0"
    device = device_of(through(config, wire))
    driver.execute(device, ("true",))
    wire.cut_up = wire.up + 2**21
    wire.unplug()  # nobody comes back
    with pytest.raises(DeviceError, match="The connection ended while copying files to it"):
        driver.open(device, network[0], big, QUICK, place)
    assert server.tree(config) != []
    deployment = driver.open(device_of(config), *network, QUICK, runner.place_name(0))
    assert not (server.home(config) / place).exists()
    driver.close(device_of(config), deployment)


def test_a_cut_in_a_block_ends_every_process_there(
    driver: Ssh, board: Make, server: Server, wire: Wire, network: Network, tmp_path: Path
) -> None:
    """The runner, its sampling process, and the command whose lines that one reads."""
    config = board()
    device = device_of(through(config, wire))
    stream = f"while :; do echo {tmp_path.name}; sleep 0.1; done"
    probe = Probe(meter="test", files=("/proc/uptime",), stream=stream, interval_s=0.05)
    run = msgspec.structs.replace(LONG, probe=probe)
    deployment = driver.open(device, *network, run, runner.place_name(0))
    program = f"{deployment.place}/{runner.PROGRAM}"
    error = in_the_middle(
        lambda: driver.run(device, deployment, run, tmp_path),
        lambda: any(tmp_path.name in file.read_text() for file in Path(deployment.place).glob("block*/sensed.jsonl")),
        wire.cut,
    )
    assert error.problem == "The connection ended while running a block."
    until(lambda: not processes(program))
    until(lambda: not processes(stream))
    driver.close(device, deployment)
    assert server.tree(config) == []


def test_a_board_that_falls_silent_is_noticed(
    driver: Ssh, board: Make, wire: Wire, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_S", 0.5)
    config = board()
    device = device_of(through(config, wire))
    deployment = driver.open(device, *network, LONG, runner.place_name(0))
    program = f"{deployment.place}/{runner.PROGRAM}"
    error = in_the_middle(
        lambda: driver.run(device, deployment, LONG, tmp_path), lambda: bool(processes(program)), wire.frozen.set
    )
    assert "The connection ended while running a block" in error.problem
    wire.close()  # the board's side notices too
    until(lambda: not processes(program))
    driver.close(device_of(config), deployment)


def test_a_cut_in_a_download_is_told_and_cleared(
    driver: Ssh, board: Make, server: Server, wire: Wire, network: Network, big: Path, tmp_path: Path
) -> None:
    config = board()
    device = device_of(through(config, wire))
    run = Run(mode="outputs")
    deployment = driver.open(device, network[0], big, run, runner.place_name(0))
    wire.cut_down = wire.down + 2**17
    with pytest.raises(DeviceError, match="The connection ended while bringing back what it measured"):
        driver.run(device, deployment, run, tmp_path)
    driver.close(device, deployment)
    assert server.tree(config) == []


def test_a_call_after_a_cut_connects_anew(driver: Ssh, board: Make, wire: Wire) -> None:
    device = device_of(through(board(), wire))
    for _ in range(2):
        assert driver.execute(device, ("echo in",))[0].stdout == "in\n"
        wire.cut()
        ours = [connection for config, connection in Board._connections.items() if config.port == wire.port]
        until(lambda ours=ours: all(connection.is_closed() for connection in ours))


def test_close_names_what_stays(driver: Ssh, board: Make, wire: Wire, network: Network, server: Server) -> None:
    config = board()
    device = device_of(through(config, wire))
    deployment = driver.open(device, *network, QUICK, runner.place_name(0))
    wire.close()
    time.sleep(0.2)
    with pytest.raises(DeviceError) as caught:
        driver.close(device, deployment)
    assert deployment.place in caught.value.place
    assert f"rm -r {deployment.place}" in caught.value.fix
    driver.close(device_of(config), deployment)


def test_a_killed_worker_leaves_no_process(
    board: Make, server: Server, network: Network, tmp_path: Path, driver: Ssh
) -> None:
    config = board()
    deployment = driver.open(device_of(config), *network, LONG, runner.place_name(0))
    plain = {
        "device": msgspec.to_builtins(device_of(config)),
        "deployment": msgspec.to_builtins(deployment),
        "run": msgspec.to_builtins(LONG),
        "out": str(tmp_path),
    }
    program = f"{deployment.place}/{runner.PROGRAM}"
    with Worker(tmp_path / "log.txt") as running:

        def block() -> None:
            with pytest.raises(DeviceError):  # it died
                running.call("drivers", "ssh", "run", **plain)

        thread = threading.Thread(target=block)
        thread.start()
        until(lambda: processes(program))
        assert running._child is not None
        running._child.process.send_signal(signal.SIGKILL)
        thread.join(30)
    until(lambda: not processes(program))
    driver.close(device_of(config), deployment)


def test_a_block_that_does_not_end_is_given_up(
    driver: Ssh, board: Make, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = device_of(board())
    deployment = driver.open(device, *network, LONG, runner.place_name(0))
    monkeypatch.setattr(runner, "limit_s", lambda run: 2.0)
    with pytest.raises(DeviceError, match="A block took longer than 2 s"):
        driver.run(device, deployment, LONG, tmp_path)
    until(lambda: not processes(deployment.place))
    driver.close(device, deployment)


def test_a_place_that_vanished_is_told(driver: Ssh, board: Make, network: Network, tmp_path: Path) -> None:
    device = device_of(board())
    deployment = driver.open(device, *network, QUICK, runner.place_name(0))
    shutil.rmtree(deployment.place)
    with pytest.raises(DeviceError, match="What was put there for this run is gone"):
        driver.run(device, deployment, QUICK, tmp_path)
    driver.close(device, deployment)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small disk of its own at a folder; needs root."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_without_room_is_told_before_copying(
    driver: Ssh, board: Make, server: Server, network: Network, big: Path
) -> None:
    config = board()
    with mounted(server.home(config), "size=1m"):
        with pytest.raises(DeviceError) as caught:
            driver.open(device_of(config), network[0], big, QUICK, runner.place_name(0))
        assert server.tree(config) == []
    assert re.match(r"There is no room: 8\.\d MiB are needed, 1\.0 MiB are free\.", caught.value.problem)
    assert "du -sh" in caught.value.fix


def test_a_disk_that_fills_up_meanwhile_is_told(
    driver: Ssh, board: Make, server: Server, network: Network, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = board()
    home = server.home(config)
    with mounted(home, "size=12m"):
        filler = home / "filler"
        obstacle, asked = transfer._obstacle, []

        async def asks(*given: object) -> DeviceError | None:
            asked.append(await obstacle(*given))  # type: ignore[arg-type]
            if len(asked) == 1:
                filler.write_bytes(b"x" * 2**23)
            return asked[-1]

        monkeypatch.setattr(transfer, "_obstacle", asks)
        with pytest.raises(DeviceError, match="There is no room"):
            driver.open(device_of(config), network[0], big, QUICK, runner.place_name(0))
        assert asked[0] is None
        filler.unlink()
        assert server.tree(config) == []


def test_a_read_only_home_is_told(driver: Ssh, board: Make, server: Server, network: Network) -> None:
    config = board()
    with mounted(server.home(config), "ro"):
        (found,) = driver.find({"bench": config})
        assert found.usable  # looking needs no file there
        with pytest.raises(DeviceError) as caught:
            driver.open(found, *network, QUICK, runner.place_name(0))
    assert caught.value.problem == "Nothing can be written into the home there: the file system is read-only."
    assert "remount,rw" in caught.value.fix


def test_a_board_without_file_transfer_is_told(driver: Ssh, board: Make, network: Network) -> None:
    config = board(before='case "$SSH_ORIGINAL_COMMAND" in *sftp-server*) exit 127 ;; esac')
    with pytest.raises(DeviceError) as caught:
        driver.open(device_of(config), *network, QUICK, runner.place_name(0))
    assert "sftp-server" in caught.value.fix


@pytest.mark.parametrize(("borrowed", "problem"), [((), "numpy is not installed"), (("numpy",), "No runtime there")])
def test_what_is_missing_comes_with_pips_line(
    driver: Ssh, board: Make, network: Network, tmp_path: Path, borrowed: tuple[str, ...], problem: str
) -> None:
    python = bare(tmp_path / "bare", *borrowed)
    config = board(python=python)
    (found,) = driver.find({"bench": config})
    assert not found.usable
    with pytest.raises(MissingTool, match=problem) as caught:
        driver.open(found, *network, QUICK, runner.place_name(0))
    assert found.problems == (f"{caught.value.problem.removesuffix('.')}; fix: {caught.value.fix}",)
    word = shlex.split(caught.value.fix)[-1]
    assert caught.value.fix.startswith(f"ssh -p {config.port} -i {config.key} {config.user}@127.0.0.1 ")
    assert word == f"{python} -m pip install ai-edge-litert numpy"


def test_a_file_that_needs_another_runtime_is_told(driver: Ssh, board: Make, network: Network, tmp_path: Path) -> None:
    config = board(python=bare(tmp_path / "bare", "numpy", "onnxruntime"))
    (found,) = driver.find({"bench": config})
    assert (found.runs, found.usable, found.delegates) == ((".onnx",), True, ())
    with pytest.raises(MissingTool, match=r"No runtime there runs \.tflite files"):
        driver.open(found, *network, QUICK, runner.place_name(0))
    with pytest.raises(Unsupported, match=r"not \.keras"):
        driver.open(found, tmp_path / "model.keras", network[1], QUICK, runner.place_name(0))


def test_a_python_that_is_not_there_is_told(driver: Ssh, board: Make, network: Network) -> None:
    config = board(python="python3.99")
    (found,) = driver.find({"bench": config})
    assert (found.usable, found.os, found.abi) == (False, f"Linux {os.uname().release}", os.uname().machine)
    with pytest.raises(MissingTool) as caught:
        driver.open(found, *network, QUICK, runner.place_name(0))
    assert found.problems[0].startswith("There is no python3.99 there; fix: name another one as python in [devices.")
    assert caught.value.problem == "There is no python3.99 there."
    assert "apt-get install python3" in caught.value.fix


POSING = """#!/bin/sh
shift
exec {python} -c 'import sys
sys.version_info, sys.version = (3, 7, 3, "final", 0), "3.7.3 (posing)"
exec(sys.argv.pop(1))' "$@"
"""
"""A Python that says it is older, for machines without an old one."""


OLD_PYTHONS = [found for version in ("2.7", "3.6", "3.7", "3.8") if (found := interpreter(version))]


@pytest.mark.parametrize("python", ["posing", *OLD_PYTHONS])
def test_a_python_that_is_too_old_is_told(
    driver: Ssh, board: Make, network: Network, tmp_path: Path, python: str
) -> None:
    if python == "posing":
        (tmp_path / "python").write_text(POSING.format(python=sys.executable))
        (tmp_path / "python").chmod(0o755)
    config = board(python=str(tmp_path / "python") if python == "posing" else python)
    with pytest.raises(MissingTool, match=r"is Python [23]\.\d\.\d+; 3.9 or later is needed"):
        driver.open(device_of(config), *network, QUICK, runner.place_name(0))


@pytest.mark.parametrize("library", [None, "/nowhere/libedgetpu.so.1", "libm.so.6"])
def test_a_delegate_that_cannot_be_loaded_is_told(
    driver: Ssh, board: Make, network: Network, library: str | None
) -> None:
    config = board(delegate_library=library)
    (found,) = driver.find({"bench": config})
    assert found.usable
    assert found.delegates == ("xnnpack", "none")
    assert bool(found.problems) == bool(library)
    run = Run(delegate="edgetpu")
    with pytest.raises(MissingTool) as caught:
        driver.open(found, *network, run, runner.place_name(0))
    assert caught.value.problem.startswith(f"{library or 'libedgetpu.so.1'} cannot be loaded there: ")
    assert "delegate_library in [devices.bench]" in caught.value.fix


FAKE = """
#include <stddef.h>
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    report("no Edge TPU is plugged in");
    return NULL;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_delegate_without_its_accelerator_is_told(driver: Ssh, board: Make, network: Network, tmp_path: Path) -> None:
    (tmp_path / "fake.c").write_text(FAKE)
    library = tmp_path / "libfake.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "fake.c")], check=True)
    config = board(delegate_library=str(library))
    (found,) = driver.find({"bench": config})
    assert found.delegates == ("xnnpack", "edgetpu", "none")
    run = msgspec.structs.replace(QUICK, delegate="edgetpu")
    deployment = driver.open(found, *network, run, runner.place_name(0))
    assert deployment.library == str(library)
    (out := tmp_path / "out").mkdir()
    with pytest.raises(MissingTool, match="The delegate's library cannot be loaded"):
        driver.run(found, deployment, run, out)
    driver.close(found, deployment)


@pytest.mark.parametrize("delegate", ["gpu", "nnapi"])
def test_delegates_of_phones_are_refused(driver: Ssh, board: Make, network: Network, delegate: str) -> None:
    run = msgspec.convert({"delegate": delegate}, Run)
    with pytest.raises(Unsupported, match=f"The delegate {delegate} is for phones"):
        driver.open(device_of(board()), *network, run, runner.place_name(0))


def test_closing_what_never_opened_is_no_error(driver: Ssh, board: Make) -> None:
    driver.close(device_of(board()), Deployment(place=runner.place_name(0), model="", inputs=""))
