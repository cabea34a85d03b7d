"""Latency of files beside each other, as CPU time of one thread: what else the host does is not in it."""

import time
from pathlib import Path

import numpy as np

from edgekit.waist import run

FEWEST = 5
"""Rounds, however long a file takes."""


def medians_ms(*files: Path, seconds: float = 3.0) -> tuple[float, ...]:
    """The median CPU time of each file in ms. They take turns, one run unmeasured before each that counts."""
    interpreters = [run.interpreter(file) for file in files]
    for interpreter in interpreters:
        for detail in interpreter.get_input_details():
            values = np.random.default_rng(0).random(detail["shape"])
            floats = np.dtype(detail["dtype"]).kind == "f"
            interpreter.set_tensor(detail["index"], (values if floats else values * 0).astype(detail["dtype"]))
    times: list[list[float]] = [[] for _ in files]
    end = time.monotonic() + seconds
    while len(times[0]) < FEWEST or time.monotonic() < end:
        for taken, interpreter in zip(times, interpreters, strict=True):
            interpreter.invoke()
            start = time.thread_time()
            interpreter.invoke()
            taken.append(time.thread_time() - start)
    return tuple(float(np.median(taken)) * 1000 for taken in times)
