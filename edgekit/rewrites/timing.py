"""Latency of files beside each other, as CPU time of one thread: what else the host does is not in it."""

import time
from pathlib import Path

import numpy as np

from edgekit.errors import Unsupported
from edgekit.waist import run

FEWEST = 5
"""Rounds, however long a file takes."""

GLANCE_S, LOOK_S = 0.04, 0.6
"""How long two files take turns: first, and again if the second seems slower."""

SLOWER = 1.05
"""How many times as long is slower: medians of two copies of one file differ by less."""


def is_slower(before: Path, after: Path) -> bool:
    """Whether a file takes longer than another on this host; False for what LiteRT does not run on zeros or noise."""
    try:
        for seconds in (GLANCE_S, LOOK_S):
            one, other = medians_ms(before, after, seconds=seconds)
            if other <= SLOWER * one:
                return False
    except Unsupported:
        return False
    return True


def medians_ms(*files: Path, seconds: float = 3.0) -> tuple[float, ...]:
    """The median CPU time of each file in ms. They take turns, one run unmeasured before each that counts.

    Raises:
        Unsupported: LiteRT cannot load or run one.
    """
    interpreters = [run.interpreter(file) for file in files]
    for interpreter in interpreters:
        for detail in interpreter.get_input_details():
            values = np.random.default_rng(0).random(detail["shape"])
            floats = np.dtype(detail["dtype"]).kind == "f"
            interpreter.set_tensor(detail["index"], (values if floats else values * 0).astype(detail["dtype"]))
    times: list[list[float]] = [[] for _ in files]
    end = time.monotonic() + seconds
    while len(times[0]) < FEWEST or time.monotonic() < end:
        for taken, interpreter, file in zip(times, interpreters, files, strict=True):
            run.invoke(interpreter, file)
            taken.append(run.timed_s(interpreter, file, time.thread_time))
    return tuple(float(np.median(taken)) * 1000 for taken in times)
