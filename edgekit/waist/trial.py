"""Running files that may be malformed: in a child, because a bad TFLite file can abort its process.

Quantizers write such files now and then (GroupNormalization of an ONNX export: an abort while
tensors get their memory), and a candidate that aborts must cost no more than that candidate.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from edgekit.errors import Unsupported
from edgekit.host import serving
from edgekit.host.child import Child, DiedError, GarbledError
from edgekit.host.death import named
from edgekit.waist import run
from edgekit.waist.tensors import Array


class TrialRun(msgspec.Struct):
    """Files for one run: the model, and ``.npz`` of its inputs and outputs."""

    model: str
    inputs: str
    outputs: str


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
        if not self._child.alive:
            self._child = self._started()
        try:
            self._child.ask(msgspec.json.encode(TrialRun(str(model), str(given), str(found))))
        except (DiedError, GarbledError) as error:
            code = named(error.code) if isinstance(error, DiedError) else str(error)
            self._child = self._started()
            raise Unsupported(
                f"LiteRT dies of the file ({code}).", place="the quantized network", fix="choose another precision"
            ) from error
        with np.load(found) as outputs:
            return _named(outputs)

    def _started(self) -> Child:
        return Child("edgekit.waist.trial", log=Path(self._folder.name) / "log.txt", apart=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()
        self._folder.cleanup()


def _named(held: Any) -> dict[str, Array]:
    """Arrays by their names, which are written behind a sign: a tensor may be called ``file``."""
    return {name[1:]: held[name] for name in held}


def _answer(line: bytes) -> None:
    job = msgspec.json.decode(line, type=TrialRun)
    with serving.remedied("the quantized network"):
        with np.load(job.inputs) as inputs:
            outputs = run.run(Path(job.model), _named(inputs), threads=run.host_threads())
        np.savez(job.outputs, allow_pickle=False, **{f"={name}": values for name, values in outputs.items()})


if __name__ == "__main__":
    serving.serve(_answer)
