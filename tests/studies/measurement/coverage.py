"""How often intervals at 95 % contain the truth at the few blocks there are: by simulation, for several methods.

Usage: python -m tests.studies.measurement.coverage [--samples 4000]

Writes its section of docs/explanation/measurement.md.
"""

import argparse
import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from edgekit.measure.statistics import compare, percentile, student
from tests.studies.measurement import page

Array = NDArray[np.float64]

NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal, sd 17 %": lambda r, size: 0.17 * r.standard_normal(size),
    "heavy tails (t, 2 degrees)": lambda r, size: 0.1 * r.standard_t(2, size),
    "two modes, 30 % of processes 1.4 × slower": lambda r, size: (
        0.02 * r.standard_normal(size) + 0.35 * (r.random(size) < 0.3)
    ),
    "skewed (exponential)": lambda r, size: 0.17 * r.exponential(size=size),
    "5 % of blocks 5 × slower": lambda r, size: 0.03 * r.standard_normal(size) + 1.6 * (r.random(size) < 0.05),
}
"""What a process does to the logarithm of its latency."""

RESAMPLES = 500


def drawn(x: Array, rng: np.random.Generator) -> Array:
    """Bootstrap samples of one sample, ``[RESAMPLES, n]``."""
    return x[rng.integers(0, len(x), (RESAMPLES, len(x)))]


def bootstrap(x: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The percentile bootstrap of the mean (Efron 1979)."""
    low, high = np.quantile(drawn(x, rng).mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def expanded(x: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The expanded percentile bootstrap (Hesterberg 2015, Am. Stat. 69:371)."""
    n = len(x)
    tail = math.erfc(math.sqrt(n / (n - 1)) * student(n - 1) / math.sqrt(2)) / 2
    low, high = np.quantile(drawn(x, rng).mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_t(x: Array, rng: np.random.Generator, *, symmetric: bool = False) -> tuple[float, float]:
    """The bootstrap-t of the mean (Efron & Tibshirani 1993, §12.5)."""
    sample = drawn(x, rng)
    away, spread = sample.mean(axis=1) - x.mean(), np.maximum(sample.std(axis=1, ddof=1), 1e-12)
    t, scale = away / spread, x.std(ddof=1)
    if symmetric:
        half = float(np.quantile(np.abs(t), 0.95, method="higher") * scale)
        return float(x.mean()) - half, float(x.mean()) + half
    low, high = np.quantile(t, [0.025, 0.975])
    return float(x.mean() - high * scale), float(x.mean() - low * scale)


def signed_rank(x: Array, rng: np.random.Generator) -> tuple[float, float]:
    """edgekit's own."""
    found = compare(np.exp(x).tolist(), [1.0] * len(x))
    assert found.low is not None
    assert found.high is not None
    return math.log(found.low), math.log(found.high)


METHODS: dict[str, Callable[[Array, np.random.Generator], tuple[float, float]]] = {
    "percentile bootstrap": bootstrap,
    "expanded percentile": expanded,
    "bootstrap-t": bootstrap_t,
    "bootstrap-t, symmetric": lambda x, rng: bootstrap_t(x, rng, symmetric=True),
    "**signed rank**": signed_rank,
}


def log_ratios(noise: str, pairs: int, samples: int, seed: int = 0) -> Array:
    """Log-ratios of pairs of one and the same artifact, ``[samples, pairs]``: the truth is 0."""
    rng = np.random.default_rng(seed)
    return NOISES[noise](rng, (samples, pairs)) - NOISES[noise](rng, (samples, pairs))


def covers(
    method: Callable[[Array, np.random.Generator], tuple[float, float]], ratios: Array, shift: float = 0.0
) -> tuple[float, float]:
    """How often the interval contains the truth, and its median width."""
    rng = np.random.default_rng(1)
    ends = np.array([method(row + shift, rng) for row in ratios])
    inside = (ends[:, 0] <= shift + 1e-12) & (shift - 1e-12 <= ends[:, 1])
    return float(inside.mean()), float(np.median(ends[:, 1] - ends[:, 0]))


def ratio_table(pairs: int, samples: int) -> Iterable[str]:
    """Coverage and width of every method for every noise, in Markdown."""
    yield f"| {pairs} pairs: coverage (median width of the log-ratio) | {' | '.join(METHODS)} |"
    yield f"| --- |{' ---: |' * len(METHODS)}"
    for noise in NOISES:
        ratios = log_ratios(noise, pairs, samples)
        cells = (f"{100 * share:.1f} % ({width:.2f})" for share, width in (covers(m, ratios) for m in METHODS.values()))
        yield f"| {noise} | {' | '.join(cells)} |"


def processes(between: float, within: float, count: int, runs: int, rng: np.random.Generator) -> list[Array]:
    """Latencies of processes that differ by ``between``, of inferences that do by ``within`` (sd of the logarithm)."""
    own = np.exp(between * rng.standard_normal((count, 1)) + within * rng.standard_normal((count, runs)))
    return list(own)


def clustered(blocks: list[Array], q: float, rng: np.random.Generator) -> tuple[float, float]:
    """The percentile bootstrap over whole blocks."""
    rows = np.array(blocks)
    chosen = rows[rng.integers(0, len(rows), (200, len(rows)))].reshape(200, -1)
    low, high = np.quantile(np.quantile(chosen, q, axis=1), [0.025, 0.975])
    return float(low), float(high)


def percentile_row(between: float, within: float, q: float, samples: int) -> str:
    """Coverage of the cluster bootstrap and of edgekit's interval, and how often that has no upper limit."""
    rng = np.random.default_rng(2)
    truth = float(np.quantile(np.concatenate(processes(between, within, 400_000, 1, rng)), q))
    own, open_, other = 0, 0, 0
    for _ in range(samples):
        blocks = processes(between, within, 10, 103, rng)
        found = percentile(blocks, q)
        own += (found.low or 0) <= truth <= (found.high or math.inf)
        open_ += found.high is None
        low, high = clustered(blocks, q, rng)
        other += low <= truth <= high
    cells = f"{100 * other / samples:.0f} % | {100 * own / samples:.0f} % | {100 * open_ / samples:.0f} %"
    return f"| {100 * between:g} %, {100 * within:g} % | p{100 * q:g} | {cells} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.measurement.coverage")
    parser.add_argument("--samples", type=int, default=4000)
    samples = parser.parse_args().samples
    lines = [f"`python -m tests.studies.measurement.coverage`: {samples} simulated comparisons a cell.\n"]
    for pairs in (6, 10, 20):
        lines += [*ratio_table(pairs, samples), ""]
    lines += [
        f"10 blocks of 103 inferences, {samples // 10} simulations a row:\n",
        "| sd between, within processes | | cluster bootstrap covers | **edgekit's** covers | of which without upper limit |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for between, within in ((0.0, 0.05), (0.02, 0.05), (0.17, 0.3), (0.17, 0.05)):
        lines += [percentile_row(between, within, q, samples // 10) for q in (0.9, 0.99)]
    page.write("coverage", "\n".join(lines))


if __name__ == "__main__":
    main()
