"""The steps that verify: what the source computes on samples and probes, and what each file makes of it."""

import math
from pathlib import Path

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Built
from edgekit.nouns.model import CALIBRATED, FLOATS, Divergence, Signature, Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.nouns.verification import Budget, Judged, MetricScore, SamplesUse, Verification
from edgekit.steps.conversion import Subject, branches
from edgekit.steps.metric import Wanted
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import OUTPUTS, SAMPLES, content, reference


class ProbeRun(msgspec.Struct, frozen=True):
    """Inputs that no sample holds, with the source's outputs for them; ``unavailable`` says why some are left out."""

    kept: Answer[Kept]
    reference: Answer[int]
    unavailable: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """What files are verified on.

    Samples and what they were given for, the source's outputs (``reference``), probes; and what is demanded: a
    metric of the labels with the source's score, the ``budget`` of accuracy, the least share that an accelerator takes.
    ``constant_data``: calibration data holds one value only; ``still``: inputs that no sample changes.
    """

    samples: Answer[Kept]
    use: SamplesUse
    reference: Answer[int]
    probes: ProbeRun
    metric: Wanted | None = None
    source_score: MetricScore | None = None
    budget: Budget = Budget()
    min_mapped: float | None = None
    constant_data: bool = False
    still: tuple[str, ...] = ()


def probes(session: Session, network: OpenedNetwork, samples: Answer[Kept]) -> ProbeRun:
    """ProbeRun made from samples, run on the source; from samples alone if the source runs on no others.

    Raises:
        InputError: the source refuses the samples.
        Unsupported: it does not run on them.
    """
    signature = network.model.signature
    most = affordable(signature, MOST_PROBES)
    kept = _kept(session, samples, most, plain=False)
    fewer = f"one sample's inputs and outputs take {_values(signature) / 2**18:,.0f} MiB" if most < MOST_PROBES else ""
    try:
        return ProbeRun(kept, reference(session, network, kept, "probing"), fewer)
    except (InputError, Unsupported) as error:
        kept = _kept(session, samples, most, plain=True)
        return ProbeRun(
            kept, reference(session, network, kept, "probing"), f"the source does not take them: {error.problem}"
        )


MOST_VALUES = 1 << 25
"""The most input and output values that are held of samples, or of probes, at once: 128 MiB in float32.

Both sides' outputs and their comparison hold several times as much.
"""

MOST_PROBES = 8
"""How many there are."""


def affordable(signature: Signature, most: int) -> int:
    """At most ``most`` samples, and fewer, but at least one, if inputs and outputs would pass `MOST_VALUES`."""
    return max(1, min(most, MOST_VALUES // max(1, _values(signature))))


def _values(signature: Signature) -> int:
    return sum(math.prod(spec.source_shape) for spec in (*signature.inputs, *signature.outputs))


def _kept(session: Session, samples: Answer[Kept], most: int, *, plain: bool) -> Answer[Kept]:
    def write(out: Path) -> Kept:
        from edgekit.samples import Place, Samples  # noqa: PLC0415  numpy is only needed on a cold path
        from edgekit.verify import probes  # noqa: PLC0415
        from edgekit.waist.tensors import arrays  # noqa: PLC0415

        drawn = arrays(samples.folder / SAMPLES)
        made = probes.plain(drawn) if plain else probes.of(drawn, most)
        inputs = {name: Place(out).stack([probe[name] for probe in made.values()]) for name in drawn}
        stacked = Samples.of(inputs, origin="probes")
        stacked.save(out / SAMPLES)
        return msgspec.structs.replace(stacked.kept, names=tuple(made))

    question = Question(
        what="probes",
        modules=(__name__,),
        settings={"plain": plain, "most": most},
        inputs={"samples": content(samples)},
    )
    return session.ask(question, Kept, write)


def source_score(session: Session, metric: Wanted, samples: Answer[Kept], reference: Answer[int]) -> MetricScore:
    """The source's own score, asked first, so that a metric that does not fit is refused before anything is built.

    Raises:
        InputError: the metric does not fit the source's outputs and the labels.
    """

    def judge(_: Path) -> MetricScore:
        return metric.load().score(reference.folder / OUTPUTS, samples.folder / "labels.npy")

    question = Question(
        what="metric",
        modules=("edgekit.verify", "edgekit.waist.tensors", __name__),
        settings={"metric": metric.question},
        inputs={"samples": content(samples), "reference": reference},
    )
    return session.ask(question, MetricScore, judge).result


def verification(
    session: Session,
    subject: Subject,
    variant: Variant,
    built: Answer[Built],
    evidence: Evidence,
    *,
    trained: Answer[Waist] | None = None,
) -> Answer[Judged]:
    """Run the artifact on samples and probes, and compare it with the source.

    A float file of a network that was ``trained`` since is first held against that: it has to compute the same.

    Raises:
        Unsupported: nobody may get the file: a float one disagrees with its source (the first tensor that diverges
            is named), or one of any precision gives NaN or infinity, or keeps state, and its source does not.
    """
    if trained is not None and variant.precision in FLOATS:
        _prove(session, subject, variant, built, _against(session, evidence, trained))
    answer = _judged(session, subject, variant, built, evidence, trained=trained is not None)
    if answer.result.refusal:
        raise _refused(session, subject, variant, built, evidence=evidence, judged=answer.result)
    return answer


def _against(session: Session, evidence: Evidence, waist: Answer[Waist]) -> Evidence:
    """The same evidence with a waist in the source's place, and without what is demanded of a file."""
    probes = evidence.probes
    return msgspec.structs.replace(
        evidence,
        reference=outputs_of(session, waist, evidence.samples),
        probes=msgspec.structs.replace(probes, reference=outputs_of(session, waist, probes.kept)),
        metric=None,
        source_score=None,
        budget=Budget(),
        min_mapped=None,
    )


def _prove(session: Session, subject: Subject, variant: Variant, built: Answer[Built], evidence: Evidence) -> None:
    """See that a float file computes what the trained network computes.

    Raises:
        Unsupported: it does not.
    """
    judged = _judged(session, subject, variant, built, evidence, trained=False).result
    if judged.refusal:
        raise Unsupported(
            f"{built.result.files[0]} does not compute what the trained network computes: {judged.refusal}.",
            place=str(subject.network.path),
            fix="choose another precision or target",
        )


def outputs_of(session: Session, waist: Answer[Waist], samples: Answer[Kept]) -> Answer[int]:
    """What a waist computes on samples, in the source's terms, as `OUTPUTS`."""
    path, signature = waist.folder / waist.result.file, waist.result.signature

    def run(out: Path) -> int:
        session.backend("tflite").run(path, signature, samples.folder / SAMPLES, out / OUTPUTS)
        return samples.result.used

    question = Question(
        what="reference",
        leaf="backends/tflite",
        inputs={"waist": waist, "signature": Known(digest_of(signature)), "samples": content(samples)},
    )
    return session.ask(question, int, run)


def of_waist(session: Session, subject: Subject, evidence: Evidence) -> Verification:
    """How near a subject's waist comes to the source, whatever was done to it.

    Raises:
        Unsupported: it has none, or that does not run.
    """
    waist = subject.waist
    assert waist is not None, "who asks has one"
    variant = Variant(file="the network so far", backend="tflite", precision="float32", use="")
    built = Answer(
        Built(files=(waist.result.file,), signature=waist.result.signature),
        waist.folder,
        waist.files,
        waist.from_cache,
        waist.steps,
    )
    demanded = msgspec.structs.replace(evidence, budget=Budget(), min_mapped=None)
    return _judged(session, subject, variant, built, demanded, trained=True).result.verification


JOINS = {"tflite": "CONCATENATION", "openvino": "Concat"}
"""Backends → what they call the operator that joins branches, which may stay float."""

WIDER = {"tflite": ("int16x8", "float16"), "openvino": ("float16",)}
"""Backends → their precisions that lose less than int8."""


def _judged(
    session: Session, subject: Subject, variant: Variant, built: Answer[Built], evidence: Evidence, *, trained: bool
) -> Answer[Judged]:
    """The verdict on a file."""
    samples = evidence.samples
    if variant.precision not in CALIBRATED:
        evidence = msgspec.structs.replace(evidence, constant_data=False, still=())
    made = branches(session, subject)

    def run(out: Path) -> Judged:
        """Run the file on samples and probes, hold both against the source's outputs, and keep the verdict alone."""
        from edgekit import verify  # noqa: PLC0415  numpy is only needed on a cold path
        from edgekit.verify import coverage, feedback, files  # noqa: PLC0415  as above

        outputs, on_probes, probed = out / "outputs.npz", out / "probes.npz", evidence.probes
        _run(session, variant, built, samples.folder / SAMPLES, outputs)
        _run_probes(session, variant, built, probed, on_probes)
        case = verify.Case(
            precision=variant.precision,
            origin=samples.result.origin,
            source=subject.network.model.precision,
            use=evidence.use,
            made=made,
            constant_data=evidence.constant_data,
            still=evidence.still,
            fed_back=feedback.pairs(subject.network.model.signature),
            budget=evidence.budget,
            coverage=coverage.of(built.result, built.folder, _accelerator(variant), evidence.min_mapped),
            min_mapped=evidence.min_mapped,
            trained=trained,
            unshown=() if subject.waist is None else subject.waist.result.unshown,
            joins="" if variant.bound_to_integers else JOINS.get(variant.backend, ""),
            wider=() if variant.bound_to_integers else WIDER.get(variant.backend, ()),
        )
        sides = files.Sides(
            samples=samples.folder / SAMPLES,
            reference=evidence.reference.folder / OUTPUTS,
            outputs=outputs,
            probes_reference=probed.reference.folder / OUTPUTS,
            probes_outputs=on_probes,
            names=probed.kept.result.names,
            unavailable=probed.unavailable,
        )
        metric = None if evidence.metric is None else evidence.metric.load()
        judged = files.judge(sides, case, metric, samples.folder / "labels.npy", evidence.source_score)
        outputs.unlink()
        on_probes.unlink()
        return judged

    question = _question(subject, variant, built, evidence, trained=trained)
    return session.ask(question, Judged, run)


def _question(
    subject: Subject, variant: Variant, built: Answer[Built], evidence: Evidence, *, trained: bool
) -> Question:
    """What decides a verdict: both sides' outputs, and what is demanded. One side is always the source's own."""
    inputs: dict[str, Input] = {
        "files": built,
        "placements": Known(digest_of(built.result.placements)),
        "samples": content(evidence.samples),
        "reference": evidence.reference,
        "probes": content(evidence.probes.kept),
        "probes_reference": evidence.probes.reference,
    }
    if subject.waist is not None:
        inputs["waist"] = subject.waist
    return Question(
        what="verify",
        leaf=f"backends/{variant.backend}",
        modules=("edgekit.verify", __name__),
        settings={
            "precision": variant.precision,
            "origin": evidence.samples.result.origin,
            "use": evidence.use,
            "metric": None if evidence.metric is None else evidence.metric.question,
            "budget": evidence.budget,
            "min_mapped": evidence.min_mapped,
            "accelerator": _accelerator(variant),
            "constant_data": evidence.constant_data,
            "still": evidence.still,
            "trained": trained,
            "bound_to_integers": variant.bound_to_integers,
            "probes_unavailable": evidence.probes.unavailable,
        },
        inputs=inputs,
        doing=f"verifying {variant.file}",
    )


def _run(session: Session, variant: Variant, built: Answer[Built], inputs: Path, outputs: Path) -> None:
    artifact = built.folder / built.result.files[0]
    session.backend(variant.backend).run(artifact, built.result.signature, inputs, outputs)


def _run_probes(session: Session, variant: Variant, built: Answer[Built], probes: ProbeRun, outputs: Path) -> None:
    """Run the artifact on what its source takes."""
    try:
        _run(session, variant, built, probes.kept.folder / SAMPLES, outputs)
    except Unsupported as error:
        raise Unsupported(
            f"{variant.file} runs on the samples, but not on {', '.join(probes.kept.result.names[1:-1])}, "
            f"which its source takes: {error.problem}",
            place=error.place,
            fix=error.fix,
        ) from error


def _accelerator(variant: Variant) -> str | None:
    """What a target's accelerator is called in placements; None if the target names none."""
    if variant.delegate == "edgetpu":
        return "Edge TPU"
    return "NPU" if variant.settings.get("target_device") == "NPU" else None


def _refused(
    session: Session, subject: Subject, variant: Variant, built: Answer[Built], *, evidence: Evidence, judged: Judged
) -> Unsupported:
    network, where, way_out = subject.network, "", "choose another precision or target"
    suspect = _suspect(subject, variant, built) if variant.precision in FLOATS and judged.searchable else None
    if suspect is not None:
        found = _divergence(session, network, suspect, evidence, judged)
        if found is not None:
            where = f" The first tensor that diverges is {found.tensor} ({found.operator}, {found.sqnr_db:.1f} dB)."
            way_out = f"simplify that operator in the model, or {way_out}"
    return Unsupported(
        f"{built.result.files[0]} does not compute what {network.path.name} computes: {judged.refusal}.{where}",
        place=str(network.path),
        fix=way_out,
    )


def _divergence(
    session: Session, network: OpenedNetwork, suspect: Waist, evidence: Evidence, judged: Judged
) -> Divergence | None:
    """The first tensor that diverges, on the first sample or on the probe that shows it; None if it is not found.

    Nor is it if the search takes too long or needs too much memory, for it holds all values of both networks.
    """
    row, kept = (0, evidence.samples) if judged.probe is None else (judged.probe, evidence.probes.kept)

    def cut(out: Path) -> int:
        from edgekit.waist.tensors import arrays, write_npz  # noqa: PLC0415  numpy is only needed if files disagree

        values = arrays(kept.folder / SAMPLES)
        write_npz(out / "samples.npz", {name: held[row : row + 1] for name, held in values.items()})
        return row

    question = Question(
        what="one sample", modules=(__name__,), settings={"row": row}, inputs={"samples": content(kept)}
    )
    one = session.ask(question, int, cut)
    inputs, threshold_db = one.folder / "samples.npz", judged.verification.threshold_db
    source = session.source(network.leaf)
    try:
        return source.first_divergence(network.path, network.options, suspect, inputs, threshold_db)
    except (Unsupported, InputError):
        return None


def _suspect(subject: Subject, variant: Variant, built: Answer[Built]) -> Waist | None:
    """The TFLite file to search: the artifact itself, or what an artifact of another format was made from."""
    name, waist = built.result.files[0], subject.waist
    if name.endswith(".tflite"):
        return Waist(file=str(built.folder / name), signature=built.result.signature)
    if waist is None or subject.read_by(variant):
        return None
    return msgspec.structs.replace(waist.result, file=str(waist.folder / waist.result.file))
