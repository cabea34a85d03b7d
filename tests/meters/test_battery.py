import re
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.measure.integral import window
from edgekit.meters import battery
from edgekit.meters.battery import COMMAND, READINGS, Battery
from edgekit.nouns.profile import Output
from edgekit.nouns.sensing import Availability, Probe
from tests.meters.sensor_trees import PHONE, execute, phone, probe_of, recorded, sensed, shells

SERVICE = recorded("dumpsys_battery.txt")
PROBE = Probe(meter="battery", files=("/c", "/v", "/s"), interval_s=1.0)


def looked(files: str = "", service: str = SERVICE, command: str = "") -> Availability:
    return Battery().available(PHONE, tuple(Output(code=0, stdout=text) for text in (files, service, command)))


def calibrated(rest: float, load: float, voltage: int = 3_987_000, noise: float = 0.02) -> Availability:
    lines = [
        "".join(f"{round(level * (1 + noise * (i % 3 - 1)))} {voltage}\n" for i in range(READINGS))
        for level in (rest, load)
    ]
    return Battery().calibrated(PHONE, PROBE, tuple(Output(code=0, stdout=text) for text in lines))


def test_the_files_are_found_and_a_charger_is_none(tmp_path: Path) -> None:
    for shell in shells(tmp_path / "bin").values():
        root = phone(tmp_path / "root")
        (files,) = execute(Battery().look(PHONE)[:1], root, shell=shell)
        probe = probe_of(looked(files.stdout))
        assert probe.files[0] == f"{root}/sys/class/power_supply/battery/current_now"


def test_without_the_files_the_service_is_asked() -> None:
    probe = probe_of(looked(command=f"-251000\n{SERVICE}"))
    assert probe.commands == (COMMAND,)


@pytest.mark.parametrize(
    ("files", "service", "reason", "fix"),
    [
        ("", SERVICE.replace("USB powered: false", "USB powered: true"), "charging", "adb over Wi-Fi"),
        ("", SERVICE.replace("status: 3", "status: 2"), "charging", "adb over Wi-Fi"),
        ("/b|-1000|4000000|Charging", "", "charging", "adb over Wi-Fi"),
        ("/b|-1000|4000000|Full", "", "charging", "adb over Wi-Fi"),
        ("", "  (UPDATES STOPPED -- use 'reset' to restart)\n" + SERVICE, "frozen", "dumpsys battery reset"),
        ("", SERVICE, "does not let a shell read", "external meter"),
    ],
)
def test_what_is_refused(files: str, service: str, reason: str, fix: str) -> None:
    found = looked(files, service, "Unknown get option: current_now\n")
    assert found.probe is None
    assert reason in found.reason
    assert fix in found.fix


@pytest.mark.parametrize(
    ("model", "rest", "load", "sign", "amperes"),
    [
        ("the kernel's rule: µA, negative", -250_000, -1_900_000, -1, 1e-6),
        ("Xiaomi A1: positive on discharge", 250_000, 1_900_000, 1, 1e-6),
        ("Huawei P8 Lite: mA", -250, -1_900, -1, 1e-3),
        ("Galaxy S21: a thousand times too small", 180, 2_400, 1, 1e-3),
    ],
)
def test_sign_and_unit_are_learnt_on_each_model(model: str, rest: int, load: int, sign: int, amperes: float) -> None:
    learnt = probe_of(calibrated(rest, load)).settings
    assert (learnt["sign"], learnt["amperes"], learnt["volts"]) == (sign, amperes, 1e-6), model


@pytest.mark.parametrize(
    ("rest", "load", "voltage", "reason"),
    [
        (-1_000_000, -1_050_000, 3_987_000, "does not raise"),
        (-1_900_000, -250_000, 3_987_000, "does not raise"),
        (900_000, -900_000, 3_987_000, "does not raise"),
        (-9_000, -30_000, 3_987_000, "unit"),
        (-5, -30, 3_987_000, "unit"),
        (-250_000, -1_900_000, 78, "unit"),
        (0, 0, 3_987_000, "does not raise"),
    ],
)
def test_a_gauge_that_cannot_be_understood_is_refused(rest: int, load: int, voltage: int, reason: str) -> None:
    found = calibrated(rest, load, voltage)
    assert found.probe is None
    assert reason in found.reason


def test_noise_as_large_as_the_rise_is_refused() -> None:
    assert calibrated(-500_000, -800_000, noise=0.6).probe is None


def test_a_charger_during_calibration_is_noticed() -> None:
    answer = f"==\n-1900000\n{SERVICE.replace('AC powered: false', 'AC powered: true')}"
    seen = tuple(Output(code=0, stdout=answer * READINGS) for _ in range(2))
    assert "charger" in Battery().calibrated(PHONE, PROBE, seen).reason


@given(
    st.floats(30, 1500), st.floats(1.5, 6.0), st.sampled_from((1, -1)), st.sampled_from((1, 1000)), st.floats(3.4, 4.4)
)
def test_whatever_is_learnt_gives_the_true_power(
    milliamperes: float, rise: float, sign: int, counts: int, volts: float
) -> None:
    load = milliamperes * rise
    found = calibrated(sign * counts * milliamperes, sign * counts * load, round(volts * 1e6), noise=0.0)
    if found.probe is not None:
        learnt = found.probe.settings
        power = sign * counts * load * float(learnt["sign"]) * float(learnt["amperes"]) * volts
        assert power == pytest.approx(load * 1e-3 * volts)


def _trace(tmp_path: Path, rows: list[tuple[float, str, str | None]], **settings: float):
    probe = Probe(meter="battery", files=PROBE.files, settings=settings)
    return Battery().stop(probe, sensed(tmp_path / "s.jsonl", rows))


def _rows(seconds: int, current, status: str = "Discharging") -> list[tuple[float, str, str | None]]:
    every: list[tuple[float, str, str | None]] = []
    for t in range(seconds):
        every += [(t + 0.0, "/c", str(current(t))), (t + 0.01, "/v", "4000000"), (t + 0.02, "/s", status)]
    return every


LEARNT = {"sign": -1, "amperes": 1e-6, "volts": 1e-6}


def test_energy_of_a_slow_gauge_holds_the_truth(tmp_path: Path) -> None:
    trace = _trace(tmp_path, _rows(320, lambda t: -500_000 - 1000 * (t // 5 % 7)), **LEARNT)
    assert not trace.invalid
    assert trace.period_s == pytest.approx(5, abs=0.01)
    assert trace.resolution == pytest.approx(0.004)
    seen = window(trace, 10, 310)
    truth = sum(4 * (0.5 + 0.001 * (t // 5 % 7)) for t in range(10, 310))
    assert abs(seen.joules - truth) <= seen.half_width_j


def test_an_uncalibrated_gauge_gives_nothing(tmp_path: Path) -> None:
    assert "not calibrated" in _trace(tmp_path, _rows(20, lambda t: -500_000)).invalid


def test_a_charger_in_the_middle_invalidates(tmp_path: Path) -> None:
    assert "charger" in _trace(tmp_path, _rows(20, lambda t: -500_000, "Charging"), **LEARNT).invalid


def test_current_that_flows_back_is_refused(tmp_path: Path) -> None:
    assert "10 of 20" in _trace(tmp_path, _rows(20, lambda t: -500_000 if t < 10 else 500_000), **LEARNT).invalid


@pytest.mark.study
@pytest.mark.slow
@pytest.mark.parametrize("name", ["sh", "busybox", "mksh"])
def test_the_busy_loop_runs_in_every_shell_and_ends(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, shorter in (("READINGS", 4), ("INTERVAL_S", 0.2), ("SETTLE_S", 1)):
        monkeypatch.setattr(battery, constant, shorter)
    shell = shells(tmp_path / "bin").get(name)
    if shell is None:
        pytest.skip(f"no {name} here")
    root = phone(tmp_path / "root")
    probe = probe_of(looked(execute(Battery().look(PHONE)[:1], root, shell=shell)[0].stdout))
    rest, load = Battery().calibration(PHONE, probe)
    stop = threading.Event()

    def drain() -> None:
        """The gauge of a phone: two busy cores take more."""
        while not stop.wait(0.1):
            busy = sum("while :; do :; done" in command for command in _below(root))
            (root / "sys/class/power_supply/battery/current_now").write_text(f"{-200_000 - 600_000 * (busy > 2)}\n")

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        begin = time.monotonic()
        seen = execute((rest, load), root, shell=shell)
        took_s = time.monotonic() - begin
    finally:
        stop.set()
        thread.join()
    assert [output.code for output in seen] == [0, 0]
    assert probe_of(Battery().calibrated(PHONE, probe, seen)).settings["sign"] == -1
    ends_s = int(re.findall(r"timeout (\d+) ", load)[0])  # after it the load's line waits for nothing
    assert ends_s <= took_s < ends_s + 10
    time.sleep(0.5)
    assert not _below(root)


def _below(root: Path) -> list[str]:
    """Command lines of the processes that look at these sensors."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"EDGEKIT_SENSORS={root}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode().replace("\0", " "))
    return found
