"""What a user sees, kept in tests/golden; ``pytest --update-golden`` writes it anew: then read the diff."""

import importlib.machinery
import importlib.util
import json
import platform
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edgekit import cli
from edgekit.host import compilers, sandbox
from edgekit.nouns import leaves
from edgekit.verbs import doctor
from tests.conftest import Disk

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
ROOT = GOLDEN.parent.parent
DIGITS = ROOT / "docs" / "examples" / "digits" / "model.keras"

PLAIN = {
    "nothing": [],
    "help": ["--help"],
    "verb": ["biuld", "x"],
    "option": ["build", "--tagret", "android", "x"],
    "choice": ["build", "--metric", "top2", "x"],
    "metric": ["build", "--metric", "loss", "x"],
    "number": ["build", "--max-drop", "x", "x"],
    "range": ["build", "--max-drop", "-1", "x"],
    "shape": ["build", "--shape", "foo", "x"],
    "subverb": ["targets", "shw"],
    "argument": ["inspect"],
    "no_file": ["build", "nope.onnx", "-t", "android"],
    "device_without_profile": ["build", "model.keras", "-t", "android", "--device", "local"],
    "no_file_in_project": ["build", "lost", "-t", "android"],
    "no_samples_in_project": ["build", "unfed", "-t", "android"],
    "no_project": ["build"],
    "no_target": ["build", "model.keras"],
    "target": ["build", "model.keras", "-t", "andorid"],
    "no_calibration": ["build", "model.keras", "-t", "android"],
    "precision": ["build", "model.keras", "-t", "edgetpu", "--precision", "float16"],
    "precision_openvino": ["build", "model.keras", "-t", "openvino-cpu", "--precision", "int4"],
    "io_openvino": ["build", "model.keras", "-t", "openvino-cpu", "--io", "uint8"],
    "io_edgetpu": ["build", "model.keras", "-t", "edgetpu", "--io", "float32"],
    "target_without_a_name": ["build", "model.keras", "-t", ""],
    "no_project_here": ["build", "."],
    "cache_prune_help": ["cache", "prune", "--help"],
    "metric_alone": ["build", "model.keras", "-t", "android", "--metric", "top1"],
    "drop_alone": ["build", "model.keras", "-t", "android", "--max-drop", "0.1"],
    "sqnr_without_data": ["build", "model.keras", "-t", "android", "--min-sqnr", "20"],
    "agreement_of_percent": ["build", "model.keras", "-t", "android", "--min-agreement", "98"],
    "budget_nan": ["build", "model.keras", "-t", "android", "--min-sqnr", "nan"],
    "no_time": ["build", "model.keras", "-t", "android", "--time-limit", "0"],
    "no_duration": ["build", "model.keras", "-t", "android", "--time-limit", "soon"],
    "effort_without_budget": ["build", "model.keras", "-t", "android", "--effort", "quick"],
    "dry_run_search": [
        *("build", "model.keras", "-t", "android", "--eval", "samples.npz", "--min-sqnr", "20"),
        *("--time-limit", "10m", "--dry-run"),
    ],
    "dry_run": ["build", "model.keras", "-t", "android", "-t", "edgetpu", "--dry-run"],
    "recipes": ["recipes"],
    "recipe_qat": ["recipes", "show", "prune-channels50-qat"],
    "recipe_unknown": ["recipes", "show", "qad"],
    "recipe_dry_run": [
        *("build", "model.keras", "-t", "android", "--recipe", "prune-channels50-qat", "--data", "samples.npz"),
        *("--set", "qat.epochs=2", "--dry-run"),
    ],
    "recipe_without_data": ["build", "model.keras", "-t", "android", "--qat"],
    "recipe_twice": ["build", "model.keras", "-t", "android", "--qat", "--recipe", "prune50"],
    "recipe_setting": ["build", "model.keras", "-t", "android", "--qat", "--set", "qat.epoch=3"],
    "recipe_other_pass": ["build", "model.keras", "-t", "android", "--qat", "--set", "prune.epochs=3"],
    "recipe_half_setting": ["build", "model.keras", "-t", "android", "--qat", "--set", "qat.epochs"],
    "recipe_order": ["build", "model.keras", "-t", "android", "--recipe", "undoing.toml", "--data", "samples.npz"],
    "compress_nothing": ["compress", "model.keras", "--recipe", "ptq", "-o", "x.tflite"],
    "compress_nowhere": ["compress", "model.keras", "--qat", "--data", "unfed/model.keras", "-o", "nowhere/x.tflite"],
    "compress_to_onnx": ["compress", "model.keras", "--qat", "--data", "unfed/model.keras", "-o", "x.onnx"],
    "prune_without_yes": ["build", "model.keras", "-t", "android", "--prune", "0.5", "--data", "samples.npz"],
    "prune_with_yes": [
        *("build", "model.keras", "-t", "android", "--prune", "0.5", "--data", "samples.npz", "--yes", "--dry-run"),
    ],
    "teacher_alone": ["build", "model.keras", "-t", "android", "--teacher", "model.keras"],
    "teacher_untrained": [
        *("build", "model.keras", "-t", "android", "--recipe", "prune-channels30", "--data", "samples.npz"),
        *("--teacher", "model.keras"),
    ],
    "diagnose_help": ["diagnose", "--help"],
    "diagnose_without_source": ["diagnose", "truncated.tflite"],
    "diagnose_nowhere": ["diagnose", "truncated.tflite", "-o", "nowhere/errors.json"],
    "diagnose_plot_nowhere": ["diagnose", "truncated.tflite", "--plot", "nowhere/sqnr.svg"],
    "diagnose_no_artifact": ["diagnose", "folder"],
    "run_help": ["run", "--help"],
    "run_on_nothing": ["run", "folder"],
    "run_no_artifact": ["run", "folder", "-i", "text.onnx"],
    "run_nowhere": ["run", "folder", "-i", "text.onnx", "-o", "nowhere/found.png"],
    "empty": ["inspect", "empty.onnx"],
    "text": ["inspect", "text.onnx"],
    "folder": ["inspect", "folder"],
    "truncated_tflite": ["inspect", "truncated.tflite"],
    "huge_claim": ["inspect", "huge.tflite"],
    "place_is_a_file": ["build", "model.keras", "-t", "android", "--precision", "float16", "-o", "text.onnx"],
    "place_below_a_file": ["build", "model.keras", "-t", "android", "--precision", "float16", "-o", "text.onnx/out"],
    "place_of_others": ["build", "model.keras", "-t", "android", "--precision", "float16", "-o", "foreign"],
    "toml_key": ["build", "project"],
    "toml_syntax": ["build", "broken"],
    "targets": ["targets"],
    "target_android": ["targets", "show", "android"],
    "cache_size": ["cache", "size"],
    "cache_prune": ["cache", "prune", "--to", "1G"],
    "cache_units": ["cache", "prune", "--to", "5X"],
    "init_twice": ["init", "project/model.keras"],
}
"""Screens for which no leaf's heavy library is loaded: name → command line."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad files, as the current one."""
    desk = tmp_path / "desk"
    (desk / "folder").mkdir(parents=True)
    (desk / "foreign").mkdir()
    (desk / "foreign" / "model_float16.tflite").write_text("mine")
    (desk / "model.keras").write_bytes(DIGITS.read_bytes())
    (desk / "empty.onnx").touch()
    (desk / "text.onnx").write_text("hello, this is text")
    (desk / "truncated.tflite").write_bytes(struct.pack("<I", 4216) + b"TFL3" + bytes(100))
    (desk / "huge.tflite").write_bytes(struct.pack("<I", 2**31 - 1) + b"TFL3" + b"\xff" * 200)
    projects = {
        "project": 'model = "model.keras"\ntarget = ["android"]\n',
        "broken": "model = \n",
        "lost": 'model = "nope.keras"\n',
        "unfed": 'model = "model.keras"\ncalibration = "nope.npz"\n',
    }
    (desk / "undoing.toml").write_text('[[passes]]\npass = "qat"\n[[passes]]\npass = "prune"\n')
    for name, text in projects.items():
        (desk / name).mkdir()
        (desk / name / "edgekit.toml").write_text(text)
        (desk / name / "model.keras").write_bytes(DIGITS.read_bytes())
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CACHE_LIMIT", "20G")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
    return desk


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def screen(desk: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The command, what it prints, its exit code; paths of this machine are named by what they are."""
    code = cli.run(arguments)
    out, err = capfd.readouterr()
    text = f"$ edgekit {' '.join(arguments)}\n{err}{out}exit code {code}\n"
    for path, name in ((desk, "DESK"), (desk.parent / "cache", "CACHE"), (ROOT, "EDGEKIT")):
        text = text.replace(str(path), name)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("name", PLAIN)
def test_screen(name: str, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    before = files(desk)
    seen = screen(desk, PLAIN[name], capfd)
    assert "Traceback" not in seen
    if "Error:" in seen or "Unsupported:" in seen:
        assert "fix: " in seen
    assert files(desk) == before  # nothing half-written
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")


@pytest.mark.parametrize("name", ["doctor_bare", "doctor_full"])
def test_a_doctors_report(
    name: str,
    desk: Path,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with the base install alone, and on one where nothing is missing."""
    bare = name == "doctor_bare"
    optional = {module for rows in leaves.LEAVES.values() for row in rows.values() for module in row.modules}
    find, here = importlib.util.find_spec, importlib.machinery.ModuleSpec("here", None)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda module, *rest: (None if bare else here) if module in optional else find(module, *rest),
    )
    monkeypatch.setattr(shutil, "which", lambda program, **_: None if bare else f"/usr/bin/{program}")
    if not bare:
        found = [
            one._replace(find=lambda: "/openvino/libs/compiler.so") if one.backend == "openvino" else one
            for one in compilers.COMPILERS
        ]
        monkeypatch.setattr(compilers, "COMPILERS", found)
    monkeypatch.setattr(sandbox, "in_force", lambda: () if bare else sandbox.WALLS)
    monkeypatch.setattr(doctor, "tool_versions", lambda: {"numpy": "2.0.0", "pillow": "11.0.0"})
    monkeypatch.setenv("EDGEKIT_CACHE", "/var/cache/edgekit")  # short, so that no line breaks in it
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.0")
    monkeypatch.setattr(platform, "platform", lambda **_: "Linux-6.1")
    seen = screen(desk, ["doctor"], capfd)
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")
    assert (" no " in seen) == bare


def test_a_read_only_place_for_results_is_refused_before_the_work(
    disk: Disk, desk: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    disk.protect()
    arguments = ["build", "model.keras", "-t", "android", "--precision", "float16", "-o", str(disk.path / "out")]
    seen = screen(desk, arguments, capfd).replace(str(disk.path), "DISK")
    golden = GOLDEN / "place_read_only.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")


def test_there_is_no_golden_without_its_command() -> None:
    others = {"doctor_bare", "doctor_full", "place_read_only"}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*PLAIN, *others}


@pytest.mark.parametrize(
    "arguments",
    [
        ["targets"],
        ["targets", "show", "ios"],
        ["cache", "size"],
        ["doctor"],
        ["inspect", "text.onnx"],
        ["targets", "show", "isos"],
    ],
)
def test_json_is_one_document_on_stdout(arguments: list[str], desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = cli.run([*arguments, "--json"])
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert ("error" in document) == (code != 0)
    assert err  # people's text
    assert "\x1b" not in err  # not a terminal: no colours


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_under_any_name_are_an_input_error(
    seed: int, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = np.random.default_rng(seed)
    (desk / "noise").write_bytes(b"\x01" + drawn.bytes(int(drawn.integers(1, 500))))
    assert cli.run(["inspect", "noise"]) == 2
    assert "fix: " in capfd.readouterr().err


def test_a_bug_ends_in_a_log_and_exit_70(
    desk: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("edgekit.config.target_names", fail)
    assert cli.run(["targets", "--json"]) == 70
    out, err = capfd.readouterr()
    assert "Traceback" not in err + out
    log = next((desk.parent / "cache" / "logs").glob("*.log"))
    assert str(log) in err
    assert "ZeroDivisionError: a bug" in log.read_text()
