"""The source as a float TFLite file, the waist, and what is read off that."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import Unsupported
from edgekit.nouns.model import CALIBRATED, FLOATS, Cost, Precision, TensorSpec, Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.nouns.verification import Made
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content


class Subject(msgspec.Struct, frozen=True):
    """A source with its waist and what that needs; both None if it has no waist, for a ``reason`` that has a ``fix``.

    ``integers`` is the source in its own precision if that is one of integers: files of this precision
    are made of it, and nothing is quantized a second time. ``no_integers`` says why a source that has some
    has no such file. Once a recipe's passes were ``passed``, the waist is what they made of it, and ``learned`` is
    the integer file that they have trained for, if they have, by its precision.
    """

    network: OpenedNetwork
    waist: Answer[Waist] | None
    cost: Cost | None
    reason: str = ""
    fix: str = ""
    integers: Answer[Waist] | None = None
    no_integers: str = ""
    passed: bool = False
    learned: dict[Precision, Path] = {}

    def read_by(self, variant: Variant) -> bool:
        """Whether the variant's backend reads the source itself, which it may only before any pass."""
        return not self.passed and self.network.read_by(variant)

    def own(self, precision: Precision) -> Answer[Waist] | None:
        """The source's own integers, for a file in a precision; None if that is not their own."""
        return self.integers if precision == self.network.model.precision else None

    @property
    def finished(self) -> bool:
        """Whether the source is a TFLite file of integers: it can be taken as it is, and only so."""
        return self.integers is not None and self.waist is None and self.network.model.format == "tflite"


def to_waist(session: Session, network: OpenedNetwork, samples: "Answer[Kept] | None" = None) -> Answer[Waist]:
    """Bring the source to a float TFLite model.

    Samples decide nothing but what the conversion is proven on, and that only if an input may be an
    index, a length or a flag, which cannot be made up.

    Raises:
        Unsupported: it has no waist; the operators are named.
    """
    given: Path | None = None
    inputs: dict[str, Input] = {"source": network}
    if samples is not None and any(_picks(spec) for spec in network.model.signature.inputs):
        given = samples.folder / SAMPLES
        inputs["samples"] = content(samples)
    return session.ask(
        Question(
            what="convert",
            leaf=f"sources/{network.leaf}",
            settings=network.settings,
            inputs=inputs,
            doing=f"converting {network.path.name}",
        ),
        Waist,
        network.origin.reading(
            lambda out: session.source(network.leaf).to_waist(network.path, network.options, out, samples=given)
        ),
    )


def _picks(spec: TensorSpec) -> bool:
    """Whether an input's values may choose instead of measure: integers wider than a pixel, and flags."""
    return spec.source_dtype.startswith(("int", "uint", "bool")) and spec.source_dtype not in {"int8", "uint8"}


def as_it_is(session: Session, network: OpenedNetwork) -> Answer[Waist] | None:
    """A source in its own precision, for one that has no waist or brings integers; None if there is no such file.

    Raises:
        Unsupported: its integers have no TFLite form; what and where is named.
    """

    def write(out: Path) -> tuple[Waist, ...]:
        found = session.source(network.leaf).as_it_is(network.path, network.options, out)
        return () if found is None else (found,)

    question = Question(
        what="keep", leaf=f"sources/{network.leaf}", settings=network.settings, inputs={"source": network}
    )
    answer = session.ask(question, tuple[Waist, ...], network.origin.reading(write))
    if not answer.result:
        return None
    return Answer(answer.result[0], answer.folder, answer.files, answer.from_cache, answer.steps)


def cost(session: Session, waist: Answer[Waist], doing: str = "counting") -> Cost:
    """Count what a waist, or a file `as_it_is`, needs: operators, parameters, MACs, activation memory."""
    path = waist.folder / waist.result.file

    def count(_: Path) -> Cost:
        from edgekit.waist.cost import count  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        return count(path)

    question = Question(what="cost", modules=("edgekit.waist.cost",), inputs={"file": waist}, doing=doing)
    return session.ask(question, Cost, count).result


def input_ranges(session: Session, subject: Subject) -> dict[str, tuple[float, float]]:
    """The range that the network's first layer expects, by source name, for inputs if it tells."""
    waist = subject.waist
    if waist is None:
        return {}
    path = waist.folder / waist.result.file

    def read(_: Path) -> dict[str, tuple[float, float]]:
        from edgekit.waist.scaling import input_ranges  # noqa: PLC0415  only needed on a cold path

        return input_ranges(path)

    question = Question(what="ranges", modules=("edgekit.waist.scaling",), inputs={"file": waist})
    found = session.ask(question, dict[str, tuple[float, float]], read).result
    shown = {spec.source_name: found[spec.name] for spec in waist.result.signature.inputs if spec.name in found}
    return {**waist.result.input_ranges, **shown}


def ends(session: Session, subject: Subject) -> dict[str, str]:
    """The operator that computes each output, by source name, for outputs if one does."""
    waist = subject.waist
    if waist is None:
        return {}
    path = waist.folder / waist.result.file

    def read(_: Path) -> dict[str, str]:
        from edgekit.waist.ends import ends  # noqa: PLC0415  only needed on a cold path

        return ends(path)

    question = Question(what="ends", modules=("edgekit.waist.ends",), inputs={"file": waist})
    found = session.ask(question, dict[str, str], read).result
    return {spec.source_name: found[spec.name] for spec in waist.result.signature.outputs if spec.name in found}


def branches(session: Session, subject: Subject) -> dict[str, Made]:
    """How each output came to be, by source name, as far as the waist tells."""
    waist = subject.waist
    if waist is None:
        return {}
    path, signature = waist.folder / waist.result.file, waist.result.signature
    question = Question(
        what="branches",
        modules=("edgekit.waist.branches",),
        inputs={"file": waist, "signature": Known(digest_of(signature))},
    )

    def read(_: Path) -> dict[str, Made]:
        from edgekit.waist.branches import outputs  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        return outputs(path, signature)

    return session.ask(question, dict[str, Made], read).result


def subject(
    session: Session, network: OpenedNetwork, variants: Sequence[Variant], samples: "Answer[Kept] | None" = None
) -> Subject:
    """The source with its waist and its own integers, or with the reasons why there are none.

    Raises:
        Unsupported: it has no waist, and every file needs one.
    """
    integers, no_integers = _integers(session, network, variants)
    try:
        waist = to_waist(session, network, samples)
    except Unsupported as error:
        if integers is None and not any(network.read_by(variant) for variant in variants):
            raise
        counted = None if integers is None else cost(session, integers)
        return Subject(network, None, counted, error.problem, error.fix, integers, no_integers)
    return Subject(network, waist, cost(session, waist), integers=integers, no_integers=no_integers)


def _integers(
    session: Session, network: OpenedNetwork, variants: Sequence[Variant]
) -> tuple[Answer[Waist] | None, str]:
    """The source's own integers if a file of their precision is wanted, or why they have no TFLite form."""
    precision = network.model.precision
    brought = precision in CALIBRATED or (network.model.format == "tflite" and precision not in FLOATS)
    if not brought or all(variant.precision != precision for variant in variants):
        return None, ""
    try:
        return as_it_is(session, network), ""
    except Unsupported as error:
        return None, error.problem
