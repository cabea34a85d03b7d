"""Samples in the cache, and what the source computes on them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.nouns.base import Noun

if TYPE_CHECKING:
    from edgekit.samples import Samples
from edgekit.steps.reading import OpenedNetwork


class Given(msgspec.Struct, frozen=True):
    """Samples that fit a network: ``settings``, ``inputs`` and ``seed`` decide them, ``read`` loads them.

    Whatever the cache can answer from what decides them needs neither the samples nor numpy.
    """

    settings: dict[str, Any]
    inputs: dict[str, Input]
    read: "Callable[[], Samples]"
    seed: int | None = None


class Kept(Noun, frozen=True, kw_only=True):
    """Samples in the cache: ``used`` of ``total``, evenly taken, with the digests of these and of all.

    ``notes`` are those of `edgekit.samples.Samples`. ``constant``: no float or 8-bit input has more than
    one value. ``names`` say what each sample is, where they are probes.
    """

    origin: str
    total: int
    total_sha256: str
    used: int
    sha256: str
    labelled: bool
    notes: tuple[str, ...]
    constant: bool = False
    names: tuple[str, ...] = ()


def keep(session: Session, given: Given, most: int | None = None) -> Answer[Kept]:
    """At most ``most`` samples as ``samples.npz`` (and ``labels.npy``) in the cache, where worker processes read them.

    Raises:
        InputError: they cannot be read, or do not fit the network.
    """

    def write(out: Path) -> Kept:
        every = given.read()
        used = every if most is None else every.take(most)
        used.save(out / "samples.npz", labels=out / "labels.npy")
        return Kept(
            origin=every.origin,
            total=len(every),
            total_sha256=every.sha256,
            used=len(used),
            sha256=used.sha256,
            labelled=used.labels is not None,
            notes=used.notes,
            constant=used.constant,
        )

    question = Question(
        what="samples",
        modules=("edgekit.samples", __name__),
        settings={"most": most} | given.settings,
        inputs=given.inputs,
        seed=given.seed,
    )
    return session.ask(question, Kept, write)


def content(samples: Answer[Kept]) -> Known:
    """Samples as a step's input: known by their values, in whatever files these lie."""
    return Known(samples.result.sha256, samples.steps)


OUTPUTS = "outputs.npz"
"""The file of a `reference`: ``[N, *source_shape]`` under the source's names."""


def reference(session: Session, network: OpenedNetwork, samples: Answer[Kept], doing: str = "running") -> Answer[int]:
    """The source's own outputs, as `OUTPUTS`; what came between it and a file has no part in them."""

    def run(out: Path) -> int:
        session.call(
            "sources",
            network.leaf,
            "run",
            path=network.path,
            options=network.options,
            inputs=samples.folder / "samples.npz",
            outputs=out / OUTPUTS,
        )
        return samples.result.used

    question = Question(
        what="reference",
        leaf=f"sources/{network.leaf}",
        settings=network.settings,
        inputs={"source": network, "samples": content(samples)},
        doing=f"{doing} {network.path.name}",
    )
    return session.ask(question, int, network.origin.reading(run))
