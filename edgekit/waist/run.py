"""Running a TFLite file with LiteRT, one sample at a time, as a phone does."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit.errors import Unsupported, first_line
from edgekit.host import deadline, events
from edgekit.waist import effort
from edgekit.waist.tensors import Array, stacked

Kernels = Literal["", "builtin", "reference"]
"""Which kernels compute: those that phones take by default, TFLite's own without XNNPACK, or its plain loops."""

RESOLVERS = {
    "": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def interpreter(path: Path, *, threads: int = 1, keep_tensors: bool = False, kernels: Kernels = "") -> Interpreter:
    """An interpreter with its tensors allocated.

    Args:
        path: the TFLite file.
        threads: CPU threads.
        keep_tensors: every intermediate tensor stays readable after a run (and XNNPACK is off).
        kernels: on which to run.

    Raises:
        Unsupported: LiteRT cannot load the file, or cannot give its tensors memory.
    """
    resolver = RESOLVERS[kernels or ("builtin" if keep_tensors else "")]
    try:
        made = Interpreter(
            model_path=str(path),
            num_threads=threads,
            experimental_preserve_all_tensors=keep_tensors,
            experimental_op_resolver_type=resolver,
        )
        with deadline.inference(lambda: effort.of(path), file=str(path)):
            made.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise Unsupported(
            f"LiteRT cannot load {path.name}: {first_line(error)}",
            place=str(path),
            fix="see the operators named; simplify them in the model or choose another precision",
        ) from error
    return made


def run(path: Path, inputs: Mapping[str, Sequence[Array] | Array], *, threads: int = 1) -> dict[str, Array]:
    """Run a TFLite file over samples.

    Args:
        path: the TFLite file.
        inputs: for each input's name in the file its samples ``[N, *shape]`` in the file's dtype.
        threads: CPU threads.

    Returns:
        For each output's name in the file an array ``[N, *shape]``, in the file's dtype. Samples run
        one after another in one interpreter without any reset, as apps do it: what a run leaves
        behind, the next one finds.

    Raises:
        Unsupported: LiteRT cannot load or run it.
    """
    collected: dict[str, list[Array]] = {}
    for row in each(path, inputs, threads=threads):
        for name, values in row.items():
            collected.setdefault(name, []).append(values)
    return {name: stacked(values) for name, values in collected.items()}


def each(
    path: Path, inputs: Mapping[str, Sequence[Array] | Array], *, threads: int = 1, kernels: Kernels = ""
) -> Iterator[dict[str, Array]]:
    """The same as `run`, giving the outputs ``[*shape]`` of one sample after another: all may not fit into memory."""
    made = interpreter(path, threads=threads, kernels=kernels)
    into = {detail["name"]: detail["index"] for detail in made.get_input_details()}
    out = {detail["name"]: detail["index"] for detail in made.get_output_details()}
    count = len(next(iter(inputs.values())))
    for i in range(count):
        events.progress(i / count, "sample by sample")
        for name, index in into.items():
            made.set_tensor(index, inputs[name][i])
        invoke(made, path)
        yield {name: made.get_tensor(index) for name, index in out.items()}


TIMED_S = 0.4
"""How long a file is run to see how fast it is."""


def best_ms(path: Path, for_s: float = TIMED_S) -> float:
    """The fastest of the runs that fit into some seconds on one thread (two at least), in ms, on inputs of zeros.

    It is the thread's CPU time: what else the host does would make one of two like files look slower.

    Raises:
        Unsupported: LiteRT cannot load or run it.
    """
    made = interpreter(path)
    for detail in made.get_input_details():
        made.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    invoke(made, path)
    best, end = np.inf, time.monotonic() + for_s
    while best == np.inf or time.monotonic() < end:
        best = min(best, timed_s(made, path, time.thread_time))
    return float(best * 1000)


def invoke(made: Interpreter, path: Path) -> None:
    """Run once, in the time that `edgekit.host.deadline` gives it; the complaint names the file.

    Raises:
        Unsupported: an operator fails while running.
    """
    with _looked_after(path):
        made.invoke()


def timed_s(made: Interpreter, path: Path, clock: Callable[[], float]) -> float:
    """The same; what it takes in seconds by a clock, without the looking after it.

    Raises:
        Unsupported: an operator fails while running.
    """
    with _looked_after(path):
        start = clock()
        made.invoke()
        return clock() - start


@contextmanager
def _looked_after(path: Path) -> Iterator[None]:
    try:
        with deadline.inference(lambda: effort.of(path), file=str(path)):
            yield
    except (RuntimeError, ValueError) as error:
        raise Unsupported(
            f"LiteRT cannot run {path.name}: {first_line(error)}",
            place=str(path),
            fix="see the operator named; simplify it in the model or choose another precision",
        ) from error


def value(made: Interpreter, tensor: int) -> Array | None:
    """A tensor's content after a run, a copy; None if LiteRT gave it no memory."""
    try:
        content: Array = made.get_tensor(tensor)
    except ValueError:
        return None
    return content


def host_threads() -> int:
    """CPU threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
