"""Samples in the cache, and what the source computes on them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.engine import closure
from edgekit.engine.origin import changed
from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, file_digest, tree_digest
from edgekit.nouns.description import Description
from edgekit.nouns.model import Signature
from edgekit.nouns.samples import Kept
from edgekit.steps.reading import OpenedNetwork

if TYPE_CHECKING:
    from edgekit.samples import Samples

SAMPLES = "samples"
"""The folder of an answer that holds samples, as `edgekit.waist.tensors.arrays` reads them; labels: ``labels.npy``."""


def read(
    session: Session,
    spec: str,
    signature: Signature,
    description: Description,
    file: Path | None = None,
) -> Answer[Kept]:
    """All samples that the user names, read once, in a worker process.

    A file or folder is known by its content; a function by its module with what that imports from beside it, and
    where these lie. ``file`` holds the samples if ``spec`` is no more than a name for them.

    Raises:
        InputError: they cannot be read, or do not fit the signature.
    """
    place = spec if file is None else str(file)
    found = digest_of_named(place)

    def make(out: Path) -> Kept:
        kept = session.reader().read(
            place,
            origin=spec,
            signature=signature,
            description=description,
            folder=Path.cwd(),
            out=out,
        )
        if digest_of_named(place) != found:
            raise changed(Path(place), spec)
        return kept

    question = Question(
        what="samples",
        leaf="samples/reader",
        modules=("edgekit.samples", __name__),
        settings={"named": spec, "inputs": msgspec.to_builtins(description.inputs)},
        inputs={"content": Known(found), "signature": Known(digest_of(signature.inputs))},
    )
    return session.ask(question, Kept, make)


def digest_of_named(spec: str) -> str:
    """By what a file or folder is known: its content; a function: its module, and what that imports from beside it."""
    path = Path(spec)
    if path.exists():
        return tree_digest(path).sha256
    return digest_of({str(file): file_digest(file).sha256 for file in closure.files(spec, (Path.cwd(),))})


def drawn(session: Session, signature: Signature, count: int, seed: int) -> Answer[Kept]:
    """Random samples: see `edgekit.samples.random`."""

    def make(out: Path) -> Kept:
        from edgekit import samples  # noqa: PLC0415  numpy is only needed on a cold path

        found = samples.random(signature, count, seed)
        found.save(out / SAMPLES)
        return found.kept

    question = Question(
        what="samples",
        modules=("edgekit.samples", __name__),
        settings={"random": count},
        inputs={"signature": Known(digest_of(signature.inputs))},
        seed=seed,
    )
    return session.ask(question, Kept, make)


def take(session: Session, every: Answer[Kept], most: int | None) -> Answer[Kept]:
    """At most ``most`` samples, chosen by their contents; all of them if None."""
    if most is None or most >= every.result.total:
        return every

    return _some(session, every, {"most": most}, lambda samples: samples.take(most))


def first(session: Session, every: Answer[Kept]) -> Answer[Kept]:
    """The first sample alone; of probes that is one as they are given."""
    return _some(session, every, {"first": 1}, lambda samples: samples.rows((0,)))


def _some(
    session: Session, every: Answer[Kept], settings: dict[str, Any], choose: Callable[["Samples"], "Samples"]
) -> Answer[Kept]:
    def make(out: Path) -> Kept:
        from edgekit.samples import Samples  # noqa: PLC0415  numpy is only needed on a cold path

        taken = choose(Samples.opened(every.result, every.folder))
        taken.save(out / SAMPLES, labels=out / "labels.npy")
        return msgspec.structs.replace(taken.kept, total=every.result.total, total_sha256=every.result.sha256)

    question = Question(
        what="some samples",
        modules=("edgekit.samples", __name__),
        settings=settings,
        inputs={"samples": content(every), "described": Known(digest_of(every.result))},
    )
    return session.ask(question, Kept, make)


def content(samples: Answer[Kept]) -> Known:
    """Samples as a step's input: known by their values, in whatever files these lie."""
    return Known(samples.result.sha256, samples.steps)


OUTPUTS = "outputs.npz"
"""The file of a `reference`: ``[N, *source_shape]`` under the source's names."""


def reference(session: Session, network: OpenedNetwork, samples: Answer[Kept], doing: str = "running") -> Answer[int]:
    """The source's own outputs, as `OUTPUTS`; what came between it and a file has no part in them."""

    def run(out: Path) -> int:
        source = session.source(network.leaf)
        source.run(network.path, network.options, inputs=samples.folder / SAMPLES, outputs=out / OUTPUTS)
        return samples.result.used

    question = Question(
        what="reference",
        leaf=f"sources/{network.leaf}",
        settings=network.settings,
        inputs={"source": network, "samples": content(samples)},
        doing=f"{doing} {network.path.name}",
    )
    return session.ask(question, int, network.origin.reading(run))
