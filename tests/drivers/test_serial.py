"""A microcontroller at a serial port: what is read off it, what it refuses, and every way in which a line fails."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import serial

from edgekit import runner
from edgekit.drivers.serial import Serial
from edgekit.errors import DeviceError, EdgekitError, Unsupported
from edgekit.nouns.profile import Block, Device, DeviceConfig, Run
from edgekit.waist import graph, run
from tests.drivers.firmware import Firmware, cut, slowly
from tests.drivers.integer_network import write

QUICK = Run(warm_up_runs=3, warm_up_s=0.1, min_runs=20, min_s=0.5, max_s=20.0)


def device_at(board: Firmware | str, baud: int = 115200) -> Device:
    port = board if isinstance(board, str) else board.port
    return Serial().find({"nucleo": DeviceConfig(kind="serial", serial_port=port, baud=baud)})[0]


def network(folder: Path, size: int = 4, outputs: int = 3) -> Path:
    """A quantized fully connected layer with a softmax, by the converter's own conventions."""
    return write(folder / "network.tflite", size, outputs)


def measured(
    board: Firmware, file: Path, order: Run, out: Path, samples: int = 2, device: Device | None = None
) -> Block:
    device = device or device_at(board)
    assert device.usable, device.problems
    main = graph.read(file)[0]
    given = main.tensors[main.inputs[0]]
    draw = np.random.default_rng(3)
    values = draw.integers(-128, 127, (samples, *given.shape), endpoint=True).astype(given.dtype)
    np.savez(out / "given.npz", allow_pickle=False, **{given.name: values})
    deployment = Serial().open(device, file, out / "given.npz", order, runner.place_name(1))
    try:
        return Serial().run(device, deployment, order, out)
    finally:
        Serial().close(device, deployment)


def expected(file: Path, out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "given.npz") as given:
        return run.run(file, dict(given))


# Finding


def test_a_board_says_who_it_is_and_what_is_flashed() -> None:
    with Firmware(model="ic01") as board:
        found = device_at(board)
    assert found.usable
    assert found.title == f"unspecified at {board.port}, ic01 flashed"
    assert found.runtimes == {"ULPMark for tinyML Firmware V0.0.1": "ic01"}
    assert (found.runs, found.times) == ((".tflite",), True)


def test_two_boards_are_asked_at_once() -> None:
    with Firmware(model="ic01") as one, Firmware(model="kws01") as other:
        tables = {
            name: DeviceConfig(kind="serial", serial_port=board.port) for name, board in (("a", one), ("b", other))
        }
        found = Serial().find(tables)
    assert [next(iter(device.runtimes.values())) for device in found] == ["ic01", "kws01"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.drivers.serial.monitor.Monitor.__init__.__defaults__", (1.0,))


@pytest.mark.usefixtures("impatient")
def test_a_silent_board_is_a_problem_in_words() -> None:
    board = Firmware()
    board.tamper = lambda _: b""
    with board:
        found = device_at(board)
    assert not found.usable
    assert found.problems[0].startswith("Nothing answers at 115200 baud. fix: check power, cable")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("said", [b"\xff\xfe\x00\x81" * 8, b"login: \r\n", b"m-name\r\n", b"MicroPython v1.22\r\n>>> "])
def test_another_device_is_a_problem_in_words(said: bytes) -> None:
    board = Firmware()
    board.tamper = lambda _: said
    with board:
        found = device_at(board)
    assert not found.usable
    assert "is no MLPerf Tiny firmware; it said" in found.problems[0]
    assert "set the firmware's baud" in found.problems[0]


@pytest.mark.usefixtures("impatient")
def test_a_flood_without_an_end_is_given_up() -> None:
    board = Firmware()
    board.tamper = lambda _: b"x" * 200_000
    with board:
        begin = time.monotonic()
        found = device_at(board)
        assert time.monotonic() - begin < 4
    assert not found.usable


def test_a_board_that_is_still_booting_is_waited_for() -> None:
    board, begin = Firmware(), time.monotonic()
    board.tamper = lambda said: said if time.monotonic() - begin > 1.5 else b""
    with board:
        assert device_at(board).usable


def test_a_port_that_is_not_there() -> None:
    found = device_at("/dev/ttyEDGEKIT7")
    assert found.problems == (
        "There is no such port. fix: plug the board in; python -m serial.tools.list_ports lists ports",
    )


def test_a_port_that_another_program_has() -> None:
    with Firmware() as board, serial.Serial(board.port, exclusive=True):
        found = device_at(board)
    assert found.problems[0].startswith("Another program has the port.")


def test_a_table_without_a_port() -> None:
    (found,) = Serial().find({"nucleo": DeviceConfig(kind="serial")})
    assert found.title == "nucleo"
    assert found.problems == (
        'No port is configured for this board. fix: add serial_port = "/dev/ttyACM0" to its table',
    )


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "port").touch()
    assert "cannot be opened" in device_at(str(tmp_path / "port")).problems[0]


# Times


def test_slow_inferences_are_samples_of_their_own(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own", latency_us=lambda i: 50_000 + i % 7) as board:
        block = measured(board, network(tmp_path), QUICK, tmp_path)
    latencies = np.load(tmp_path / "latencies.npy")
    assert len(latencies) == 20
    assert set(np.round((latencies - 50) * 1000)) == set(range(7))
    assert block.latency is not None
    assert block.latency.runs == 20
    assert block.latency.median_ms == pytest.approx(50.003, abs=0.001)
    assert block.latency.min_ms == 50.0
    assert block.end_s - block.begin_s == pytest.approx(20 * 0.05, rel=0.001)  # the counter wrapped on the way
    assert board.heard.count("infer 1 0") == 21
    assert "infer 1 3" in board.heard
    assert (block.init_ms, block.first_ms, block.memory.peak_bytes) == (None, None, None)
    assert block.warm_up_runs == 5
    assert block.notes == ("the board ran own as it was flashed; edgekit cannot flash",)


def test_fast_inferences_are_timed_together_and_give_no_percentiles(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own", latency_us=lambda _: 250) as board:
        block = measured(board, network(tmp_path), QUICK, tmp_path)
    assert block.latency is not None
    assert (block.latency.runs, block.latency.mean_ms) == (2000, 0.25)
    assert (block.latency.median_ms, block.latency.p95_ms, block.latencies) == (None, None, None)
    assert "each of 20 samples is the mean of 100 inferences" in block.notes[1]


def test_a_block_ends_in_time(tmp_path: Path) -> None:
    order = Run(warm_up_runs=1, warm_up_s=0, min_runs=10**6, min_s=1, max_s=0.5)
    with Firmware(network(tmp_path), model="own") as board:
        block = measured(board, network(tmp_path), order, tmp_path)
    assert block.latency is not None
    assert 1 <= block.latency.runs < 10**6


def test_an_idle_block_is_bounded_by_the_boards_clock(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own") as board:
        before = time.monotonic()
        block = measured(board, network(tmp_path), Run(mode="idle", idle_s=0.2), tmp_path)
    assert block.end_s - block.begin_s == pytest.approx(0.001)  # what this board's clock says
    assert before < block.end_s + block.host_offset_s < time.monotonic()
    assert block.latency is None


def test_operators_are_not_told(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own") as board, pytest.raises(Unsupported, match="no times of operators"):
        measured(board, network(tmp_path), Run(mode="operators"), tmp_path)


def test_a_firmware_in_energy_mode_prints_no_times(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own") as board:
        board.energy_mode = True
        with pytest.raises(DeviceError, match="0 times for an inference instead of 2") as caught:
            measured(board, network(tmp_path), QUICK, tmp_path)
    assert "EE_CFG_ENERGY_MODE" in caught.value.fix


# Outputs


@pytest.mark.parametrize("printed", [lambda value: f"{value:0.3f}", cut], ids=["rounded", "cut off"])
def test_outputs_are_the_files_own_integers(printed: Callable[[float], str], tmp_path: Path) -> None:
    file = network(tmp_path)
    with Firmware(file, model="own") as board:
        board.printed = printed
        block = measured(board, file, Run(mode="outputs"), tmp_path, samples=5)
    assert block.outputs == "outputs.npz"
    with np.load(tmp_path / "outputs.npz") as found:
        for name, values in expected(file, tmp_path).items():
            assert found[name].dtype == np.int8
            np.testing.assert_array_equal(found[name], values)


def test_a_board_that_prints_too_coarsely_says_so(tmp_path: Path) -> None:
    file = network(tmp_path)
    with Firmware(file, model="own") as board:
        board.printed = lambda value: f"{value:.1f}"
        block = measured(board, file, Run(mode="outputs"), tmp_path)
    assert "too coarse for the file's 0.00390625" in block.notes[1]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "model", "feeds"), [("kws_ref_model", "kws01", "stored"), ("pretrainedResnet_quant", "ic01", "unsigned")]
)
def test_the_benchmarks_own_models_come_out_bit_for_bit(
    name: str, model: str, feeds: str, shared: Path, tmp_path: Path
) -> None:
    file = shared / "models" / "mlperf_tiny" / f"{name}.tflite"
    with Firmware(file, model=model, feeds=feeds) as board:
        measured(board, file, Run(mode="outputs"), tmp_path, samples=3)
    with np.load(tmp_path / "outputs.npz") as found:
        for key, values in expected(file, tmp_path).items():
            np.testing.assert_array_equal(found[key], values)


@pytest.mark.shared
def test_anomaly_detection_prints_a_score_so_only_times_can_be_had(shared: Path, tmp_path: Path) -> None:
    file = shared / "models" / "mlperf_tiny" / "ad01_int8.tflite"
    with Firmware(file, model="ad01", feeds="real") as board:
        assert measured(board, file, QUICK, tmp_path).latency is not None
        with pytest.raises(Unsupported, match="prints 1 results, the file's output has 640 values"):
            measured(board, file, Run(mode="outputs"), tmp_path)


# What is flashed


def test_another_model_is_flashed(tmp_path: Path) -> None:
    told = pytest.raises(Unsupported, match="kws01 flashed, whose input has 490 bytes; the file's has 4")
    with Firmware(network(tmp_path), model="kws01") as board, told as caught:
        measured(board, network(tmp_path), QUICK, tmp_path)
    assert "edgekit cannot flash" in caught.value.fix


def test_a_board_with_a_smaller_buffer(tmp_path: Path) -> None:
    with Firmware(network(tmp_path), model="own") as board:
        board.max_input = 3
        with pytest.raises(
            Unsupported, match="does not take 4 bytes of input: Supplied buffer size 4 exceeds maximum of 3"
        ):
            measured(board, network(tmp_path), QUICK, tmp_path)


def test_only_tflite_files(tmp_path: Path) -> None:
    with Firmware() as board, pytest.raises(Unsupported, match=r"a \.tflite file, not \.onnx"):
        Serial().open(device_at(board), tmp_path / "model.onnx", tmp_path / "given.npz", QUICK, runner.place_name(1))


# Bad lines


def test_lines_that_come_byte_by_byte(tmp_path: Path) -> None:
    file = network(tmp_path)
    board = Firmware(file, model="own")
    board.tamper = slowly(board)
    with board:
        measured(board, file, Run(mode="outputs"), tmp_path)
    with np.load(tmp_path / "outputs.npz") as found:
        for key, values in expected(file, tmp_path).items():
            np.testing.assert_array_equal(found[key], values)


@pytest.mark.parametrize("when", [b"m-warmup-done", b"m-lap-us", b"m-results", b"m-[Expecting", b"m-load-done"])
def test_unplugged_in_the_middle(when: bytes, tmp_path: Path) -> None:
    board = Firmware(network(tmp_path), model="own")
    with board:
        begun = threading.Event()
        board.tamper = lambda said: None if when in said and begun.is_set() else said
        device_at(board)
        begun.set()
        with pytest.raises(DeviceError, match="went away in the middle") as caught:
            measured_by(device_at, board, tmp_path)
    assert caught.value.place.startswith("/dev/")


def measured_by(find: Callable[[Firmware], Device], board: Firmware, out: Path) -> Block:
    return measured(board, network(out), QUICK, out)


def test_noise_in_results_is_no_result(tmp_path: Path) -> None:
    board = Firmware(network(tmp_path), model="own")
    board.tamper = lambda said: said.replace(b"0.", b"\xf0.", 1) if said.startswith(b"m-results") else said
    with board, pytest.raises(DeviceError, match="hold what is no number"):
        measured(board, network(tmp_path), Run(mode="outputs"), tmp_path)


def test_a_board_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.drivers.serial.blocks.FIRST_S", 0.5)
    board = Firmware(network(tmp_path), model="own")
    board.tamper = lambda said: (
        b""
        if b"infer-done" in said or b"results" in said or (said == b"m-ready\r\n" and "infer" in board.heard[-1])
        else said
    )
    with board, pytest.raises(DeviceError, match=r"did not finish 'infer 1 0' within 0\.5 s"):
        measured(board, network(tmp_path), QUICK, tmp_path)


def test_lost_bytes_are_noticed(tmp_path: Path) -> None:
    board = Firmware(network(tmp_path), model="own")
    board.tamper = lambda said: b"" if said.startswith(b"m-load-done") else said
    with board, pytest.raises(DeviceError, match="did not take all of its input"):
        measured(board, network(tmp_path), QUICK, tmp_path)


def test_a_complaint_of_the_firmware_is_passed_on(tmp_path: Path) -> None:
    board = Firmware(network(tmp_path), model="own")
    board.tamper = lambda said: b"e-[Insufficent number of hex digits]\r\n" if said.startswith(b"m-load-done") else said
    with board, pytest.raises(DeviceError, match=r"refuses 'db .*': Insufficent number of hex digits"):
        measured(board, network(tmp_path), QUICK, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_every_broken_line_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.drivers.serial.blocks.FIRST_S", 0.4)
    monkeypatch.setattr("edgekit.drivers.serial.blocks.MOMENT_S", 0.4)
    draw = np.random.default_rng(11)
    failed: list[EdgekitError] = []
    for _ in range(6):
        board = Firmware(network(tmp_path), model="own")
        rate = 10 ** -draw.uniform(0.5, 2.5)

        def noisy(said: bytes, rate: float = rate) -> bytes:
            return bytes(int(draw.integers(256)) if draw.random() < rate else byte for byte in said)

        with board:
            device = device_at(board)
            board.tamper = noisy
            try:
                measured(board, network(tmp_path), Run(mode="outputs"), tmp_path, device=device)
            except EdgekitError as error:
                failed.append(error)
    assert failed
    assert all(error.problem and error.fix for error in failed)


def test_there_is_no_shell() -> None:
    with Firmware() as board:
        device = device_at(board)
        assert [output.code for output in Serial().execute(device, ("true",))] == [127]
        assert Serial().state(device).utc.endswith("+00:00")
    with pytest.raises(DeviceError):
        Serial().state(device)
