"""Running files that may be malformed: in a child, because a bad TFLite file can abort its process.

Quantizers write such files now and then (GroupNormalization of an ONNX export: an abort while
tensors get their memory), and a candidate that aborts must cost no more than that candidate.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np

from edgekit.errors import EdgekitError, Unsupported
from edgekit.waist import run
from edgekit.waist.tensors import Array


class Trial:
    """A child process that runs TFLite files; it starts at once and is replaced when it dies.

    Starting takes about 0.3 s of another core, so start it before there is something to run.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self._child = self._started()

    def run(self, content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run a file's content as `edgekit.waist.run.run` does.

        Raises:
            Unsupported: LiteRT cannot load or run it, or dies of it.
        """
        folder = Path(self._folder.name)
        model, given, found = folder / "model.tflite", folder / "inputs.npz", folder / "outputs.npz"
        model.write_bytes(content)
        np.savez(given, allow_pickle=False, **{f"={name}": values for name, values in inputs.items()})
        stdin, stdout = cast("IO[bytes]", self._child.stdin), cast("IO[bytes]", self._child.stdout)
        try:
            stdin.write(json.dumps([str(model), str(given), str(found)]).encode() + b"\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            code = self._child.wait()
            self._end()
            self._child = self._started()
            raise Unsupported(
                f"LiteRT dies of the file ({f'signal {-code}' if code < 0 else f'exit code {code}'}).",
                place="the quantized network",
                fix="choose another precision",
            )
        if problem := json.loads(answer):
            raise Unsupported(problem[0], place=problem[1], fix=problem[2])
        with np.load(found) as outputs:
            return _named(outputs)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgekit.waist.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what the dead child did not read is still in the buffer
                    pipe.close()
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()


def _named(held: Any) -> dict[str, Array]:
    """Arrays by their names, which are written behind a sign: a tensor may be called ``file``."""
    return {name[1:]: held[name] for name in held}


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    for line in requests:
        model, given, found = map(Path, json.loads(line))
        problem: list[str] = []
        try:
            with np.load(given) as inputs:
                outputs = run.run(model, _named(inputs), threads=run.host_threads())
            np.savez(found, allow_pickle=False, **{f"={name}": values for name, values in outputs.items()})
        except EdgekitError as error:
            problem = [error.problem, error.place, error.fix]
        replies.write(json.dumps(problem).encode() + b"\n")
        replies.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
