"""Running files that may be malformed: in a child, because a bad TFLite file can abort its process.

Quantizers write such files now and then (GroupNormalization of an ONNX export: an abort while
tensors get their memory), and a candidate that aborts must cost no more than that candidate.
"""

import atexit
import sys
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import msgspec

from edgekit.errors import Unsupported
from edgekit.host import deadline, serving
from edgekit.host.child import Child, DiedError, GarbledError
from edgekit.host.death import named
from edgekit.waist import run
from edgekit.waist.tensors import Array, arrays, write_npz


class TrialRun(msgspec.Struct):
    """Files for one run: the model, and ``.npz`` of its inputs and outputs."""

    model: str
    inputs: str
    outputs: str


class Trial:
    """A child process that runs TFLite files; it starts at once and is replaced when it dies.

    Starting takes about 0.3 s of another core, so start it before there is something to run, or take `kept`.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self._running = threading.Lock()
        self._child = self._started()

    def run(self, content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run a file's content as `edgekit.waist.run.run` does.

        Raises:
            Unsupported: LiteRT cannot load or run it, dies of it, or takes too long.
        """
        with self._running:
            return self._run(content, inputs)

    def _run(self, content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
        folder = Path(self._folder.name)
        model, given, found = folder / "model.tflite", folder / "inputs.npz", folder / "outputs.npz"
        model.write_bytes(content)
        write_npz(given, inputs)
        if not self._child.alive:
            self._child.close()
            self._child = self._started()
        try:
            self._child.ask(msgspec.json.encode(TrialRun(str(model), str(given), str(found))))
        except (DiedError, GarbledError) as error:
            code = named(error.code) if isinstance(error, DiedError) else str(error)
            self._child = self._started()
            raise Unsupported(
                f"LiteRT dies of the file ({code}).", place="the quantized network", fix="choose another precision"
            ) from error
        return arrays(found)

    def _started(self) -> Child:
        log = Path(self._folder.name) / "log.txt"
        return Child("edgekit.waist.trial", str(deadline.allowed_s()), log=log, apart=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its files."""
        self._child.close()
        self._folder.cleanup()


def kept() -> Trial:
    """The trial of this process, for all files that it tries: a search builds dozens."""
    return _kept(deadline.allowed_s())


@cache
def _kept(seconds: float) -> Trial:  # noqa: ARG001  what an inference may take is told to the child when it starts
    made = Trial()
    atexit.register(made.close)
    return made


def _answer(line: bytes) -> None:
    job = msgspec.json.decode(line, type=TrialRun)
    with serving.remedied("the quantized network"):
        outputs = run.run(Path(job.model), arrays(Path(job.inputs)), threads=run.host_threads())
        write_npz(Path(job.outputs), outputs)


if __name__ == "__main__":
    deadline.allow(float(sys.argv[1]))
    serving.serve(_answer)
