"""Samples of sensors beside a block, on this machine's clock."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from .refusal import first_line

BEGIN_S = 5.0
"""How long a block waits for the first sample of a stream."""

COMMAND_S = 10.0
"""The longest that a command of a probe may take."""


class Sensor:
    """A process beside the block that samples a probe, so that the loop is not disturbed.

    ``notes`` say what went wrong.
    """

    def __init__(self, probe: dict[str, Any], out: Path) -> None:
        self._probe, self._out = probe, out
        self._process: subprocess.Popen[bytes] | None = None
        self.notes: list[str] = []
        if self._probe["interval_s"] is None and not self._probe["stream"]:
            self._write(sampled(self._probe))
            return
        (out / "probe.json").write_text(json.dumps(self._probe), encoding="utf8")
        command = [sys.executable, str(Path(sys.argv[0]).resolve()), "sense", str(out)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # its first sample is written, or none came in time

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with (self._out / "sensed.jsonl").open("a", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def stop(self) -> str | None:
        """Take the last samples; the name of the file that holds all."""
        if self._process is None:
            self._write(sampled(self._probe))
            return "sensed.jsonl"
        try:
            self._process.communicate(timeout=3 * COMMAND_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.notes.append("the sensors did not stop in time; their last samples are missing")
        else:
            if self._process.returncode:
                self.notes.append(f"sampling the sensors ended with code {self._process.returncode}")
        return "sensed.jsonl" if (self._out / "sensed.jsonl").exists() else None


def sampled(probe: dict[str, Any]) -> list[dict[str, Any]]:
    """One reading of every file and command of a probe."""
    return [_file(path) for path in probe["files"]] + [_command(line) for line in probe["commands"]]


def _row(source: str, begin: float, text: str | None, error: str = "") -> dict[str, Any]:
    end = time.monotonic()
    return {"t_s": (begin + end) / 2, "source": source, "took_s": end - begin, "text": text, "error": error}


def _file(path: str) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  unbuffered: one read, one reading of the sensor
            text = (file.read(1 << 16) or b"").decode("utf8", "replace")
    except OSError as error:
        return _row(path, begin, None, error.strerror or first_line(error))
    return _row(path, begin, text)


def _command(line: str) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        done = subprocess.run(
            line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _row(line, begin, None, f"it takes longer than {COMMAND_S:.0f} s")
    if done.returncode:
        words = done.stderr.decode("utf8", "replace").strip()
        return _row(line, begin, None, words or f"exit {done.returncode}")
    return _row(line, begin, done.stdout.decode("utf8", "replace"))


class Stream:
    """A command that runs all the time and prints lines."""

    def __init__(self, line: str) -> None:
        self._line, self._rest = line, b""
        self._process = subprocess.Popen(
            line, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self.pipe: IO[bytes] | None = self._process.stdout

    def lines(self) -> list[dict[str, Any]]:
        """What came by now, as samples; a last one with an error when the command has ended."""
        assert self.pipe is not None
        now, got = time.monotonic(), os.read(self.pipe.fileno(), 1 << 16)
        *whole, self._rest = (self._rest + got).split(b"\n")
        rows = [
            {"t_s": now, "source": self._line, "took_s": 0.0, "text": text.decode("utf8", "replace"), "error": ""}
            for text in whole
        ]
        if not got:
            self.pipe = None
            rows.append(_row(self._line, now, None, f"it ended with code {self._process.wait()}"))
        return rows

    def stop(self) -> None:
        """End the command and all that it started."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


def sense(folder: Path) -> None:
    """Sample until standard input ends; a first line on standard output says that it began."""
    if hasattr(os, "sched_setaffinity"):  # the block may be pinned to a core; this is not to disturb it there
        with suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
    probe = json.loads((folder / "probe.json").read_text(encoding="utf8"))
    stream = Stream(probe["stream"]) if probe["stream"] else None
    with (folder / "sensed.jsonl").open("a", encoding="utf8") as file:
        try:
            _loop(probe, stream, file)
        finally:
            if stream is not None:
                stream.stop()


def _loop(probe: dict[str, Any], stream: Stream | None, file: IO[str]) -> None:
    begin = time.monotonic()
    due, told, going = begin, False, True
    while going:
        now = time.monotonic()
        if now >= due:
            _put(file, sampled(probe))
            due = max(due + (probe["interval_s"] or 1.0), time.monotonic())
            told = told or (stream is None and _tell())
        told = told or (now - begin > BEGIN_S and _tell())
        pipe: Any = stream.pipe if stream is not None else None
        wait_s = max(min(due - time.monotonic(), 0.5), 0)
        ready = select.select([0] if pipe is None else [0, pipe], [], [], wait_s)[0]
        if stream is not None and pipe in ready:
            _put(file, stream.lines())
            told = told or _tell()
        going = 0 not in ready
    _put(file, sampled(probe))


def _put(file: IO[str], rows: list[dict[str, Any]]) -> None:
    file.writelines(json.dumps(row) + "\n" for row in rows)
    file.flush()


def _tell() -> bool:
    """Say on standard output that sampling began."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    return True
