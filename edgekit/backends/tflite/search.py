"""Where a quantized network loses its signal, found by keeping parts of it float and measuring.

A power spectrum before a logarithm, a recurrent cell: what destroys the signal is mostly one stretch of
the network. Operators stand in the order of execution, so the stretch has an end (the fewest first
operators that must stay float for the rest to serve) and a beginning, each found by bisection.
"""

from collections.abc import Callable

GOAL_DB = 20.0
"""SQNR that a stretch of float operators has to reach; 15 dB is where verification warns."""

ENOUGH_DB = 1.0
"""What may be lost when the stretch is made shorter."""


def stretch(operators: int, score: Callable[[range], float]) -> range | None:
    """The shortest stretch of operators that lets the network reach `GOAL_DB` when it stays float.

    Args:
        operators: how many there are.
        score: SQNR in dB with a stretch of them float; -inf if such a file cannot be made. It is
            asked about 2·log2(operators) times.

    Returns:
        None if no stretch reaches it, short of all operators.
    """
    end, reached = _least(1, operators, lambda k: score(range(k)))
    if end is None:
        start, _ = _least(1, operators, lambda k: score(range(operators - k, operators)))
        return None if start is None else range(operators - start, operators)
    wanted = max(GOAL_DB, reached - ENOUGH_DB)
    length, _ = _least(1, end, lambda k: score(range(end - k, end)), wanted)
    return range(end) if length is None else range(end - length, end)


def most(operators: int) -> int:
    """How often `stretch` asks at most, with the file that is kept in the end."""
    return 3 * operators.bit_length() + 1


def _least(low: int, high: int, score: Callable[[int], float], wanted: float = GOAL_DB) -> tuple[int | None, float]:
    """The least number in low..high-1 whose score is what is wanted, and that score, if scores grow with numbers."""
    found, reached = None, 0.0
    while low < high:
        middle = (low + high) // 2
        got = score(middle)
        if got >= wanted:
            found, reached, high = middle, got, middle
        else:
            low = middle + 1
    return found, reached
