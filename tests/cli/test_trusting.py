"""Projects of strangers through the command line: nothing runs before a person says so."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit import cli
from tests import networks

MODULE = """
from pathlib import Path
Path("ran").touch()
import numpy as np
def samples():
    return np.zeros((4, 1, 8, 8, 3), np.float32)
"""

PROGRAM = "#!/bin/sh\ntouch {ran}\nexit 1\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as somebody sent it, the current one."""
    folder = tmp_path / "sent"
    folder.mkdir()
    networks.classifier(folder / "model.tflite")
    (folder / "data.py").write_text(MODULE)
    (folder / "python").write_text(PROGRAM.format(ran=folder / "ran"))
    (folder / "python").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.delitem(sys.modules, "data", raising=False)
    return folder


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = cli.run([*arguments, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out else None, err


CODE = 'model = "model.tflite"\ntargets = ["linux-arm64"]\nprecision = "float32"\neval = "data:samples"\n'
DEVICE = '[devices.theirs]\nkind = "local"\npython = "./python"\n'


def test_code_in_a_project_runs_only_when_it_is_trusted(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "edgekit.toml").write_text(CODE)
    for model in (".", "model.tflite"):
        code, document, _ = run(capfd, "build", model)
        assert code == 2
        assert 'eval = "data:samples"' in document["error"]["problem"]
        assert "--trust-project" in document["error"]["fix"]
    assert cli.run(["build", ".", "--dry-run"]) == 0
    assert not (project / "ran").exists()
    assert run(capfd, "build", ".", "--trust-project")[0] == 0
    assert (project / "ran").exists()
    (project / "ran").unlink()
    assert run(capfd, "build", ".")[0] == 0  # from now on
    (project / "data.py").write_text(MODULE + "# another line")
    (project / "ran").unlink(missing_ok=True)
    assert run(capfd, "build", ".")[0] == 2
    assert not (project / "ran").exists()


def test_a_flag_is_a_persons_own_word(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "edgekit.toml").write_text(CODE.replace("data:samples", "other:samples"))
    assert run(capfd, "build", ".", "--eval", "data:samples")[0] == 0


@pytest.mark.parametrize("verb", [("devices",), ("devices", "check", "theirs"), ("profile", "model.tflite", "--device", "theirs"),
                                  ("build", ".", "--verify-on", "theirs"), ("build", ".", "--profile", "--device", "theirs")])  # fmt: skip
def test_a_device_of_a_project_is_reached_only_when_it_is_trusted(
    verb: tuple[str, ...], project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = CODE.replace('eval = "data:samples"\n', "")
    (project / "edgekit.toml").write_text(plain + DEVICE)
    code, document, screen = run(capfd, *verb)
    assert not (project / "ran").exists()
    if verb == ("devices",):
        assert code == 0
        assert "theirs, which needs your trust" in screen
    else:
        assert code == 2
        assert "devices.theirs" in document["error"]["problem"]
        assert "--trust-project" in document["error"]["fix"]
    run(capfd, *verb, "--trust-project")
    assert (project / "ran").exists()


def test_a_persons_own_device_of_the_same_name_is_used(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "devices.toml").write_text(
        f'[devices.theirs]\nkind = "local"\npython = "{sys.executable}"\n'
    )
    (project / "edgekit.toml").write_text(DEVICE)
    assert run(capfd, "devices", "check", "theirs")[0] == 0
    assert not (project / "ran").exists()


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"\n", 2)])
def test_on_a_terminal_it_is_asked(answer: bytes, code: int, project: Path) -> None:
    (project / "edgekit.toml").write_text(CODE)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", "build", "."], stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2]), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(ours, 1000)
    assert b"data:samples" in seen
    assert not (project / "ran").exists()
    os.write(ours, answer)
    while True:
        try:
            os.read(ours, 1000)
        except OSError:  # the terminal's other end is closed
            break
    assert process.wait(60) == code
    assert (project / "ran").exists() == (code == 0)
    os.close(ours)


OPTIONAL = ("jax", "pandas", "torch", "dill", "cython", "chardet", "litert", "simplejson", "wcwidth", "tensorflow_io")
"""Libraries that others try to import, and that are not installed here."""


@pytest.mark.study
@pytest.mark.slow
def test_modules_in_the_current_folder_are_not_taken_for_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OPTIONAL:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    root = Path(cli.__file__).parents[2]
    model = root / "docs" / "examples" / "digits" / "model.keras"
    assert cli.run(["build", str(model), "-t", "openvino-cpu", "--precision", "float32", "-o", "out"]) == 0
    assert not (tmp_path / "ran").exists()
