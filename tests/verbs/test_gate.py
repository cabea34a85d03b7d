"""The gate as a whole: folders and baselines as files, and what seems slower measured again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest

from edgekit.config import Project
from edgekit.errors import InputError
from edgekit.nouns.budget import Demands
from edgekit.nouns.gating import Gate
from edgekit.nouns.results import Result
from edgekit.verbs import gate as verb
from edgekit.verbs.gate import Gated, gate, save
from tests.measure.gated_folders import PI, artifact, folder, manifest
from tests.measure.gated_folders import profile as recorded
from tests.studies.gates.simulated import World, simulated

DRAW = np.random.default_rng(3)


def blocks(ms: float, sd: float = 0.01) -> list[float]:
    return list(ms * np.exp(DRAW.normal(0, sd, 10)))


def built(place: Path, content: bytes, ms: float | None, **more: Any) -> Path:
    file = artifact(content)
    profiles = [] if ms is None else [recorded(file, blocks(ms))]
    return folder(place, manifest(file, profiles=profiles, **more), content)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    save([built(tmp_path / "old", b"network", 1.0)], tmp_path / "base.json", files=True)
    return tmp_path / "base.json"


def judged(where: Path, baseline: Path | None, **more: Any) -> Gate:
    return gate(mock.MagicMock(), Gated([where], baseline=baseline, **more))


def row(found: Gate, figure: str, against: str = "baseline") -> Any:
    return next(one for one in found.findings if (one.figure, one.against) == (figure, against))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with simulated(World(process_sd=0.01, session_sd=0.0)) as made:
        yield made


def test_the_same_folder_passes(tmp_path: Path, baseline: Path) -> None:
    found = judged(built(tmp_path / "new", b"network", 1.0), baseline)
    assert found.passes
    assert {one.figure for one in found.findings} == {"metric", "agreement", "sqnr", "size", "latency"}


def test_a_slower_file_is_measured_in_turns_with_the_baselines_own(
    tmp_path: Path, baseline: Path, world: World
) -> None:
    world.slowdown = 1.05
    found = judged(built(tmp_path / "new", b"rebuilt", 1.05), baseline, find=world.find)
    assert row(found, "latency").verdict == "missed"
    assert "10 pairs of blocks that took turns" in row(found, "latency").reason
    assert world.measured == [2]


def test_a_suspicion_that_pairs_do_not_bear_out_passes(tmp_path: Path, baseline: Path, world: World) -> None:
    found = judged(built(tmp_path / "new", b"rebuilt", 1.3), baseline, find=world.find)
    assert row(found, "latency").verdict == "met"
    assert "no regression is shown" in row(found, "latency").reason


def test_without_the_baselines_file_both_measurements_have_to_be_slower(
    tmp_path: Path, baseline: Path, world: World
) -> None:
    (tmp_path / "base" / "linux-arm64" / "model_int8.tflite").unlink()
    new = built(tmp_path / "new", b"rebuilt", 1.3)
    assert row(judged(new, baseline, find=world.find), "latency").verdict == "met"
    assert world.measured == [1]
    world.slowdown = 1.3
    found = row(judged(new, baseline, find=world.find), "latency")
    assert found.verdict == "missed"
    assert "measured twice" in found.reason


def test_recorded_profiles_alone_only_raise_a_suspicion(tmp_path: Path, baseline: Path) -> None:
    found = judged(built(tmp_path / "new", b"rebuilt", 1.3), baseline)
    assert row(found, "latency").verdict == "suspected"
    assert found.passes


def test_a_missed_limit_of_latency_is_measured_again(tmp_path: Path, world: World) -> None:
    new, demanded = built(tmp_path / "new", b"rebuilt", 3.0), Project(budget={"*": Demands(max_latency_ms=2.0)})
    calm = judged(new, None, demanded=demanded, find=world.find)
    assert "but not when it was measured again" in row(calm, "latency", "budget").reason
    assert calm.passes
    world.slowdown = 3.0
    assert not judged(new, None, demanded=demanded, find=world.find).passes
    assert not judged(new, None, demanded=demanded).passes  # what is recorded misses outright


def test_devices_can_be_left_out(tmp_path: Path, baseline: Path) -> None:
    found = judged(built(tmp_path / "new", b"rebuilt", None), baseline, without_device=True)
    assert row(found, "latency").verdict == "skipped"
    assert found.passes
    assert row(judged(built(tmp_path / "more", b"rebuilt", None), baseline), "latency").verdict == "unknown"


def test_a_file_that_is_no_longer_built_is_missed(tmp_path: Path) -> None:
    both = manifest(artifact(), artifact(name="model_float16.tflite"))
    save([folder(tmp_path / "old", both)], tmp_path / "base.json")
    found = judged(built(tmp_path / "new", b"network", None), tmp_path / "base.json")
    assert row(found, "file").file == "model_float16.tflite"
    assert not found.passes


def test_budgets_are_those_of_the_target(tmp_path: Path) -> None:
    demanded = Project(budget={"*": Demands(max_size="1K"), "linux-arm64": Demands(max_size="2")})
    assert not judged(built(tmp_path / "new", b"network", None), None, demanded=demanded).passes
    assert judged(built(tmp_path / "more", b"network", None, target="android"), None, demanded=demanded).passes


def bad_folder(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty", baseline


def other_model(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    return built(tmp_path / "new", b"network", 1.0, model="other"), baseline


def other_target(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    return built(tmp_path / "new", b"network", 1.0, target="android"), baseline


def other_device(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    file = artifact(b"rebuilt")
    seen = recorded(file, blocks(1.0), device=msgspec.structs.replace(PI, id="phone"))
    return folder(tmp_path / "new", manifest(file, profiles=[seen]), b"rebuilt"), baseline


def no_baseline(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    baseline.write_text('{"files": 3}')
    return built(tmp_path / "new", b"network", 1.0), baseline


def leading_out(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    baseline.write_text(baseline.read_text().replace('"linux-arm64"', '"../secret"'))
    return built(tmp_path / "new", b"network", 1.0), baseline


def another_file_kept(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    (tmp_path / "base" / "linux-arm64" / "model_int8.tflite").write_bytes(b"swapped")
    return built(tmp_path / "new", b"rebuilt", 1.3), baseline


def nothing_to_judge_by(tmp_path: Path, baseline: Path) -> tuple[Path, Path | None]:
    return built(tmp_path / "new", b"network", 1.0), None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (bad_folder, "no artifact folder"),
        (other_model, "another model"),
        (other_target, "holds none of these files"),
        (other_device, "measured on pi5"),
        (no_baseline, "is no baseline"),
        (leading_out, "is no baseline"),
        (another_file_kept, "not the file that the baseline describes"),
        (nothing_to_judge_by, "nothing to judge by"),
    ],
)
def test_bad_input_is_told(make: Any, says: str, tmp_path: Path, baseline: Path, world: World) -> None:
    where, file = make(tmp_path, baseline)
    with pytest.raises(InputError, match=says) as caught:
        judged(where, file, find=world.find)
    assert caught.value.fix


def test_two_folders_of_one_target_are_refused(tmp_path: Path) -> None:
    made = [built(tmp_path / name, b"network", None) for name in ("a", "b")]
    with pytest.raises(InputError, match="Two folders"):
        save(made, tmp_path / "base.json")


def test_a_baseline_leaves_what_is_not_its_own(tmp_path: Path, baseline: Path) -> None:
    kept, notes = tmp_path / "base" / "linux-arm64" / "model_int8.tflite", tmp_path / "base" / "notes.txt"
    notes.write_text("mine")
    new = built(tmp_path / "new", b"rebuilt", 1.0)
    save([new], baseline, files=True)  # in the place of the earlier copy
    assert (kept.read_bytes(), notes.read_text()) == (b"rebuilt", "mine")
    save([new], tmp_path / "new.json", files=True)  # whose folder is that of the artifact itself
    assert (new / "model_int8.tflite").read_bytes() == b"rebuilt"
    baseline.unlink()
    kept.write_bytes(b"mine")
    with pytest.raises(InputError, match="no baseline describes it"):
        save([new], baseline, files=True)
    assert kept.read_bytes() == b"mine"


def test_a_build_is_over_budget_in_size_and_in_what_it_measured(tmp_path: Path) -> None:
    file = artifact()
    made = Result("android", tmp_path, manifest(file, profiles=[recorded(file, blocks(3.0))], target="android"))
    over = Project(budget={"android": Demands(max_size="3", max_latency_ms=2.0, max_energy_mj=1.0, max_drop=0.001)})
    assert {one.figure for one in verb.over_budget(over, [made]).findings} == {"size", "latency"}
    assert verb.over_budget(Project(budget={"edgetpu": Demands(max_size="3")}), [made]).passes


def test_a_projects_folders_are_those_of_its_targets() -> None:
    found = verb.folders(Project(targets=("android", "edgetpu")), Path("net.onnx"))
    assert found == [Path("dist/net/android"), Path("dist/net/edgetpu")]
    with pytest.raises(InputError, match="no targets"):
        verb.folders(Project(), Path("net.onnx"))
