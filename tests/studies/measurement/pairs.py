"""Pairs of real blocks on this host by the protocol: each a fresh process, in turns that are drawn."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.measure import protocol
from edgekit.measure.protocol import Bench
from edgekit.measure.subject import subjects, write_inputs
from edgekit.nouns.profile import Block, Run

SHORT = Run(warm_up_s=0.1, min_s=0.3, min_runs=36, max_s=5.0)
"""A block as short as it may be: 0.1 s of warm-up, 0.3 s of timing."""


class Arm(msgspec.Struct, frozen=True):
    """What is compared: a file and how it is run."""

    name: str
    file: Path
    threads: int = 1


@contextmanager
def local() -> Iterator[Bench]:
    """This host, with a session of its own."""
    with tempfile.TemporaryDirectory() as top, Session(Store(Path(top) / "store"), Path(top) / "log.txt") as session:
        (device, *_) = session.driver("local").find({})
        yield Bench(session, device)


def medians(
    bench: Bench, arms: Sequence[Arm], pairs: int, seed: int, run: Run = SHORT
) -> tuple[list[float], list[float]]:
    """Median latency in ms of every block of both arms, ``[pairs]`` each; index *i* of both is one pair.

    As `edgekit.measure.protocol.course` does it, but with a number of threads for each arm.
    """
    found: tuple[list[float], list[float]] = ([], [])
    runs = [msgspec.structs.replace(run, threads=arm.threads) for arm in arms]
    files = [subjects(bench.session, arm.file)[0] for arm in arms]
    with protocol.workbench() as top:
        inputs = [top / f"inputs-{i}.npz" for i in range(len(arms))]
        for subject, path in zip(files, inputs, strict=True):
            write_inputs(bench.session, subject, None, 0, path)
        with protocol.deployments(bench, files, inputs, runs) as made:
            for i, which in enumerate(protocol.turns(len(arms), pairs, seed)):
                found[which].append(median_ms(protocol.run_block(bench, made[which], runs[which], top / f"block-{i}")))
    return found


def median_ms(block: Block) -> float:
    """A block's median latency."""
    assert block.latency is not None
    assert block.latency.median_ms is not None
    return block.latency.median_ms
