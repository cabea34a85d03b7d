"""Samples of sensors beside a block, on this machine's clock."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .refusal import first_line


class Sensor:
    """A process beside the block that samples the order's probe, so that the loop is not disturbed."""

    def __init__(self, order: dict[str, Any], out: Path) -> None:
        self._probe, self._out = order.get("probe"), out
        self._process: subprocess.Popen[bytes] | None = None
        if self._probe is None:
            return
        if self._probe["interval_s"] is None:
            self._write(sampled(self._probe))
        else:
            (out / "probe.json").write_text(json.dumps(self._probe), encoding="utf8")
            command = [sys.executable, str(Path(sys.argv[0]).resolve()), "sense", str(out)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            self._process.stdout.readline()  # its first sample is written

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with (self._out / "sensed.jsonl").open("a", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def stop(self) -> str | None:
        """Take the last samples; the name of the file that holds all."""
        if self._probe is None:
            return None
        if self._process is None:
            self._write(sampled(self._probe))
        else:
            self._process.communicate(timeout=30)
        return "sensed.jsonl"


def sampled(probe: dict[str, Any]) -> list[dict[str, Any]]:
    """One reading of every file and command of a probe."""
    rows = []
    for source in (*probe["files"], *probe["commands"]):
        begin = time.monotonic()
        row: dict[str, Any] = {"source": source, "text": None, "error": ""}
        try:
            if source in probe["files"]:
                row["text"] = Path(source).read_text(encoding="utf8", errors="replace")
            else:
                done = subprocess.run(source, shell=True, capture_output=True, text=True, timeout=10, check=False)
                row["text"] = done.stdout if done.returncode == 0 else None
                row["error"] = "" if done.returncode == 0 else (done.stderr.strip() or f"exit {done.returncode}")
        except (OSError, subprocess.TimeoutExpired) as error:
            row["error"] = getattr(error, "strerror", None) or first_line(error)
        end = time.monotonic()
        rows.append({**row, "t_s": (begin + end) / 2, "took_s": end - begin})
    return rows


def sense(folder: Path) -> None:
    """Sample until standard input ends; a first line on standard output says that it began."""
    probe = json.loads((folder / "probe.json").read_text(encoding="utf8"))
    stream = None
    if probe.get("stream"):
        stream = subprocess.Popen(probe["stream"], shell=True, stdout=subprocess.PIPE, start_new_session=True)
    with (folder / "sensed.jsonl").open("a", encoding="utf8") as file:
        due, told = time.monotonic(), False
        while True:
            rows = sampled(probe)
            file.writelines(json.dumps(row) + "\n" for row in rows)
            if not told and (stream is None or rows):
                told = tell()
            due += probe["interval_s"]
            while True:
                watched: list[Any] = [sys.stdin.buffer, *([stream.stdout] if stream else [])]
                ready = select.select(watched, [], [], max(due - time.monotonic(), 0))[0]
                if stream is not None and stream.stdout in ready:
                    line = stream.stdout.readline().decode("utf8", "replace") if stream.stdout else ""
                    row = {"source": probe["stream"], "t_s": time.monotonic(), "took_s": 0.0, "text": line, "error": ""}
                    file.write(json.dumps(row) + "\n")
                    told = told or tell()
                    if not line:
                        stream = None
                elif sys.stdin.buffer in ready:
                    file.writelines(json.dumps(row) + "\n" for row in sampled(probe))
                    if stream is not None:
                        os.killpg(stream.pid, 15)
                    return
                else:
                    break


def tell() -> bool:
    """Say on standard output that sampling began."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    return True
