"""How long a file takes on this host's CPU."""

import time
from pathlib import Path

import numpy as np

from edgekit.backends.openvino import effort, reading
from edgekit.backends.openvino.libraries import CORE, FAILURES, ONE_THREAD
from edgekit.host import deadline
from edgekit.waist.run import TIMED_S

DEVICE = ["nncf", "quantization", "target_device"]
"""Where NNCF writes down in a file for which device it chose its integers."""

HERE = {"ANY", "CPU"}


def best_ms(artifact: Path) -> float | None:
    """The fastest of the runs that fit into `TIMED_S` on one thread (two at least), in ms, on inputs of zeros.

    Raises:
        Unsupported: the CPU plugin cannot read, compile or run it.
    """
    try:
        model = CORE.read_model(artifact)
        if model.has_rt_info(DEVICE) and model.get_rt_info(DEVICE).astype(str) not in HERE:
            return None
        with deadline.inference(lambda: effort.of(artifact), file=str(artifact)):
            compiled = CORE.compile_model(model, "CPU", ONE_THREAD)
            request = compiled.create_infer_request()
            request.infer({port: np.zeros(port.shape, port.element_type.to_dtype()) for port in compiled.inputs})
        best, end = np.inf, time.monotonic() + TIMED_S
        while best == np.inf or time.monotonic() < end:
            start = time.perf_counter()
            with deadline.inference(lambda: effort.of(artifact), file=str(artifact)):
                request.infer()
            best = min(best, time.perf_counter() - start)
    except FAILURES as error:
        raise reading.cannot_run(artifact, error) from error
    return float(best * 1000)
