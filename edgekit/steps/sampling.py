"""Samples in the cache, and what the source computes on them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.nouns.base import Noun

if TYPE_CHECKING:
    from edgekit.samples import Samples
from edgekit.steps.reading import Network


class Given(msgspec.Struct, frozen=True):
    """Samples that fit a network: ``question`` is what decides them, ``read`` loads them.

    Whatever the cache can answer from the question alone needs neither the samples nor numpy.
    """

    question: dict[str, Any]
    read: "Callable[[], Samples]"


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

    return session.remember({"step": "samples", "most": most} | given.question, Kept, write)


def reference(session: Session, network: Network, samples: Answer[Kept], doing: str = "running") -> Path:
    """The source's own outputs: an ``.npz`` of ``[N, *source_shape]`` under its names."""

    def run(out: Path) -> int:
        session.call(
            "sources",
            network.leaf,
            "run",
            path=network.path,
            options=network.options,
            inputs=samples.folder / "samples.npz",
            outputs=out / "outputs.npz",
        )
        return samples.result.used

    question = {"step": "reference", "samples": samples.result.sha256} | network.question
    name = f"{doing} {network.path.name}"
    return session.ask(name, question, int, network.origin.reading(run)).folder / "outputs.npz"
