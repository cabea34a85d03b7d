from pathlib import Path

import pytest

from edgekit.measure.integral import window
from edgekit.meters.pmic import COMMAND, Pmic, rails
from tests.meters.sensor_trees import BOARD, execute, probe_of, program, recorded, said, sensed

ADC = recorded("pmic_pi5.txt")


def test_rails_are_paired_by_name_and_those_without_current_left_out() -> None:
    found = rails(ADC)
    assert len(found) == 12
    assert found["VDD_CORE"] == pytest.approx(5.03652 * 0.8936988)
    assert found["3V3_DAC"] == pytest.approx(0.00006105 * 3.299447)  # current(17), volt(20)
    assert not {"EXT5V", "BATT"} & set(found)


def test_a_line_that_contradicts_itself_is_none() -> None:
    assert rails("VDD_CORE_A volt(7)=1.00000000A\nVDD_CORE_V volt(15)=0.9V\n") == {}
    assert rails("VDD_CORE_A current(7)=1.00000000V\nVDD_CORE_V volt(15)=0.90000000V\n") == {}


def test_the_sum_of_the_rails_is_the_power(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "vcgencmd", f"cat <<'END'\n{ADC}END")
    probe = probe_of(Pmic().available(BOARD, execute(Pmic().look(BOARD), tmp_path, path=path)))
    trace = Pmic().stop(probe, sensed(tmp_path / "s.jsonl", [(i / 5, COMMAND, ADC) for i in range(20)]))
    assert trace.provenance == "pmic_sum"
    seen = window(trace, 0.5, 3.5)
    assert seen.joules == pytest.approx(3 * sum(rails(ADC).values()), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "reason", "fix"),
    [
        ('error=1 error_msg="Command not registered"\n', "does not know", "Raspberry Pi 5"),
        ("Can't open device file: /dev/vcio\nTry creating a device file with: sudo mknod", "may not ask", "usermod"),
        ("", "no vcgencmd", "Raspberry Pi 5"),
    ],
)
def test_a_board_without_it_says_why(text: str, reason: str, fix: str) -> None:
    found = Pmic().available(BOARD, said(text, code=1))
    assert reason in found.reason
    assert fix in found.fix


def test_absurd_power_is_refused(tmp_path: Path) -> None:
    absurd = "VDD_CORE_A current(7)=9999.0A\nVDD_CORE_V volt(15)=0.90000000V\n"
    probe = probe_of(Pmic().available(BOARD, said(ADC)))
    rows = [(i / 5, COMMAND, absurd if i % 3 else ADC) for i in range(20)]
    assert Pmic().stop(probe, sensed(tmp_path / "s.jsonl", rows)).invalid
