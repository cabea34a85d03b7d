"""What is special about measuring on this host."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from edgekit import runner
from edgekit.drivers import local
from edgekit.errors import DeviceError, MissingTool, Unsupported
from edgekit.nouns.profile import Deployment, Device, DeviceConfig, Run
from edgekit.runner import here as here_places
from edgekit.runner.here import SAID
from tests.drivers.benches import QUICK, network
from tests.waiting import until
from tests.watchdog import children

DRIVER = local.Local()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def here() -> Device:
    return DRIVER.find({})[0]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return network(tmp_path)


@pytest.fixture
def deployment(here: Device, files: tuple[Path, Path]) -> Iterator[Deployment]:
    opened = DRIVER.open(here, *files, QUICK, runner.place_name(1))
    yield opened
    DRIVER.close(here, opened)


def test_this_host_is_always_there(here: Device) -> None:
    assert here.id == "local"
    assert here.runs == (".tflite", ".xml", ".onnx")
    assert here.delegates == ("xnnpack", "none")
    assert here.times
    assert here.state is not None


def test_files_are_linked_not_copied(deployment: Deployment, files: tuple[Path, Path]) -> None:
    assert Path(deployment.model).samefile(files[0])
    assert Path(deployment.inputs).samefile(files[1])


def test_files_are_copied_where_links_cannot_be_had(
    here: Device, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", no_link)
    deployment = DRIVER.open(here, *files, QUICK, runner.place_name(1))
    assert Path(deployment.model).read_bytes() == files[0].read_bytes()
    assert not Path(deployment.model).samefile(files[0])
    DRIVER.close(here, deployment)


def test_an_ir_runs_with_its_weights(here: Device, tmp_path: Path) -> None:
    x = ops.parameter([1, 4], np.float32, name="x")
    x.output(0).tensor.set_names({"x"})
    y = ops.matmul(x, ops.constant(np.eye(4, dtype=np.float32)), False, False)
    y.output(0).tensor.set_names({"y"})
    ov.save_model(ov.Model([y], [x], "m"), tmp_path / "m.xml", compress_to_fp16=False)
    np.savez(tmp_path / "i.npz", x=np.arange(8, dtype=np.float32).reshape(2, 1, 4))
    run = msgspec.structs.replace(QUICK, mode="outputs")
    deployment = DRIVER.open(here, tmp_path / "m.xml", tmp_path / "i.npz", run, runner.place_name(2))
    (tmp_path / "out").mkdir()
    block = DRIVER.run(here, deployment, run, tmp_path / "out")
    DRIVER.close(here, deployment)
    assert block.runtime.startswith("openvino ")
    np.testing.assert_array_equal(np.load(tmp_path / "out/outputs.npz")["y"].ravel(), np.arange(8))


def test_times_are_of_this_hosts_clock(here: Device, deployment: Deployment, tmp_path: Path) -> None:
    begin = time.monotonic()
    block = DRIVER.run(here, deployment, QUICK, tmp_path)
    assert begin < block.begin_s < block.end_s < time.monotonic()
    assert block.host_offset_s == 0
    assert (tmp_path / "latencies.npy").is_file()


def test_every_block_is_a_process_of_its_own(here: Device, deployment: Deployment, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        DRIVER.run(here, deployment, QUICK, tmp_path / name)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["latencies.npy"]


def test_shell_lines_end(here: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LINE_S", 2.0)
    slow, quick = DRIVER.execute(here, ("sleep 30", "echo ok"))
    assert slow.code == 124
    assert quick.stdout == "ok\n"


def test_an_unknown_kind_of_file_is_refused(here: Device, files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(Unsupported, match=r"runs \.tflite, \.xml, \.onnx files"):
        DRIVER.open(here, tmp_path / "model.pt", files[1], QUICK, runner.place_name(3))


def test_a_missing_runtime_is_installed_by_the_line_that_is_given(here: Device, files: tuple[Path, Path]) -> None:
    bare = msgspec.structs.replace(here, runs=(".xml",))
    with pytest.raises(MissingTool) as caught:
        DRIVER.open(bare, *files, QUICK, runner.place_name(3))
    assert caught.value.fix == f"{sys.executable} -m pip install ai-edge-litert"


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells here when a process started")
def test_a_place_whose_makers_number_is_taken_again_is_swept(
    here: Device, deployment: Deployment, files: tuple[Path, Path]
) -> None:
    running = here_places._held
    (Path(deployment.place) / runner.OWNER).write_text("1")  # as if a process that started with the system had made it
    DRIVER.close(here, DRIVER.open(here, *files, QUICK, runner.place_name(2)))
    assert Path(deployment.place).exists()  # it is in use, whatever its name says
    os.close(running.pop(Path(deployment.place).name))
    DRIVER.close(here, DRIVER.open(here, *files, QUICK, runner.place_name(2)))
    assert not Path(deployment.place).exists()


def test_a_full_disk_leaves_nothing(
    here: Device, files: tuple[Path, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeviceError, match="No space left"):
        DRIVER.open(here, *files, QUICK, runner.place_name(4))
    assert not list((cache / "places").iterdir())


@pytest.fixture
def abort(here: Device, deployment: Deployment) -> Deployment:
    """A stand whose runner dies by a signal, as a native library's would."""
    program = Path(deployment.place) / runner.PROGRAM
    program.unlink()
    program.write_text("import os, sys\nprint('double free or corruption')\nsys.stdout.flush()\nos.abort()\n")
    return deployment


def test_a_death_by_signal_is_named(here: Device, abort: Deployment, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="by SIGABRT: double free or corruption"):
        DRIVER.run(here, abort, QUICK, tmp_path)


def test_a_block_that_hangs_is_given_up(
    here: Device, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOADING_S", 0.5)
    hanging = Run(mode="idle", idle_s=0.0)
    (Path(deployment.place) / runner.PROGRAM).unlink()
    (Path(deployment.place) / runner.PROGRAM).write_text("import time\ntime.sleep(600)\n")
    begin = time.monotonic()
    with pytest.raises(DeviceError, match="took longer than"):
        DRIVER.run(here, deployment, hanging, tmp_path)
    assert time.monotonic() - begin < 10


STARTER = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
from edgekit.drivers.local import Local
from edgekit.nouns.profile import Device, Run, Deployment
place = Path(sys.argv[1])
deployment = Deployment(place=str(place), model=str(place / "model"), inputs=str(place / "inputs.npz"))
Local().run(Device(id="local", kind="local", title="t"), deployment, Run(mode="idle", idle_s=600.0), place)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_block_ends_with_the_process_that_started_it(deployment: Deployment, how: signal.Signals) -> None:
    place = Path(deployment.place)
    (place / runner.PROGRAM).unlink()
    (place / runner.PROGRAM).write_bytes(runner.program())
    with subprocess.Popen([sys.executable, "-c", STARTER, str(place)], stderr=subprocess.DEVNULL) as starter:
        until((place / "block" / SAID).exists)
        until(lambda: children(starter.pid) != [])
        child = children(starter.pid)[0]
        starter.send_signal(how)
    until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # a zombie nobody waits for


def test_another_interpreter_is_another_device() -> None:
    config = {
        "twin": DeviceConfig(kind="local", python=sys.executable),
        "gone": DeviceConfig(kind="local", python="/nowhere/python3"),
        "board": DeviceConfig(kind="ssh"),
    }
    here, twin, gone = DRIVER.find(config)
    assert here.id == "local"
    assert (twin.id, twin.usable, twin.runs) == ("twin", True, here.runs)
    assert not gone.usable
    assert "/nowhere/python3 does not start" in gone.problems[0]
    assert gone.problems[0].endswith("fix: try it: /nowhere/python3 --version")


def test_closing_touches_no_folder_of_others(here: Device, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        DRIVER.close(here, Deployment(place=str(tmp_path), model="m", inputs="i"))
    assert tmp_path.is_dir()
