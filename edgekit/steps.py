"""The steps of a build: each a question to the cache, answered by a leaf in a worker process."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import compilers, naming, registry, sources
from edgekit.origin import Origin, of, of_model
from edgekit.session import Session
from edgekit.store import Answer
from edgekit.types import (
    CALIBRATED,
    Boundary,
    Built,
    Cost,
    Job,
    Made,
    Model,
    Noun,
    Precision,
    SourceOptions,
    TensorSpec,
    Variant,
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

    def read_by(self, variant: Variant) -> bool:
        """Whether the variant's backend reads the source itself: only as a whole, as the file holds it."""
        return self.model.format in variant.reads and self.whole

    @property
    def whole(self) -> bool:
        """Whether what is built is the network that the file holds: uncut, nothing bound, its own batch."""
        return not naming.edited(self.options) and self.model.batch == 1


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
    model = _described(session, leaf, origin, options)
    if model.companions:  # what the model says of itself may lie in them too, such as a shape
        origin = of(path, model.companions, options.custom_objects)
        model = _described(session, leaf, origin, options)
    return Network(origin, leaf, options, model)


def _described(session: Session, leaf: str, origin: Origin, options: SourceOptions) -> Model:
    path = origin.path
    return session.ask(
        f"reading {path.name}",
        {"step": "describe", "source": origin.sha256, "name": path.name, "options": msgspec.to_builtins(options)},
        Model,
        origin.reading(lambda _: session.call("sources", leaf, "describe", path=path, options=options)),
    ).result


class Subject(msgspec.Struct, frozen=True):
    """A source with its waist and what that needs; both None where it has no waist, for a ``reason``.

    ``integers`` is the source in its own precision where that is one of integers: files of this precision
    are made of it, and nothing is quantized a second time. ``no_integers`` says why a source that has some
    has no such file.
    """

    network: Network
    waist: Answer[Waist] | None
    cost: Cost | None
    reason: str = ""
    integers: Answer[Waist] | None = None
    no_integers: str = ""

    def own(self, precision: Precision) -> Answer[Waist] | None:
        """The source's own integers, for a file in a precision; None where that is not their own."""
        return self.integers if precision == self.network.model.precision else None

    @property
    def finished(self) -> bool:
        """Whether the source is a TFLite file of integers: it can be taken as it is, and only so."""
        return self.integers is not None and self.network.model.format == "tflite"


def to_waist(session: Session, network: Network, samples: "Answer[Kept] | None" = None) -> Answer[Waist]:
    """Bring the source to a float TFLite model.

    Samples decide nothing but what the conversion is proven on, and that only where an input may be an
    index, a length or a flag, which cannot be made up.

    Raises:
        Unsupported: it has no waist; the operators are named.
    """
    given: dict[str, Any] = {}
    question = {"step": "waist"} | network.question
    if samples is not None and any(_picks(spec) for spec in network.model.signature.inputs):
        given = {"samples": samples.folder / "samples.npz"}
        question |= {"samples": samples.result.sha256}
    return session.ask(
        f"converting {network.path.name}",
        question,
        Waist,
        network.origin.reading(
            lambda out: session.call(
                "sources", network.leaf, "to_waist", path=network.path, options=network.options, out=out, **given
            )
        ),
    )


def _picks(spec: TensorSpec) -> bool:
    """Whether an input's values may choose instead of measure: integers wider than a pixel, and flags."""
    return spec.source_dtype.startswith(("int", "uint", "bool")) and spec.source_dtype not in {"int8", "uint8"}


def as_it_is(session: Session, network: Network) -> Answer[Waist] | None:
    """A source in its own precision, for one that has no waist or brings integers; None where there is no such file.

    Raises:
        Unsupported: its integers have no TFLite form; what and where is named.
    """

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


def branches(session: Session, subject: Subject) -> dict[str, Made]:
    """How each output came to be, by source name, as far as the waist tells."""
    waist = subject.waist
    if waist is None:
        return {}
    path, signature = waist.folder / waist.result.file, waist.result.signature
    question = {"step": "branches", "file": waist.sha256, "signature": msgspec.to_builtins(signature)}

    def read(_: Path) -> dict[str, Made]:
        from edgekit.waist.branches import outputs  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        return outputs(path, signature)

    return session.remember(question, dict[str, Made], read).result


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
    network, variant = subject.network, order.variant
    own = subject.own(order.precision)
    waist = subject.waist if own is None else own
    direct = network.read_by(variant)
    signature = waist.result.signature if waist is not None else network.model.signature
    basis: Answer[Any] | None = waist
    base_file = None if waist is None else waist.folder / waist.result.file
    if variant.base is not None and not (own is not None and subject.finished):
        basis = built = compile_variant(session, subject, _base_order(order))
        signature, base_file = built.result.signature, built.folder / built.result.files[0]
    calibration = order.calibration
    job = Job(
        waist=None if base_file is None else str(base_file),
        has_integers=own is not None or (direct and order.precision in CALIBRATED & {network.model.precision}),
        source=str(network.path),
        source_format=network.model.format if network.whole else "tflite",  # then the waist is all there is
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
        "waist": None if basis is None or (direct and own is None) else basis.sha256,
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
