"""Blocks on a board over SSH: a real server, the real runner, the real runtime."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekit import runner
from edgekit.drivers.ssh import Ssh, connection
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.profile import Deployment, DeviceConfig, Run
from edgekit.nouns.sensing import Probe, Sample
from tests.drivers.ssh.conftest import QUICK, device_of
from tests.drivers.ssh.server import Server

Make = Callable[..., DeviceConfig]


def test_find_tells_what_the_board_is(driver: Ssh, board: Make) -> None:
    config = board()
    (found,) = driver.find({"bench": config})
    assert (found.id, found.kind, found.config) == ("bench", "ssh", config)
    assert found.usable
    assert found.problems == ()
    assert found.runs == (".tflite", ".xml", ".onnx")
    assert found.runtimes["ai-edge-litert"].startswith("2.")
    assert found.delegates == ("xnnpack", "none")
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.abi == os.uname().machine
    assert found.state is not None


def test_a_block_is_timed_on_the_boards_clock(
    driver: Ssh, board: Make, server: Server, network: tuple[Path, Path], tmp_path: Path
) -> None:
    config = board()
    device = device_of(config)
    deployment = driver.open(device, *network, QUICK, runner.place_name(0))
    assert Path(deployment.place).name == runner.place_name(0)
    assert Path(deployment.place).stat().st_mode & 0o777 == 0o700
    block = driver.run(device, deployment, QUICK, tmp_path)
    assert block.runtime.startswith("ai-edge-litert 2.")
    assert block.latencies is not None
    latencies = np.load(tmp_path / block.latencies)
    assert block.latency is not None
    assert latencies.shape == (block.latency.runs // block.latency.inferences_per_reading,)
    assert block.latency.median_ms == pytest.approx(np.median(latencies))
    assert block.begin_s < block.end_s
    # Board and host are one machine here, so their clocks are one.
    assert abs(block.host_offset_s) <= block.host_offset_error_s < 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latencies.npy"]
    driver.close(device, deployment)
    driver.close(device, deployment)


def test_outputs_are_those_of_this_host(driver: Ssh, board: Make, network: tuple[Path, Path], tmp_path: Path) -> None:
    device = device_of(board())
    run = Run(mode="outputs")
    deployment = driver.open(device, *network, run, runner.place_name(0))
    block = driver.run(device, deployment, run, tmp_path)
    driver.close(device, deployment)
    assert block.outputs is not None
    there = np.load(tmp_path / block.outputs)["probabilities"]
    here = Interpreter(model_path=str(network[0]), num_threads=1)
    here.allocate_tensors()
    (into,), (out,) = here.get_input_details(), here.get_output_details()
    for image, values in zip(np.load(network[1])["image"], there, strict=True):
        here.set_tensor(into["index"], image)
        here.invoke()
        assert np.array_equal(here.get_tensor(out["index"]), values)


def test_sensors_are_sampled_beside_a_block(
    driver: Ssh, board: Make, network: tuple[Path, Path], tmp_path: Path
) -> None:
    sensor = tmp_path / "power1_input"
    sensor.write_text("1500000\n")
    probe = Probe(meter="hwmon", files=(str(sensor),), interval_s=0.05)
    run = Run(mode="idle", idle_s=0.3, probe=probe)
    device = device_of(board())
    (out := tmp_path / "out").mkdir()
    deployment = driver.open(device, *network, run, runner.place_name(0))
    block = driver.run(device, deployment, run, out)
    driver.close(device, deployment)
    assert block.sensed is not None
    samples = [msgspec.json.decode(line, type=Sample) for line in (out / block.sensed).read_text().splitlines()]
    assert {sample.text for sample in samples} == {"1500000\n"}
    inside = [sample for sample in samples if block.begin_s <= sample.t_s <= block.end_s]
    assert len(inside) >= 3


@pytest.mark.study
@pytest.mark.slow
def test_several_stands_and_blocks_share_a_board(
    driver: Ssh, board: Make, network: tuple[Path, Path], tmp_path: Path
) -> None:
    device = device_of(board())
    deployments = [driver.open(device, *network, QUICK, runner.place_name(i)) for i in range(2)]
    for i, deployment in enumerate([*deployments, *reversed(deployments)]):
        (out := tmp_path / str(i)).mkdir()
        assert driver.run(device, deployment, QUICK, out).latency is not None
    for deployment in deployments:
        driver.close(device, deployment)


def test_what_a_dead_run_left_is_cleared_away(
    driver: Ssh, board: Make, server: Server, network: tuple[Path, Path]
) -> None:
    config = board()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = runner.place_name(0).rsplit("-", 2)[0]
    home = server.home(config)
    left = {
        f"{host}-{int(dead.stdout)}-0": False,
        f"{host}-{os.getpid()}-7": True,  # this process lives
        f"edgekit-other_host-{int(dead.stdout)}-0": True,
        "edgekit": True,  # a virtual environment, say
    }
    for name in left:
        (home / name).mkdir()
        (home / name / "file").write_text("x")
    deployment = driver.open(device_of(config), *network, QUICK, runner.place_name(0))
    driver.close(device_of(config), deployment)
    assert {name: (home / name).exists() for name in left} == left
    for name in left:
        driver.execute(device_of(config), (f"rm -rf {name}",))


def test_a_companion_comes_along_and_openvino_runs_there(
    driver: Ssh, board: Make, server: Server, network: tuple[Path, Path], tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.convert_model(str(network[0]))
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    run = Run(mode="outputs")
    config = board()
    deployment = driver.open(device_of(config), tmp_path / "model.xml", network[1], run, runner.place_name(0))
    assert f"home/{runner.place_name(0)}/model/model.bin" in server.tree(config)
    (out := tmp_path / "out").mkdir()
    block = driver.run(device_of(config), deployment, run, out)
    driver.close(device_of(config), deployment)
    assert block.runtime.startswith("openvino ")
    assert block.outputs is not None
    with np.load(out / block.outputs) as outputs:
        assert [outputs[name].shape for name in outputs.files] == [(3, 1, 5)]


def test_lines_run_one_after_the_other(driver: Ssh, board: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    device = device_of(board())
    lines = ("echo 'a b' > note", "cat note; echo no >&2; exit 3", "rm note", "printf '\\377'")
    said = driver.execute(device, lines)
    assert [(line.code, line.stdout, line.stderr) for line in said] == [
        (0, "", ""),
        (3, "a b\n", "no\n"),
        (0, "", ""),
        (0, "\ufffd", ""),
    ]
    monkeypatch.setattr(connection, "LINE_S", 5.0)
    (late, after) = driver.execute(device, ("echo begun; sleep 60", "echo on"))
    assert (late.code, late.stdout) == (124, "begun\n")
    assert after.stdout == "on\n"


def test_sensors_below_a_prefix_are_seen(driver: Ssh, board: Make, tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48500\n")
    device = device_of(board(sensors=tmp_path))
    assert driver.state(device).temperature_c == 48.5
    assert driver.execute(device, ("cat $EDGEKIT_SENSORS/sys/class/thermal/thermal_zone0/temp",))[0].stdout == "48500\n"


def test_a_login_that_prints_does_not_disturb(driver: Ssh, board: Make) -> None:
    noisy = 'case "$SSH_ORIGINAL_COMMAND" in *sftp-server*) ;; *) echo "Welcome to the board" ;; esac'
    (found,) = driver.find({"bench": board(before=noisy)})
    assert found.usable


def test_a_relative_python_is_one_in_the_home(driver: Ssh, board: Make, server: Server) -> None:
    config = board(python="~/my board/python")
    place = server.home(config) / "my board"
    place.mkdir()
    (place / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "python").chmod(0o755)
    (found,) = driver.find({"bench": config})
    (same,) = driver.find({"bench": msgspec.structs.replace(config, python="my board/python")})
    driver.execute(found, ("rm -r 'my board'",))
    assert found.usable
    assert same.usable


def test_a_process_that_dies_names_its_signal(
    driver: Ssh, board: Make, server: Server, network: tuple[Path, Path], tmp_path: Path
) -> None:
    config = board()
    deployment = driver.open(device_of(config), *network, QUICK, runner.place_name(0))
    (Path(deployment.place) / runner.PROGRAM).write_text("import os\nprint('so long')\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(Unsupported, match="SIGKILL"):
        driver.run(device_of(config), deployment, QUICK, tmp_path)
    driver.close(device_of(config), deployment)


def test_a_damaged_file_is_refused_by_the_runtime(
    driver: Ssh, board: Make, network: tuple[Path, Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "model.tflite"
    damaged.write_bytes(network[0].read_bytes()[:200])
    device = device_of(board())
    deployment = driver.open(device, damaged, network[1], QUICK, runner.place_name(0))
    with pytest.raises(Unsupported):
        driver.run(device, deployment, QUICK, tmp_path)
    driver.close(device, deployment)


def test_a_block_in_a_worker_process(worker: Worker, board: Make, network: tuple[Path, Path], tmp_path: Path) -> None:
    device = msgspec.to_builtins(device_of(board()))
    run = msgspec.to_builtins(QUICK)
    place = runner.place_name(0)
    deployment = worker.call(
        "drivers", "ssh", "open", device=device, artifact=str(network[0]), inputs=str(network[1]), run=run, place=place
    )
    deployment = msgspec.convert(msgspec.to_builtins(deployment), Deployment)
    block = worker.call(
        "drivers", "ssh", "run", device=device, deployment=msgspec.to_builtins(deployment), run=run, out=str(tmp_path)
    )
    assert "latencies.npy" in json.dumps(msgspec.to_builtins(block))
    worker.call("drivers", "ssh", "close", device=device, deployment=msgspec.to_builtins(deployment))


def test_only_folders_of_edgekit_are_removed(driver: Ssh, board: Make) -> None:
    with pytest.raises(ValueError, match="no place"):
        driver.close(device_of(board()), Deployment(place="/etc", model="", inputs=""))


def test_a_host_that_no_machine_can_be_called(driver: Ssh) -> None:
    (found,) = driver.find({"bench": DeviceConfig(kind="ssh", host="a..b")})
    assert not found.usable
    assert "no machine named a..b" in found.problems[0]


def test_a_table_without_a_host_is_named(driver: Ssh) -> None:
    config = DeviceConfig(kind="ssh")
    (found,) = driver.find({"bench": config})
    assert (found.title, found.usable) == ("bench", False)
    assert "needs a host" in found.problems[0]
    with pytest.raises(InputError, match="needs a host"):
        driver.state(device_of(config))
