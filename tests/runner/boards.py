"""Orders for the packed runner, carried out by any interpreter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit import runner
from edgekit.nouns.profile import Block, Deployment, Run
from edgekit.nouns.sensing import Probe

QUICK = Run(warm_up_runs=1, warm_up_s=0.01, min_runs=5, min_s=0.02, max_s=20.0, idle_s=0.3)


class Board:
    """A folder with the packed file in it, and the interpreter that runs it."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder, self.python = folder, python
        self.program = folder / runner.PROGRAM
        self.program.write_bytes(runner.program())
        self.command = [python, str(self.program)]
        self.said = ""
        self._count = 0

    def look(self) -> runner.MachineSeen:
        done = subprocess.run(
            [self.python, str(self.program), "look"], capture_output=True, check=True, stdin=subprocess.DEVNULL
        )
        return runner.seen(done.stdout, self.python)

    def run(
        self, model: Path, inputs: dict[str, Any], *, library: str | None = None, probe: Probe | None = None, **run: Any
    ) -> tuple[Block, Path]:
        """A block and the folder with its files; raises what the host would."""
        self._count += 1
        out = self.folder / f"block{self._count}"
        out.mkdir()
        np.savez(out / "inputs.npz", **inputs)
        deployment = Deployment(
            place=str(self.folder), model=str(model), inputs=str(out / "inputs.npz"), library=library
        )
        made: Run = msgspec.structs.replace(QUICK, probe=probe, **run)
        (out / runner.ORDER).write_bytes(runner.order(deployment, made, str(out)))
        done = subprocess.run([*self.command, str(out)], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        self.said = (done.stdout + done.stderr).decode("utf8", "replace")
        answer = out / runner.ANSWER
        content = answer.read_bytes() if answer.exists() else b""
        return runner.block(content, code=done.returncode, place=model.name, last_words=self.said), out


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
