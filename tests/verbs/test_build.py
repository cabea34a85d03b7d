"""`edgekit build` from end to end on the bundled example: what it writes, what it caches, how it fails."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import cli
from edgekit.errors import InputError
from edgekit.measure import record
from edgekit.nouns.manifest import Manifest
from edgekit.waist import run as waist_run
from tests.conftest import ROOT

DIGITS = ROOT / "docs" / "examples" / "digits"


@dataclass(frozen=True)
class Run:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What ``--json`` printed: one document and nothing else."""
        return json.loads(self.out)

    @property
    def cached(self) -> dict[str, bool]:
        """Every step of the run, and whether the cache answered."""
        verbs = ("reading", "running", "converting", "counting", "building", "verifying")
        lines = [line for line in self.err.splitlines() if line.startswith(verbs)]
        return {line.removesuffix(" (cached)"): line.endswith(" (cached)") for line in lines}


@dataclass(frozen=True)
class Bench:
    """A cache that the tests of this file share, and the environment in which commands run."""

    cache: Path

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | {"EDGEKIT_CACHE": str(self.cache), "COLUMNS": "100", "NO_COLOR": "1"} | more

    def start(self, *arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgekit", *arguments],
            cwd=cwd,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, cwd: Path, **environment: str) -> Run:
        process = self.start(*arguments, cwd=cwd, **environment)
        out, err = process.communicate(timeout=300)
        return Run(process.returncode, out, err)


@pytest.fixture
def call(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kept_workers: None
) -> Callable[..., Run]:
    """Runs a command in this process, whose workers stay."""

    def run(*arguments: str, cwd: Path, **environment: str) -> Run:
        monkeypatch.chdir(cwd)
        for name, value in bench.environment(**environment).items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = cli.run(list(arguments))
        return Run(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def built(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("built")
    return folder / "out", bench.run("build", str(DIGITS), "-o", "out", "--json", cwd=folder)


@pytest.fixture(scope="session")
def again(bench: Bench, built: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """The same build once more."""
    folder = tmp_path_factory.mktemp("again")
    return folder / "out", bench.run("build", str(DIGITS), "-o", "out", cwd=folder)


def test_the_example_builds_and_passes(built: tuple[Path, Run]) -> None:
    folder, run = built
    assert run.code == 0, run.err
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    assert run.document["results"][0]["manifest"] == json.loads((folder / "manifest.json").read_text())
    assert [(file.file, file.precision) for file in manifest.artifacts] == [
        ("model_int8.tflite", "int8"),
        ("model_float16.tflite", "float16"),
    ]
    for file in manifest.artifacts:
        assert file.verification is not None
        assert file.verification.verdict == "pass"
        assert file.verification.metric is not None
        assert file.verification.metric.drop <= 0.01
        assert file.cost is not None
        assert file.cost.macs > 10_000
        for name, digest in file.files.items():
            assert (folder / name).stat().st_size == digest.bytes
    assert sorted(path.name for path in folder.iterdir()) == [
        "integration",
        "manifest.json",
        "model_float16.tflite",
        "model_int8.tflite",
        "report.html",
    ]


def test_the_manifest_remembers_data_and_boundary(built: tuple[Path, Run]) -> None:
    manifest = msgspec.json.decode((built[0] / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.calibration is not None
    assert manifest.calibration.samples >= manifest.calibration.used > 0
    quantized = manifest.artifacts[0].signature.inputs[0]
    assert (quantized.dtype, quantized.source_dtype) == ("int8", "float32")
    assert quantized.scale is not None
    assert quantized.scale > 0


def test_a_second_build_converts_nothing(built: tuple[Path, Run], again: tuple[Path, Run]) -> None:
    run = again[1]
    assert run.code == 0
    assert run.cached
    assert all(run.cached.values()), run.err
    first, second = (json.loads((folder / "manifest.json").read_text()) for folder in (built[0], again[0]))
    ours = {"created_utc": "", "extras": {}}  # a report says when it was built
    assert first | ours == second | ours


def test_a_build_that_the_cache_answers_loads_no_numbers(bench: Bench, again: tuple[Path, Run]) -> None:
    """Samples and reference outputs are known by digest: numpy alone takes longer to import than all else."""
    folder = again[0].parent  # whose report is written already
    code = (
        "import sys; from edgekit.cli import run; "
        f"code = run(['build', {str(DIGITS)!r}, '-o', 'out']); "
        "print(code, *sorted({'numpy', 'importlib.metadata', 'rich.progress'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=folder, env=bench.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"], done.stderr
    assert (folder / "out" / "report.html").is_file()


def test_another_option_reruns_only_what_depends_on_it(
    call: Callable[..., Run], built: tuple[Path, Run], tmp_path: Path
) -> None:
    run = call("build", str(DIGITS), "--io", "uint8", "-o", "out", cwd=tmp_path)
    assert run.code == 0, run.err
    assert {step for step, cached in run.cached.items() if not cached} == {
        "building model_int8.tflite with tflite",
        "verifying model_int8.tflite",
    }
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["artifacts"][0]["signature"]["inputs"][0]["dtype"] == "uint8"


def test_a_damaged_cache_is_mended(
    bench: Bench, call: Callable[..., Run], built: tuple[Path, Run], tmp_path: Path
) -> None:
    for file in (bench.cache / "answers").rglob("*.tflite"):
        file.write_bytes(file.read_bytes()[:100])
    run = call("build", str(DIGITS), "-o", "out", cwd=tmp_path)
    assert run.code == 0, run.err
    for name in ("model_int8.tflite", "model_float16.tflite"):
        assert (tmp_path / "out" / name).read_bytes() == (built[0] / name).read_bytes()


def test_flags_win_over_the_file(call: Callable[..., Run], tmp_path: Path) -> None:
    run = call("build", str(DIGITS), "-t", "linux-arm64", "--precision", "float32", "--dry-run", "--json", cwd=tmp_path)
    assert run.code == 0
    assert [(row["target"], [v["precision"] for v in row["variants"]]) for row in run.document["plan"]] == [
        ("linux-arm64", ["float32"])
    ]
    assert list(tmp_path.iterdir()) == []


def test_plain_build_reads_the_folder_it_stands_in(
    call: Callable[..., Run], built: tuple[Path, Run], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "calibration_data", tmp_path / "calibration_data")
    here = tmp_path / "a" / "b" / "digits"
    shutil.copytree(DIGITS, here)
    run = call("build", "--target", "android", cwd=here)
    assert run.code == 0, run.err
    assert (here / "dist" / "model" / "android" / "manifest.json").is_file()


def test_no_calibration_is_refused_before_anything_is_converted(call: Callable[..., Run], tmp_path: Path) -> None:
    shutil.copy(DIGITS / "model.keras", tmp_path)
    run = call("build", "model.keras", "-t", "android", "--json", cwd=tmp_path)
    assert run.code == 2
    assert run.document["error"]["remedy"] == "InputError"
    assert "--calibration" in run.document["error"]["fix"]
    assert {*run.cached} == {"reading model.keras"}  # it might bring its own integers
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_float_precisions_are_verified_on_random_inputs(call: Callable[..., Run], tmp_path: Path) -> None:
    shutil.copy(DIGITS / "model.keras", tmp_path)
    before = (tmp_path / "model.keras").read_bytes()
    run = call("build", "model.keras", "-t", "android", "--precision", "float32", "--json", cwd=tmp_path)
    assert run.code == 0, run.err
    verification = run.document["results"][0]["manifest"]["artifacts"][0]["verification"]
    assert verification["sqnr_db"] >= 60
    assert "random" in verification["samples_origin"]
    assert (tmp_path / "model.keras").read_bytes() == before


def test_a_missed_budget_is_exit_1_and_the_artifact_exists(call: Callable[..., Run], tmp_path: Path) -> None:
    with np.load(ROOT / "calibration_data" / "digits_test.npz") as file:
        images = {name: file[name] for name in file.files if name != "y"}
    assert call("build", str(DIGITS), "--precision", "float32", "-o", "float", cwd=tmp_path).code == 0
    (name, values), *_ = images.items()
    outputs = waist_run.run(tmp_path / "float" / "model_float32.tflite", {name: values[:, None]})
    # The network's own answers as labels: the source's error is nearly 0, any quantized file's is larger.
    np.savez(tmp_path / "test.npz", **images, y=next(iter(outputs.values()))[:, 0])
    budget = ("--eval", "test.npz", "--metric", "mse", "--max-drop", "0.000001")
    run = call("build", str(DIGITS), "--precision", "int4", *budget, "-o", "out", "--json", cwd=tmp_path)
    assert run.code == 1, run.err
    file = run.document["results"][0]["manifest"]["artifacts"][0]
    assert file["verification"]["verdict"] == "miss"
    assert "mse dropped" in file["verification"]["reason"]
    assert (tmp_path / "out" / file["file"]).is_file()


def test_a_failing_target_does_not_keep_others_from_being_built(call: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "out" / "ios").mkdir(parents=True)
    (tmp_path / "out" / "ios" / "model_ios_int8.tflite").write_text("mine")  # the name of a file to be written
    run = call("build", str(DIGITS), "-t", "android", "-t", "ios", "-o", "out", cwd=tmp_path)
    assert run.code == 2
    assert (tmp_path / "out" / "android" / "manifest.json").is_file()
    assert (tmp_path / "out" / "ios" / "model_ios_int8.tflite").read_text() == "mine"


def test_require_compiled_is_exit_3_without_the_compiler(call: Callable[..., Run], tmp_path: Path) -> None:
    without = os.pathsep.join(
        p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "edgetpu_compiler").exists()
    )
    run = call(
        "build", str(DIGITS), "-t", "edgetpu", "--require-compiled", "-o", "out", cwd=tmp_path, PATH=without,
        EDGEKIT_EDGETPU_COMPILER="",
    )  # fmt: skip
    assert run.code == 3, run.err
    assert "fix:" in run.err
    assert not (tmp_path / "out").exists()


@pytest.mark.study
def test_all_targets_share_what_they_can(call: Callable[..., Run], built: tuple[Path, Run], tmp_path: Path) -> None:
    plain = ("--set", "weights=nearest")  # to try every way takes OpenVINO's quantizer seconds
    run = call("build", str(DIGITS), "-t", "all", "-o", "out", "--json", *plain, cwd=tmp_path)
    assert run.code == 0, run.err
    assert {result["target"] for result in run.document["results"]} >= {
        "android",
        "edgetpu",
        "openvino-cpu",
        "openvino-npu",
    }
    assert run.err.count("converting model.keras") == 1
    for result in run.document["results"]:
        for file in result["manifest"]["artifacts"]:
            assert file["verification"]["verdict"] == "pass", file


def test_a_folder_holds_what_was_asked_for_last_and_the_users_files(call: Callable[..., Run], tmp_path: Path) -> None:
    command = ("build", str(DIGITS / "model.keras"), "-t", "android", "-o", "out")
    call(*command, "--precision", "float16", cwd=tmp_path)
    (tmp_path / "out" / "report.html").write_text("mine")
    run = call(*command, "--precision", "float32", "--json", cwd=tmp_path)
    assert run.code == 0, run.err
    assert "kept report.html, which edgekit did not write" in run.err
    assert "model_float16.tflite of the earlier build left the folder" in run.err
    (result,) = run.document["results"]
    assert (result["kept"], result["gone"]) == (["report.html"], ["model_float16.tflite"])
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert there == ["manifest.json", "model_float32.tflite", "report.html"]

    record.attach(tmp_path / "out" / "manifest.json", "made.html", b"edgekit's", by="report")
    with pytest.raises(InputError, match=r"report\.html"):
        record.attach(tmp_path / "out" / "manifest.json", "report.html", b"edgekit's", by="report")
    again = call(*command, "--precision", "float32", "--json", cwd=tmp_path)
    (result,) = again.document["results"]
    assert (result["kept"], result.get("gone")) == (["report.html"], None)
    assert result["manifest"]["extras"]["made.html"]["by"] == "report"
    assert (tmp_path / "out" / "made.html").read_bytes() == b"edgekit's"
    other = call(*command, "--precision", "float16", "--json", cwd=tmp_path)
    assert other.document["results"][0]["gone"] == ["made.html", "model_float32.tflite"]
    assert (tmp_path / "out" / "report.html").read_text() == "mine"
