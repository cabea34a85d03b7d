import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import run as waist_run
from tests.studies.benchmarks import __main__ as command
from tests.studies.benchmarks import speed
from tests.studies.benchmarks.speed import Speed


def test_ways_take_turns_and_medians_count() -> None:
    order: list[str] = []
    times = {"a": iter([3.0, 1.0, 2.0]), "b": iter([9.0, 9.0, 1.0])}

    def way(name: str) -> float:
        order.append(name)
        return next(times[name])

    found = speed.interleaved({"a": lambda: way("a"), "b": lambda: way("b")}, 3)
    assert found == {"a": 2.0, "b": 9.0}
    assert order == ["a", "b"] * 3


def test_a_command_is_timed_and_must_succeed() -> None:
    assert 0 < speed.timed([sys.executable, "-c", ""]) < 60
    with pytest.raises(RuntimeError, match="ended with 3"):
        speed.timed([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize(("ratio", "at_least", "holds"), [(1.1, False, True), (1.2, False, False), (1.2, True, True)])
def test_a_claim_holds_on_its_side_of_the_limit(ratio: float, *, at_least: bool, holds: bool) -> None:
    assert Speed("a", 1, "b", 1, ratio, 1.15, at_least).holds is holds


def test_a_miss_stays_in_the_table() -> None:
    row = Speed("cold build", 3.0, "script", 2.0, 1.5, 1.15)
    assert command.table([row]).splitlines()[-1] == "| cold build | 3.00 | script | 2.00 | 1.50 | ≤ 1.15 | **no** |"


def test_the_page_names_the_machine_but_not_its_folders() -> None:
    page = command.page(command.machine(), 3, [Speed("a", 1, "b", 1, 1, 2)], "| net |\n")
    assert "cores of" in page
    assert "3 repetitions" in page
    assert str(Path.home()) not in page


def test_models_of_the_conversion_race_are_ten() -> None:
    assert len(set(speed.TEN)) == 10


@pytest.mark.shared
def test_models_of_the_conversion_race_are_there(shared: Path) -> None:
    assert all((shared / f"models/onnx/{name}.onnx").is_file() for name in speed.TEN)


@pytest.mark.shared
def test_the_straight_script_makes_files_that_compute_what_edgekits_compute(shared: Path, tmp_path: Path) -> None:
    data = speed.resnet_samples(tmp_path)
    speed.plain_build(shared, data, tmp_path / "cache")
    speed.straight_script(shared, data, tmp_path)
    for precision in ("int8", "float16"):
        files = tmp_path / f"cache-out/model_{precision}.tflite", tmp_path / f"plain_{precision}.tflite"
        ours, plain = (answers(file) for file in files)
        assert np.array_equal(ours, plain)
        assert len(np.unique(ours, axis=0)) > 1


def answers(file: Path) -> np.ndarray:
    """Outputs of 32 random samples in the file's own dtype."""
    made = waist_run.interpreter(file)
    (into,), (out,) = made.get_input_details(), made.get_output_details()
    results = []
    for values in np.random.default_rng(1).integers(-128, 128, (32, *into["shape"])):
        made.set_tensor(into["index"], values.astype(into["dtype"]))
        made.invoke()
        results.append(made.get_tensor(out["index"]))
    return np.concatenate(results)


def test_only_the_sections_asked_for_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BUILDS, "one-build", lambda *_: [Speed("cold build", 3.0, "script", 2.0, 1.5, 1.15)])
    monkeypatch.setattr(command, "shared_folder", lambda: Path("unused"))  # a newcomer's clone has none
    monkeypatch.setattr(sys, "argv", ["benchmarks", "one-build"])
    before = command.PAGE.read_text(encoding="utf8")
    command.main()
    assert "| cold build | 3.00 | script |" in capsys.readouterr().err
    assert command.PAGE.read_text(encoding="utf8") == before


def test_an_unknown_section_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "one-built"])
    with pytest.raises(SystemExit):
        command.main()
    assert "choose among start-up, one-build" in capsys.readouterr().err
