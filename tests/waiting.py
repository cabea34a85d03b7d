"""Waiting for what another process or thread is about to do."""

import time
from collections.abc import Callable

LIMIT_S = 60.0
"""Longer than anything takes on a busy machine, so that reaching it is a failure."""


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)
