"""The steps of a build: each a question to the cache, answered by a leaf in a worker process."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import compilers, registry, sources
from edgekit.errors import Unsupported
from edgekit.origin import Origin, of, of_model
from edgekit.session import Session
from edgekit.store import Answer
from edgekit.types import (
    FLOATS,
    Boundary,
    Built,
    Cost,
    Job,
    Model,
    Noun,
    Precision,
    SourceOptions,
    Variant,
    Verification,
    Waist,
)

if TYPE_CHECKING:
    from edgekit.samples import Samples


class Network(msgspec.Struct, frozen=True):
    """A source that is being built: what it is read from, the leaf that reads it, and its description."""

    origin: Origin
    leaf: str
    options: SourceOptions
    model: Model

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.origin.path

    @property
    def sha256(self) -> str:
        """Digest of all that it is read from."""
        return self.origin.sha256

    @property
    def question(self) -> dict[str, Any]:
        """What every step on this source depends on."""
        return {"source": self.sha256, "options": msgspec.to_builtins(self.options)}


def open_network(session: Session, path: Path, options: SourceOptions) -> Network:
    """Sniff and describe a model file.

    Raises:
        InputError: it cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    path = path.absolute()
    leaf = sources.FORMATS[sources.sniff(path)]
    registry.require(leaf)
    origin = of_model(path, options)
    described = session.ask(
        f"reading {path.name}",
        {"step": "describe", "source": origin.sha256, "name": path.name, "options": msgspec.to_builtins(options)},
        Model,
        origin.reading(lambda _: session.call("sources", leaf, "describe", path=path, options=options)),
    )
    model = described.result
    if model.companions:
        origin = of(path, model.companions, options.custom_objects)
    return Network(origin, leaf, options, model)


class Subject(msgspec.Struct, frozen=True):
    """A source with its waist and what that needs; both None where it has no waist, for a ``reason``."""

    network: Network
    waist: Answer[Waist] | None
    cost: Cost | None
    reason: str = ""


def to_waist(session: Session, network: Network) -> Answer[Waist]:
    """Bring the source to a float TFLite model.

    Raises:
        Unsupported: it has no waist; the operators are named.
    """
    return session.ask(
        f"converting {network.path.name}",
        {"step": "waist"} | network.question,
        Waist,
        network.origin.reading(
            lambda out: session.call(
                "sources", network.leaf, "to_waist", path=network.path, options=network.options, out=out
            )
        ),
    )


def as_it_is(session: Session, network: Network) -> Answer[Waist] | None:
    """A TFLite source in its own precision, for one that has no waist; None where it is none that LiteRT loads."""

    def write(out: Path) -> tuple[Waist, ...]:
        found = session.call("sources", network.leaf, "as_it_is", path=network.path, options=network.options, out=out)
        return () if found is None else (found,)

    answer = session.remember({"step": "as it is"} | network.question, tuple[Waist, ...], network.origin.reading(write))
    return Answer(answer.result[0], answer.folder, answer.files, answer.from_cache) if answer.result else None


def cost(session: Session, waist: Answer[Waist]) -> Cost:
    """Count what a waist, or a file `as_it_is`, needs: operators, parameters, MACs, activation memory."""
    path = waist.folder / waist.result.file

    def count(_: Path) -> Cost:
        from edgekit.waist.cost import count  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        return count(path)

    return session.ask("counting", {"step": "cost", "file": waist.sha256}, Cost, count).result


def input_ranges(session: Session, subject: Subject) -> dict[str, tuple[float, float]]:
    """The range that the network's first layer expects, by source name, for inputs where it tells."""
    waist = subject.waist
    if waist is None:
        return {}
    path = waist.folder / waist.result.file

    def read(_: Path) -> dict[str, tuple[float, float]]:
        from edgekit.waist.scaling import input_ranges  # noqa: PLC0415  only needed on a cold path

        return input_ranges(path)

    question = {"step": "ranges", "file": waist.sha256}
    found = session.remember(question, dict[str, tuple[float, float]], read).result
    return {spec.source_name: found[spec.name] for spec in waist.result.signature.inputs if spec.name in found}


class Given(msgspec.Struct, frozen=True):
    """Samples that fit a network: ``question`` is what decides them, ``read`` loads them.

    Whatever the cache can answer from the question alone needs neither the samples nor numpy.
    """

    question: dict[str, Any]
    read: "Callable[[], Samples]"


class Kept(Noun, frozen=True, kw_only=True):
    """Samples in the cache: ``used`` of ``total``, evenly taken, with the digests of these and of all.

    ``notes`` are those of `edgekit.samples.Samples`.
    """

    origin: str
    total: int
    total_sha256: str
    used: int
    sha256: str
    labelled: bool
    notes: tuple[str, ...]


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
        )

    return session.remember({"step": "samples", "most": most} | given.question, Kept, write)


def reference(session: Session, network: Network, samples: Answer[Kept]) -> Path:
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
    return (
        session.ask(f"running {network.path.name}", question, int, network.origin.reading(run)).folder / "outputs.npz"
    )


class Order(msgspec.Struct, frozen=True):
    """One file to build, with everything that decides how."""

    variant: Variant
    precision: Precision
    io: Boundary | None
    calibration: Answer[Kept] | None
    seed: int


def compile_variant(session: Session, subject: Subject, order: Order) -> Answer[Built]:
    """Build the files of one variant, through its base backend where it has one.

    Raises:
        Unsupported: the network cannot be built so; the operators are named.
    """
    network, waist, variant = subject.network, subject.waist, order.variant
    direct = network.model.format in variant.reads
    signature = waist.result.signature if waist is not None else network.model.signature
    basis: Answer[Any] | None = waist
    base_file = None if waist is None else waist.folder / waist.result.file
    if variant.base is not None:
        basis = built = compile_variant(session, subject, _base_order(order))
        signature, base_file = built.result.signature, built.folder / built.result.files[0]
    calibration = order.calibration
    job = Job(
        waist=None if base_file is None else str(base_file),
        source=str(network.path),
        source_format=network.model.format,
        signature=signature,
        source_signature=network.model.signature,
        precision=order.precision,
        io=order.io,
        calibration=None if calibration is None else str(calibration.folder / "samples.npz"),
        settings=variant.settings,
        keep_layout=network.options.keep_layout,
        seed=order.seed,
    )
    decided = msgspec.to_builtins(job) | {
        "waist": None if basis is None or direct else basis.sha256,
        "source": network.sha256,
        "calibration": None if calibration is None else calibration.result.sha256,
    }

    def build(out: Path) -> Built:
        made: Built = session.call("backends", variant.backend, "build", job=job, file=variant.file, out=out)
        return made

    return session.ask(
        f"building {variant.file} with {variant.backend}",
        {
            "step": "build",
            "backend": variant.backend,
            "file": variant.file,
            "job": decided,
            "compilers": compilers.installed(),
        },
        Built,
        network.origin.reading(build) if direct else build,
    )


def _base_order(order: Order) -> Order:
    """What the base backend is asked for: the same file in full integers, nothing left in float."""
    variant = order.variant
    base = Variant(
        file=variant.file,
        backend=variant.base or "",
        precision=order.precision,
        use=variant.use,
        settings=variant.settings | {"full_integer": True},
    )
    return msgspec.structs.replace(order, variant=base)


def require_metric(session: Session, network: Network, name: str, samples: Answer[Kept], reference: Path) -> None:
    """Judge the source by the metric, so that one that does not fit is refused before anything is built.

    Raises:
        InputError: the metric does not fit the source's outputs and the labels.
    """

    def judge(_: Path) -> float:
        import numpy as np  # noqa: PLC0415  only needed on a cold path

        from edgekit import tensors, verify  # noqa: PLC0415  as above

        labels = np.load(samples.folder / "labels.npy", allow_pickle=False)
        return verify.metric(name, tensors.arrays(reference), labels)

    session.remember(
        {"step": "metric", "name": name, "samples": samples.result.sha256} | network.question, float, judge
    )


class Evidence(msgspec.Struct, frozen=True):
    """What files are verified on: samples, the source's outputs (`reference`), and perhaps a metric of labels."""

    samples: Answer[Kept]
    reference: Path
    metric: str | None = None
    max_drop: float | None = None


def verification(
    session: Session, subject: Subject, order: Order, built: Answer[Built], evidence: Evidence
) -> Verification:
    """Run the artifact and compare it with the source.

    Raises:
        Unsupported: a float file disagrees with its source; the first tensor that diverges is named.
    """
    samples = evidence.samples
    inputs = samples.folder / "samples.npz"

    def run(out: Path) -> Verification:
        from edgekit import verify  # noqa: PLC0415  numpy is only needed on a cold path

        outputs = out / "outputs.npz"
        artifact = built.folder / built.result.files[0]
        session.call(
            "backends", order.variant.backend, "run",
            artifact=artifact, signature=built.result.signature, inputs=inputs, outputs=outputs,
        )  # fmt: skip
        judged = verify.judge_files(
            order.precision,
            samples.result.origin,
            evidence.reference,
            outputs,
            metric=evidence.metric,
            labels=samples.folder / "labels.npy" if samples.result.labelled else None,
            max_drop=evidence.max_drop,
        )
        outputs.unlink()
        return judged

    question = {
        "step": "verify",
        "files": built.sha256,
        "backend": order.variant.backend,
        "precision": order.precision,
        "samples": samples.result.sha256,
        "origin": samples.result.origin,
        "metric": evidence.metric,
        "max_drop": evidence.max_drop,
    }
    judged = session.ask(
        f"verifying {order.variant.file}", question | subject.network.question, Verification, run
    ).result
    if order.precision in FLOATS and judged.sqnr_db is not None and judged.sqnr_db < judged.threshold_db:
        raise _disagreement(session, subject, order, built, inputs=inputs, judged=judged)
    return judged


def _disagreement(
    session: Session, subject: Subject, order: Order, built: Answer[Built], *, inputs: Path, judged: Verification
) -> Unsupported:
    network, where, way_out = subject.network, "", "choose another precision or target"
    suspect = _suspect(subject, order, built)
    if suspect is not None:
        found = session.call(
            "sources", network.leaf, "first_divergence",
            path=network.path, options=network.options, waist=suspect, inputs=inputs, threshold_db=judged.threshold_db,
        )  # fmt: skip
        if found is not None:
            where = f" The first tensor that diverges is {found.tensor} ({found.operator}, {found.sqnr_db:.1f} dB)."
            way_out = f"simplify that operator in the model, or {way_out}"
    return Unsupported(
        f"{built.result.files[0]} does not compute what {network.path.name} computes: {judged.reason}.{where}",
        place=str(network.path),
        fix=way_out,
    )


def _suspect(subject: Subject, order: Order, built: Answer[Built]) -> Waist | None:
    """The TFLite file to search: the artifact itself, or what an artifact of another format was made from."""
    name, waist = built.result.files[0], subject.waist
    if name.endswith(".tflite"):
        return Waist(file=str(built.folder / name), signature=built.result.signature)
    if waist is None or subject.network.model.format in order.variant.reads:
        return None
    return msgspec.structs.replace(waist.result, file=str(waist.folder / waist.result.file))
