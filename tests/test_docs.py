"""The pages say what is true: generated ones are fresh, links lead somewhere, the README's output is real."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECIBELS = re.compile(r"(\d+\.\d) dB")
FIGURES = re.compile(r"\d+\.\d+( dB|%)?")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "reference" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_are_fresh() -> None:
    for name, text in generator().pages().items():
        assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf8") == text, f"{name} is stale"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_readme_names_every_target() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf8")
    assert not [path.stem for path in (ROOT / "targets").glob("*.toml") if f"`{path.stem}`" not in text]


@pytest.mark.slow
def test_the_readme_shows_what_its_command_prints(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf8")
    found = re.search(r"<!-- output: edgekit (.+) -->\n```\n(.+?)\n```", text, flags=re.DOTALL)
    assert found is not None
    for folder in ("docs/examples/digits", "calibration_data"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    run = subprocess.run(
        [sys.executable, "-m", "edgekit", *found[1].split()],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "80", "EDGEKIT_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    printed = "\n".join(line.rstrip() for line in run.stderr.rstrip().splitlines())
    assert DECIBELS.sub("# dB", printed) == DECIBELS.sub("# dB", found[2])
    # A processor with other vector instructions rounds otherwise.
    shown = [float(value) for value in DECIBELS.findall(found[2])]
    assert [float(value) for value in DECIBELS.findall(printed)] == pytest.approx(shown, abs=1.0)


@pytest.mark.study
@pytest.mark.slow
def test_the_pytorch_tutorial_goes_through(tmp_path: Path) -> None:
    """Every command of the page, in a copy; the table is the one that it shows, and the app's lines agree with it."""
    page = (ROOT / "docs" / "tutorial" / "from-pytorch.md").read_text(encoding="utf8")
    shutil.copytree(ROOT / "docs" / "examples" / "shapes", tmp_path / "docs" / "examples" / "shapes")
    env = os.environ | {"COLUMNS": "80", "EDGEKIT_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
    printed = ""
    for command in re.findall(r"^uv run (.+)$", page, flags=re.MULTILINE):
        words = command.removeprefix("python ").split()
        program = [sys.executable, "-m", *words] if words[0] == "edgekit" else [sys.executable, *words]
        run = subprocess.run(program, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{command}: {run.stderr}"
        printed += run.stderr
    shown = re.findall(r"^ model_\w+\.tflite .+$", page, flags=re.MULTILINE)
    rows = [line.rstrip() for line in printed.splitlines() if re.match(r" model_\w+\.tflite .+ pass", line)]
    assert [FIGURES.sub("#", row) for row in rows] == [FIGURES.sub("#", row) for row in shown]

    app = (ROOT / "docs" / "how-to" / "load-in-an-app.md").read_text(encoding="utf8")
    code = re.search(r"```python\n(.+?)```", app, flags=re.DOTALL)
    assert code is not None
    built, picture = tmp_path / "dist" / "model" / "android", "docs/examples/shapes/images/test/circle/000.png"
    shutil.copy(tmp_path / picture, built / "photo.png")
    run = subprocess.run(
        [sys.executable, "-c", code[1] + "\nprint(scores.argmax(), abs(stored).max() > 0)"],
        cwd=built, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.split() == ["0", "True"]


@pytest.mark.study
@pytest.mark.slow
def test_the_page_for_notebooks_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial" / "python.md").read_text(encoding="utf8")
    for folder in ("docs/examples/digits", "calibration_data"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    blocks = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"EDGEKIT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "model_int8.tflite" in run.stdout
    assert not run.stderr
