from pathlib import Path

import pytest

from edgekit.meters.hwmon import Hwmon
from edgekit.nouns.sensing import Availability
from tests.meters.sensor_trees import BOARD, execute, probe_of, sensed, shells, tree

HERE = "sys/class/hwmon/hwmon"


def chip(root: Path, number: int, name: str, **files: str | int) -> Path:
    return tree(
        root, {f"{HERE}{number}/name": name} | {f"{HERE}{number}/{file}": value for file, value in files.items()}
    )


def looked(root: Path) -> Availability:
    return Hwmon().available(BOARD, execute(Hwmon().look(BOARD), root))


def test_one_sensor_is_read_in_microwatts(tmp_path: Path) -> None:
    for shell in shells(tmp_path / "bin").values():
        root = chip(tmp_path / "root", 3, "ina226", power1_input=3_200_000, power1_label="board", update_interval=140)
        probe = probe_of(Hwmon().available(BOARD, execute(Hwmon().look(BOARD), root, shell=shell)))
        assert probe.settings == {"rail": "ina226 board", "period_s": 0.14}
    rows = [(i / 10, probe.files[0], f"{3_200_000 + 25_000 * (i % 2)}\n") for i in range(20)]
    trace = Hwmon().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    assert trace.rails["ina226 board"].values[:2] == pytest.approx((3.2, 3.225))
    assert trace.resolution == pytest.approx(0.025)


def test_a_graphics_card_is_not_the_board(tmp_path: Path) -> None:
    assert "no power sensor" in looked(chip(tmp_path, 0, "amdgpu", power1_average=30_000_000)).reason


def test_several_sensors_are_refused_by_name(tmp_path: Path) -> None:
    root = chip(chip(tmp_path, 0, "ina226", power1_input=1), 1, "ltc2945", power1_input=2)
    assert "ina226 power1, ltc2945 power1" in looked(root).reason


def test_the_whole_machine_is_preferred_and_its_mean_is_as_slow_as_it_says(tmp_path: Path) -> None:
    root = chip(tmp_path, 0, "ina226", power1_input=1)
    chip(root, 1, "power_meter", power1_average=120_000_000, power1_average_interval=1000)
    assert probe_of(looked(root)).settings == {"rail": "power_meter power1", "period_s": 1.0}


def test_an_input_is_preferred_to_its_mean(tmp_path: Path) -> None:
    root = chip(tmp_path, 0, "ina226", power1_input=1, power1_average=2)
    assert probe_of(looked(root)).files == (f"{root}/{HERE}0/power1_input",)


def test_a_sensor_that_may_not_be_read_names_the_chmod(tmp_path: Path) -> None:
    (tmp_path / f"{HERE}0/power1_input").mkdir(parents=True)
    found = looked(tree(tmp_path, {f"{HERE}0/name": "ina226"}))
    assert found.fix == f"sudo chmod a+r {tmp_path}/{HERE}0/power1_input"


def test_negative_and_absurd_powers_are_refused(tmp_path: Path) -> None:
    probe = probe_of(looked(chip(tmp_path, 0, "ina226", power1_input=1)))
    rows = [(i / 10, probe.files[0], ("-5000", "99999999999999", "3000000")[i % 3]) for i in range(30)]
    trace = Hwmon().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    assert "20 of 30" in trace.invalid
    assert set(trace.rails["ina226 power1"].values) == {3.0}
