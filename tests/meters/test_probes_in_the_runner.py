"""Each kind of probe (files, a command, a stream) sampled by the real runner, and read again by its meter."""

from pathlib import Path

import pytest

from edgekit.measure.integral import window
from edgekit.meters.hwmon import Hwmon
from edgekit.meters.ina3221 import Ina3221
from edgekit.meters.pmic import Pmic, rails
from edgekit.meters.tegrastats import Tegrastats
from edgekit.nouns.profile import Run
from tests.meters.sensor_trees import BOARD, execute, jetson, probe_of, program, recorded, run_block, tree

pytestmark = pytest.mark.slow


def idle(meter, folder: Path, root: Path, path: str | None = None):
    """The power that a meter sees of two idle seconds."""
    probe = probe_of(meter.available(BOARD, execute(meter.look(BOARD), root, path=path)))
    block, sensed = run_block(folder, root, Run(mode="idle", idle_s=2.0, probe=probe), path=path)
    trace = meter.stop(probe, sensed)
    assert not trace.invalid
    seen = window(trace, block.begin_s, block.end_s)
    assert not seen.problem
    assert seen.seconds == pytest.approx(2.0, abs=0.2)
    return seen.joules / seen.seconds


def test_files(tmp_path: Path) -> None:
    here = "sys/class/hwmon/hwmon0"
    root = tree(tmp_path / "root", {f"{here}/name": "ina226", f"{here}/power1_input": 3_200_000})
    assert idle(Hwmon(), tmp_path / "hwmon", root) == pytest.approx(3.2)
    jetson(root, {"VDD_IN": (5000, 1200), "VDD_SOC": (5000, 250)})
    assert idle(Ina3221(), tmp_path / "ina3221", root) == pytest.approx(6.0)


def test_a_command(tmp_path: Path) -> None:
    adc = recorded("pmic_pi5.txt")
    path = program(tmp_path / "bin", "vcgencmd", f"cat <<'END'\n{adc}END")
    assert idle(Pmic(), tmp_path / "pmic", tmp_path, path) == pytest.approx(sum(rails(adc).values()))


def test_a_stream(tmp_path: Path) -> None:
    line = recorded("tegrastats_orin_nano.txt").splitlines()[0]
    path = program(tmp_path / "bin", "tegrastats", f"while :; do echo '{line}'; sleep 0.1; done")
    assert idle(Tegrastats(), tmp_path / "tegrastats", tmp_path, path) == pytest.approx(6.167)
