"""The progress bar as a terminal of 80 columns shows it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

WIDTH = 80

SHOWN = """
import sys, time
from rich.console import Console
from edgekit.report.bar import Bar
with Bar(Console(stderr=True)) as bar:
    bar.plan(120)
    for i in range(3):
        bar.begin(sys.argv[1])
        time.sleep(0.15)
        bar.end(sys.argv[1], from_cache=False)
    time.sleep(0.25)
"""


def frames(*command: str) -> list[str]:
    """What a command writes to a terminal of `WIDTH` columns, frame by frame, without colours and moves."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment | {"TERM": "xterm"})
    os.close(its)
    written = b""
    with suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(ours, 4096):
            written += part
    os.close(ours)
    assert process.wait() == 0, written
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    return [frame for frame in re.split(r"[\r\n]+", plain) if frame.strip()]


@pytest.mark.parametrize(
    "step",
    [
        "pack",
        "a_network_with_a_long_name_int8.tflite: block 10 of 20 on arm64-emulated",
        "of[/bold] [red]brackets.tflite: block 1 of 20 on local",
    ],
)
def test_the_remaining_time_is_whole_at_80_columns(step: str) -> None:
    seen = frames(sys.executable, "-c", SHOWN, step)
    last = seen[-1].rstrip()
    found = re.fullmatch(r"\S ━*[╸╺]?━* +(\d+)/120 \d:\d\d:\d\d · (\d:\d\d:\d\d) left (.*)", last)
    assert found is not None, last
    assert found[1] == "3"
    assert found[2] != "0:00:00"
    assert all(len(frame.rstrip()) <= WIDTH for frame in seen)
    assert step.startswith(found[3].removesuffix("…"))
    assert len(found[3]) >= min(len(step), 30)


def test_before_the_first_step_the_time_is_open() -> None:
    assert any("-:--:-- left model.tflite" in frame for frame in frames(sys.executable, "-c", SHOWN, "model.tflite"))
