from pathlib import Path

import pytest

from edgekit.measure.integral import window
from edgekit.meters.ina3221 import Ina3221
from edgekit.meters.tegrastats import STREAM, Tegrastats, rails
from tests.meters.sensor_trees import BOARD, execute, jetson, probe_of, program, recorded, said, sensed, shells

NANO = {"VDD_IN": (5000, 1200), "VDD_CPU_GPU_CV": (5000, 300), "VDD_SOC": (5000, 250)}


def test_the_input_is_never_summed_with_what_it_feeds(tmp_path: Path) -> None:
    for shell in shells(tmp_path / "bin").values():
        root = jetson(tmp_path / "root", NANO)
        probe = probe_of(Ina3221().available(BOARD, execute(Ina3221().look(BOARD), root, shell=shell)))
        assert [Path(file).name for file in probe.files] == ["in1_input", "curr1_input"]
        assert probe.settings["resolution_w"] == pytest.approx(0.04)  # 40 µV over 5 mΩ, at 5 V
        assert probe.settings["period_s"] == pytest.approx(0.02)


def test_without_an_input_the_rails_add_up_and_children_are_left_out(tmp_path: Path) -> None:
    root = jetson(tmp_path, {"VDD_GPU_SOC": (19000, 200), "NC": (0, 0), "VIN_SYS_5V0": (5000, 900)})
    other = root / "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon2"
    other.mkdir(parents=True)
    for name, value in {"in2_label": "VDDQ_VDD2_1V8AO", "in2_input": 4968, "curr2_input": 80}.items():
        (other / name).write_text(f"{value}\n")
    probe = probe_of(Ina3221().available(BOARD, execute(Ina3221().look(BOARD), root)))
    assert {str(value) for key, value in probe.settings.items() if key.startswith("rail")} == {
        "VDD_GPU_SOC",
        "VIN_SYS_5V0",
    }


def test_power_is_millivolts_times_milliamperes(tmp_path: Path) -> None:
    probe = probe_of(Ina3221().available(BOARD, execute(Ina3221().look(BOARD), jetson(tmp_path / "root", NANO))))
    volts, amps = probe.files
    rows = [row for i in range(50) for row in ((i / 10, volts, "5000\n"), (i / 10 + 0.001, amps, f"{1200 + i}\n"))]
    trace = Ina3221().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    assert not trace.invalid
    seen = window(trace, 0.5, 4.5)
    truth = 5 * (1.2 + 0.01 * 2.499) * 4
    assert abs(seen.joules - truth) <= seen.half_width_j
    assert seen.joules == pytest.approx(truth, rel=1e-3)


def test_a_channel_that_does_not_answer_is_named(tmp_path: Path) -> None:
    root = jetson(tmp_path, NANO)
    file = root / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input"
    file.write_text("")
    found = Ina3221().available(BOARD, execute(Ina3221().look(BOARD), root))
    assert found.probe is None
    assert "VDD_IN" in found.reason
    assert str(file) in found.fix


def test_every_release_of_tegrastats_is_understood() -> None:
    lines = recorded("tegrastats_orin_nano.txt").splitlines() + recorded("tegrastats_others.txt").splitlines()
    assert [rails(line) for line in lines] == [
        {"VDD_IN": 6.167, "VDD_CPU_GPU_CV": 1.215, "VDD_SOC": 1.663},
        {"VDD_IN": 5.608, "VDD_CPU_GPU_CV": 0.77, "VDD_SOC": 1.663},
        {"VDD_GPU_SOC": 3.15, "VDD_CPU_CV": 14.312, "VIN_SYS_5V0": 4.968, "VDDQ_VDD2_1V8AO": 1.091},
        {"VDD_IN": 4.235, "VDD_CPU_GPU_CV": 0.613, "VDD_SOC": 0.613},
        {"VDD_IN": 3.848, "VDD_CPU_GPU_CV": 0.606, "VDD_SOC": 1.174},
        {"POM_5V_IN": 4.286, "POM_5V_GPU": 0.0},
    ]


def test_the_mean_since_the_start_is_never_taken(tmp_path: Path) -> None:
    probe = probe_of(Tegrastats().available(BOARD, said("VDD_IN 18792mW/5552mW VDD_SOC 1mW/1mW\n", code=124)))
    assert probe.settings["rails"] == "VDD_IN"
    rows = [(i / 10, STREAM, "VDD_IN 18792mW/5552mW VDD_SOC 1mW/1mW\n") for i in range(30)]
    trace = Tegrastats().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    assert set(trace.rails) == {"VDD_IN"}
    seen = window(trace, 0.5, 2.5)
    assert seen.joules == pytest.approx(18.792 * 2)
    assert seen.half_width_j >= 0.02 * 2  # half a step of the sensor, all the time


def test_tegrastats_is_looked_for_by_running_it(tmp_path: Path) -> None:
    text = recorded("tegrastats_orin_nano.txt").splitlines()[0]
    path = program(tmp_path / "bin", "tegrastats", f"while :; do echo '{text}'; sleep 0.2; done")
    seen = execute(Tegrastats().look(BOARD), tmp_path, path=path)
    assert probe_of(Tegrastats().available(BOARD, seen)).settings["rails"] == "VDD_IN"


def test_tegrastats_without_rails_says_so() -> None:
    found = Tegrastats().available(BOARD, said("RAM 2690/6854MB (lfb 6x1MB) CPU [3%@1904,off]\n"))
    assert "no power rails" in found.reason
