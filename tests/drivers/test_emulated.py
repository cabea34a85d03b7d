"""The emulated device: what it computes on ARM kernels, what it refuses, and what it leaves behind (nothing)."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit import runner
from edgekit.drivers.emulated import Emulated, root, system_folder
from edgekit.errors import DeviceError, InputError, MissingTool, Unsupported
from edgekit.nouns.profile import Deployment, Device, DeviceConfig, Mode, Run
from tests.drivers.bench_emulated import ID, bench, found, places, random_inputs, runs_on

SET_UP = pytest.mark.study
"""Tests of a core that is set up (`tests.drivers.benches.STUDIED`)."""


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with bench(tmp_path_factory.mktemp("bench")) as made:
        yield found(made)


@SET_UP
@pytest.mark.parametrize("mode", ["time", "idle", "operators"])
def test_it_never_reports_a_time(mode: Mode, device: Device, tmp_path: Path, network: Path) -> None:
    np.savez(tmp_path / "given.npz", x=np.zeros((1, 1, 4), np.float32))
    deployment = Emulated().open(device, network, tmp_path / "given.npz", Run(mode=mode), runner.place_name(2))
    with pytest.raises(Unsupported, match="Times under emulation mean nothing"):
        Emulated().run(device, deployment, Run(mode=mode), tmp_path)
    Emulated().close(
        device, Deployment(place=runner.place_name(2), model="", inputs="")
    )  # as after a failure in `open`
    assert not Path(deployment.place).exists()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that need not run."""
    file = tmp_path_factory.mktemp("network") / "network.tflite"
    file.write_bytes(b"\0\0\0\0TFL3 damaged")
    return file


@SET_UP
def test_a_file_that_litert_refuses_there_is_no_bug_here(device: Device, network: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"cannot load|ended with code"):
        runs_on(device, tmp_path)(network, {"x": np.zeros((1, 4), np.float32)})


@SET_UP
@pytest.mark.shared
def test_a_run_ends_when_whoever_started_it_is_killed(device: Device, tmp_path: Path, shared: Path) -> None:
    file = shared / "models" / "mlperf_tiny" / "pretrainedResnet.tflite"
    np.savez(tmp_path / "given.npz", allow_pickle=False, **random_inputs(file, 5000))
    deployment = Emulated().open(device, file, tmp_path / "given.npz", Run(mode="outputs"), runner.place_name(4))
    code = (
        "import sys, msgspec; from pathlib import Path\n"
        "from edgekit.drivers.emulated import Emulated; from edgekit.nouns.profile import Device, Run, Deployment\n"
        "device, stand = msgspec.json.decode(sys.argv[1], type=tuple[Device, Deployment])\n"
        "Emulated().run(device, stand, Run(mode='outputs'), Path(sys.argv[2]))\n"
    )
    given = msgspec.json.encode((device, deployment)).decode()
    other = subprocess.Popen([sys.executable, "-c", code, given, str(tmp_path)])
    while not working_in(deployment.place):
        assert other.poll() is None
        time.sleep(0.1)
    other.kill()
    other.wait()
    end = time.monotonic() + 60
    while working_in(deployment.place):
        assert time.monotonic() < end
        time.sleep(0.1)
    Emulated().close(device, deployment)
    assert not Path(deployment.place).exists()


def working_in(place: str) -> list[str]:
    """Emulators whose command line names a folder."""
    every = Path("/proc").glob("[0-9]*/cmdline")
    return [str(path) for path in every if path.exists() and _reads(path).startswith("qemu") and place in _reads(path)]


def _reads(path: Path) -> str:
    try:
        return Path(path.read_bytes().decode("utf8", "replace").split("\0")[0]).name + path.read_bytes().decode(
            "utf8", "replace"
        )
    except OSError:
        return ""


@SET_UP
def test_a_core_that_qemu_does_not_know_is_a_problem_in_words(device: Device) -> None:
    (found,) = Emulated().find({"odd": DeviceConfig(kind="emulated", cpu="z80")})
    assert not found.usable
    assert found.problems == (
        "Python does not run there: qemu-aarch64-static: unable to find CPU model 'z80' "
        "fix: name a core that qemu-aarch64-static -cpu help lists, such as cortex-a76",
    )


@pytest.mark.parametrize("core", ["max", "max,sme=off"])
def test_the_core_named_max_is_refused(core: str) -> None:
    named = DeviceConfig(kind="emulated", cpu=core)
    (found,) = Emulated().find({"odd": named})
    assert not found.usable
    (problem,) = found.problems
    assert problem.startswith("max is no real core")
    assert problem.endswith("fix: name a core that a phone or board has, such as cortex-a76")
    with pytest.raises(InputError, match="no real core"):
        Emulated().set_up(named)


@SET_UP
def test_it_says_what_it_is(device: Device) -> None:
    assert (device.cpu, device.abi, device.runs, device.times) == ("cortex-a76", "aarch64", (".tflite",), False)
    assert device.runtimes == {"ai-edge-litert": "2.1.2"}
    assert [output.code for output in Emulated().execute(device, ("true", "uname"))] == [127, 127]
    assert Emulated().state(device).governor is None


@SET_UP
def test_a_second_set_up_is_free(device: Device) -> None:
    assert device.config is not None
    before = root.read(system_folder())
    assert Emulated().set_up(device.config)[1:] == ("ai-edge-litert 2.1.2",)
    assert root.read(system_folder()) == before
    assert before is not None
    assert before.packages["python3.11-minimal"].startswith("3.11.2-")


def test_only_tflite_files_run_there(tmp_path: Path) -> None:
    device = Device(id=ID, kind="emulated", title="arm64 under qemu", config=DeviceConfig(kind="emulated"))
    with pytest.raises(Unsupported, match=r"runs \.tflite files, not \.xml"):
        Emulated().open(device, tmp_path / "model.xml", tmp_path / "given.npz", Run(), runner.place_name(5))


@SET_UP
@pytest.mark.shared
def test_a_run_that_takes_too_long_is_ended(
    device: Device, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.runner.limit_s", lambda _: 0.2)
    with pytest.raises(DeviceError, match=r"took longer than 0\.2 s"):
        runs_on(device, tmp_path)(shared / "models" / "mlperf_tiny" / "kws_ref_model.tflite", {})
    assert runner.place_name(1) not in places()


def test_before_it_is_set_up_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    if root.emulator() is None:
        pytest.skip("no qemu")
    (found,) = Emulated().find({ID: DeviceConfig(kind="emulated")})
    assert (found.usable, found.times) == (False, False)
    assert found.problems == ("The arm64 system is not set up. fix: edgekit devices add arm64-emulated",)
    with pytest.raises(MissingTool, match="not set up"):
        Emulated().state(found)
