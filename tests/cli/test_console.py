"""Whatever names hold, and whatever takes the output: no control of the terminal, no traceback, the right exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from edgekit import cli
from edgekit.cli import console
from edgekit.errors import InputError
from edgekit.report import shown
from edgekit.report.plain import escaped_json, plain
from tests import networks

ROOT = Path(__file__).resolve().parent.parent.parent

HOSTILE = "a\x1b[2J\x9b31m\u202eb\x07\x7f\u2066c\rd\u2028e"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line for bash in which ``edgekit`` is the command."""
    start = f'edgekit() {{ {sys.executable} -m edgekit "$@"; }}; {line}'
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "EDGEKIT_CACHE": str(folder / "cache"), "COLUMNS": "200",
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-c", start], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("edgekit targets --json >/dev/full", 2, "Standard output cannot be written: No space left"),
        ("edgekit targets --json >&-", 2, "Standard output cannot be written: Bad file"),
        ("edgekit --help >/dev/full", 2, "Standard output cannot be written"),
        ("edgekit inspect nope.onnx --json >/dev/full", 2, "no file or folder nope.onnx"),
        ("edgekit targets 2>&-", 0, ""),
        ("edgekit targets 2>/dev/full", 0, ""),
        ("edgekit targets <&- >&- 2>&-", 2, ""),  # the table has nowhere to go
        ("edgekit cache prune <&- 2>&-", 0, ""),
        ("edgekit inspect nope.onnx 2>&-", 2, ""),
        ("edgekit inspect nope.onnx --json 2>/dev/full", 2, ""),
        ("edgekit targets --json | true; exit ${PIPESTATUS[0]}", {0, 141}, ""),
        ("(sleep 1; exec 2>/dev/null; edgekit targets --json) | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("mkdir gone; cd gone; rmdir ../gone; edgekit build", 2, "current folder is no longer"),
        ("mkdir gone; cd gone; rmdir ../gone; edgekit inspect model.onnx", 2, "no file or folder"),
        ("M=$PWD/model.tflite; mkdir gone; cd gone; rmdir ../gone; edgekit inspect $M", 2, "current folder is no longer"),
        ("ln -s loop loop; edgekit inspect loop", 2, "loop"),
        ("ln -s loop loop; edgekit build model.tflite -t linux-arm64 --precision float32 -o loop", 2, "loop"),
        ("ln -s loop loop; EDGEKIT_CACHE=$PWD/loop edgekit inspect model.tflite", 2, "symbolic links"),
        ("ln -s loop loop; edgekit build model.tflite -t android --calibration loop", 2, "loop"),
        ("edgekit build model.tflite -t \"$(printf 'a%.0s' {1..5000})\"", 2, "name is too long"),
        ("edgekit build model.tflite -t android -o \"$(printf 'a%.0s' {1..5000})\"", 2, ""),
        ("edgekit inspect \"$(printf 'a%.0s' {1..5000})\"", 2, "name is too long"),
        ("edgekit inspect $'\\xff.onnx'", 2, "no text in UTF-8"),
        ("edgekit build model.tflite -t $'a\\e[2J'", 2, "a\\x1b[2J"),
        ("edgekit inspect $'a\\nError: b'", 2, "a\\nError: b"),
        ("ulimit -f 1; edgekit inspect model.tflite", 2, "File too large"),
        ("ulimit -n 8; edgekit inspect model.tflite", 2, "ulimit -n"),
        ("EDGEKIT_CACHE=$PWD/$'\\xff' edgekit inspect model.tflite", 2, "set EDGEKIT_CACHE"),
        ("mkdir mine; touch mine/thesis; EDGEKIT_CACHE=$PWD/mine edgekit inspect model.tflite", 2, "did not make: thesis"),
        ("edgekit build model.tflite -t linux-arm64 --precision float32 -o cache/out", 2, "cannot share a folder"),
        ("edgekit build model.tflite -t linux-arm64 --precision float32 -o .", 2, "folder that you are in"),
        ("EDGEKIT_CACHE_LIMIT=much edgekit inspect model.tflite", 2, "no size"),
    ],
)  # fmt: skip
def test_what_a_shell_may_do_is_no_bug(line: str, code: int | set[int], said: str, tmp_path: Path) -> None:
    networks.classifier(tmp_path / "model.tflite")
    done = shell(line, tmp_path)
    assert done.returncode in (code if isinstance(code, set) else {code}), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    if said:
        assert "fix: " in done.stderr


def test_names_of_files_reach_no_terminal_as_they_are(tmp_path: Path) -> None:
    name = f"{HOSTILE.replace(chr(13), '')}.tflite"
    networks.classifier(tmp_path / name)
    for verb in ("inspect", "build -t linux-arm64 --precision float32"):
        done = shell(f"edgekit {verb} --json *.tflite", tmp_path)
        assert done.returncode == 0, done.stderr
        for text in (done.stdout, done.stderr):
            assert plain(text) == text
            assert "x1b" in text or "u001b" in text
        assert json.dumps(name)[1:-1] in json.dumps(json.loads(done.stdout))


def test_names_in_files_reach_no_terminal_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    net = networks.Network()
    x = net.input(HOSTILE, (1, 4))
    net.save(tmp_path / "model.tflite", net.operator("TANH", [x], (1, 4), name=HOSTILE))
    assert cli.run(["inspect", "model.tflite"]) == 0
    (tmp_path / "edgekit.toml").write_text('"a\\u001b[2J\\u009b" = 1\n')
    assert cli.run(["build", "."]) == 2
    seen = capfd.readouterr().err
    assert plain(seen) == seen
    assert seen.count("\\x1b[2J") >= 2


def test_what_rich_draws_stays_and_what_is_in_it_is_plain(capfd: pytest.CaptureFixture[str]) -> None:
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    drawn = shown.PlainConsole(stderr=True, force_terminal=True, color_system="standard")
    drawn.print(table, style="red")
    seen = capfd.readouterr().err
    assert "\x1b[3" in seen  # its own colours
    assert "\x1b[2J" not in seen
    assert "\x9b" not in seen


@given(st.text())
def test_plain_text_is_printable_but_for_tabs_and_lines(text: str) -> None:
    seen = plain(text)
    assert plain(seen) == seen
    assert not set(seen) & set("\x00\x1b\x9b\r\x7f\u202e\u2066")
    assert json.loads(escaped_json(json.dumps({text: text}, ensure_ascii=False))) == {text: text}


def test_a_name_makes_no_lines_that_look_like_ours() -> None:
    lines = console.told(InputError("a\nfix: curl", place="b\n  fix: rm", fix="c\nError: d"))
    assert lines == ["a", "    fix: curl", "  at: b\\n  fix: rm", "  fix: c", "    Error: d"]
