"""Networks with loops that NNCF runs hundreds of times, itself: one that never ends would keep it for ever."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.backends.openvino import effort
from edgekit.backends.openvino.libraries import CORE, EXACT, ov
from edgekit.host import deadline
from edgekit.waist.tensors import Array

AT_LEAST = 18
"""How many times the seconds of an inference NNCF may take, whatever it runs: three minutes."""

PASSES = 1000
"""How often NNCF may take the time of all samples: once for each operator that it ranks."""


@contextmanager
def running(model: Any, source: Path) -> Iterator[Callable[[dict[str, Array]], Any]]:
    """While open, something that runs a model on a sample, each time within the time of an inference.

    Raises:
        RuntimeError: the CPU plugin cannot compile or run it.
        EndlessError: by the process that serves (`edgekit.host.deadline`), if a run takes longer.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        saved = Path(folder) / "network.xml"
        ov.save_model(model, saved, compress_to_fp16=False)
        compiled = CORE.compile_model(model, "CPU", EXACT)

        def run(sample: dict[str, Array]) -> Any:
            with deadline.inference(lambda: effort.of(saved), file=str(source)):
                return compiled(sample)

        yield run


@contextmanager
def bounded(model: Any, samples: list[dict[str, Array]], source: Path) -> Iterator[None]:
    """While open, NNCF works on a model. If that has loops, all samples are run before, each in the time of a run.

    What ends in floats may not end in integers, so that NNCF's own time is bounded by what the samples took.

    Raises:
        RuntimeError: the CPU plugin cannot run it.
        EndlessError: by the process that serves, if something takes longer.
    """
    if not any(node.get_type_name() in effort.LOOPS for node in model.get_ordered_ops()):
        yield
        return
    started = time.monotonic()
    with running(model, source) as run:
        for sample in samples:
            run(sample)
    share = AT_LEAST + PASSES * (time.monotonic() - started) / deadline.allowed_s()
    with deadline.step(f"Quantizing {source.name}", str(source), share):
        yield
