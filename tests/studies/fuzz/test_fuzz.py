"""A short run of the study with a fixed seed; and that the study sees what it looks for."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit import samples
from tests.studies.fuzz import __main__ as command
from tests.studies.fuzz.seeds import KINDS, seeds
from tests.studies.fuzz.trials import Bench, Mutant, Outcome, minimized, mutant

COUNT = {"onnx": 24, "tflite": 32, "keras": 12, "hdf5": 24, "savedmodel": 8}
"""Mutants of a kind whose libraries are slow; 100 of the others."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("fuzz") / "bench") as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_mutant_is_a_bug_a_hang_or_a_bomb(kind: str, bench: Bench) -> None:
    bench.warm(kind)
    outcomes = [bench.run(mutant(kind, 1, number, bench.scratch)) for number in range(COUNT.get(kind, 100))]
    assert not [f"{outcome.mutant}: {outcome.said}" for outcome in outcomes if outcome.failed]
    assert any(outcome.code == 2 for outcome in outcomes)  # it does find what is damaged


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_taken(kind: str, bench: Bench) -> None:
    for sound in seeds(kind, bench.scratch)[:6]:
        outcome = bench.run(Mutant(sound, (0,), ()))
        assert outcome.code == 0, outcome.said


def test_mutants_are_the_same_for_the_same_seed(bench: Bench) -> None:
    first, again, other = (mutant("npz", seed, 5, bench.scratch) for seed in (1, 1, 2))
    assert first.content == again.content != other.content


def test_a_bug_is_seen_minimized_and_kept(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = mutant("csv", 1, 0, bench.scratch).seed
    given = Mutant(sound, (1, 2, 3), (0, 1, 2))
    monkeypatch.setattr(samples, "load", lambda *_: 1 // 0)
    failed = bench.run(given)
    assert failed.failed
    assert failed.code == 70
    least = minimized(bench, failed)
    assert len(least.mutant.steps) == 1
    command._keep(least, tmp_path / "kept")
    assert sorted(path.suffix for path in (tmp_path / "kept").iterdir()) == [".csv", ".txt"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert "| csv | 1 | 0 | 0 | 0 | 0 | 1 | 0 |" in command.table({"csv": [failed]})


ONCE_FAILED = [("savedmodel", 801, 198), ("savedmodel", 801, 398), ("tflite", 801, 41), ("tflite", 801, 288)]
"""Mutants at which edgekit once ended as none may."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed", "number"), ONCE_FAILED)
def test_what_once_failed_is_refused(kind: str, seed: int, number: int, bench: Bench) -> None:
    bench.warm(kind)
    outcome = bench.run(mutant(kind, seed, number, bench.scratch))
    assert not outcome.failed, outcome.said


def test_a_run_that_is_ended_from_outside_leaves_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, run, runs = signal.getsignal(signal.SIGTERM), Bench.run, itertools.count(1)

    def ended(self: Bench, given: Mutant) -> Outcome:
        if next(runs) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, given)

    monkeypatch.setattr(Bench, "run", ended)
    monkeypatch.setattr(command, "TABLE_S", 0.0)
    monkeypatch.setattr("sys.argv", ["fuzz", "--kind", "target", "--count", "9", "--keep", str(tmp_path / "kept")])
    try:
        assert command.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    printed = capsys.readouterr().out
    assert "| target | 3 |" in printed  # one run warms up
    assert (tmp_path / "kept" / command.TABLE).read_text() == printed
