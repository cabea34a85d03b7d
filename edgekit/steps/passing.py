"""The passes of a recipe, from waist to waist: one question each, weighed before and after."""

from pathlib import Path

import msgspec

from edgekit.engine.question import Input, Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of, file_digest
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built
from edgekit.nouns.model import CALIBRATED, Waist
from edgekit.nouns.recipe import (
    Cluster,
    Distill,
    FineTune,
    PassReport,
    PassSettings,
    Prune,
    PruneChannels,
    Qat,
    Weighed,
    idle,
    name_of,
)
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.passes import Passed, Task
from edgekit.steps import compilation, conversion, evidence, optimization, speed, teaching
from edgekit.steps.conversion import Subject
from edgekit.steps.data import BuildData
from edgekit.steps.evidence import Evidence
from edgekit.steps.reading import OpenedNetwork
from edgekit.steps.sampling import SAMPLES, content

INT8 = Variant(file="model_int8.tflite", backend="tflite", precision="int8", io="float32", use="what is trained for")
"""The file that quantization-aware training is for, if a target has none of its own."""

TABLE = "synonyms"
"""The augmentation whose value is a file: what is in it decides what a pass makes."""

MOST_CHOICES = 0.5
"""Share of choices of its source from which on a network is not called lost: labels may make its outputs larger."""


class Course(msgspec.Struct, frozen=True):
    """What the passes of a recipe share.

    Attributes:
        samples: what is trained on, as the user gave it.
        teacher: the network whose outputs are to be met; the source itself if None.
        data: of the build.
        facts: numbers of the target that passes may heed.
        variants: the target's files, for what is to be met by quantization-aware training.
        seed: of every random choice.
    """

    samples: Answer[Kept]
    teacher: Answer[Waist] | None
    data: BuildData
    facts: dict[str, float] = {}
    variants: tuple[Variant, ...] = ()
    seed: int = 0


class Stage(msgspec.Struct, frozen=True):
    """Where a recipe has got to: the network, what it is, the passes until there, and the source's float form."""

    subject: Subject
    weighed: Weighed
    reports: tuple[PassReport, ...] = ()
    source: Answer[Waist] | None = None


def through(session: Session, subject: Subject, passes: tuple[PassSettings, ...], course: Course) -> Stage:
    """Take a source's waist through all passes.

    Raises:
        InputError: samples, labels or settings do not fit the network.
        Unsupported: it has no waist, or cannot be trained so.
    """
    course = msgspec.structs.replace(course, teacher=course.teacher or _float_form(subject))
    stage = Stage(subject, weighed(session, subject, course.data.evidence), source=subject.waist)
    for settings in passes:
        stage = _next(session, stage, settings, course)
    return stage


def require_floats(session: Session, network: OpenedNetwork, passes: tuple[PassSettings, ...]) -> None:
    """Refuse a file of integers that is to be trained before samples are asked to fit its integers.

    Raises:
        Unsupported: it is one.
    """
    if passes and network.model.format == "tflite" and network.model.precision in CALIBRATED:
        conversion.to_waist(session, network)


def _float_form(subject: Subject) -> Answer[Waist]:
    """A subject's waist.

    Raises:
        Unsupported: it has none.
    """
    if subject.waist is None:
        raise Unsupported(
            f"{subject.network.path.name} has no float form that could be trained: {subject.reason}",
            place=str(subject.network.path),
            fix="give the float model that it was made from, or use --recipe ptq",
        )
    return subject.waist


def _next(session: Session, stage: Stage, settings: PassSettings, course: Course) -> Stage:
    """What a pass makes of a stage."""
    subject, built = stage.subject, None
    if isinstance(settings, Distill) and settings.student is not None:
        subject = msgspec.structs.replace(
            subject, waist=teaching.another(session, Path(settings.student), subject, role="student")
        )
    if isinstance(settings, Qat):
        subject, built = _specified(session, subject, settings, course)
    answer = _passed(session, subject, settings, course, built)
    made = answer.result
    before = subject.waist
    assert before is not None, "a subject with passes has a waist"
    waist = Waist(
        file=made.file,
        signature=made.signature,
        notes=(*before.result.notes, *made.notes),
        warnings=(*before.result.warnings, *made.warnings),
    )
    after = Answer(waist, answer.folder, answer.files, answer.from_cache, answer.steps)
    subject = msgspec.structs.replace(
        subject,
        waist=after,
        cost=conversion.cost(session, after, doing=""),
        integers=None,
        passed=True,
        learned={settings.precision: answer.folder / made.learned}
        if isinstance(settings, Qat) and made.learned
        else {},
    )
    now = weighed(session, subject, course.data.evidence)
    report = PassReport(
        settings=settings,
        seconds=answer.steps[-1].seconds or 0.0,
        before=stage.weighed,
        after=now,
        epochs=made.epochs,
        figures=made.figures,
        notes=made.notes,
        warnings=(
            *made.warnings,
            *idle(settings),
            *(lost(stage.weighed, now, settings) if course.teacher is stage.source else ()),
        ),
    )
    return Stage(subject, now, (*stage.reports, report), stage.source)


def lost(before: Weighed, now: Weighed, settings: PassSettings) -> tuple[str, ...]:
    """What is told of a network that a pass has ruined: half of an output is error, and its choices are others."""
    from edgekit.verify.parts import FLOOR_DB  # noqa: PLC0415  numpy is only needed on a cold path

    agreement = 0.0 if now.agreement is None else now.agreement
    if now.sqnr_db is None or now.sqnr_db >= FLOOR_DB or agreement >= MOST_CHOICES:
        return ()
    if before.sqnr_db is not None and before.sqnr_db < FLOOR_DB:
        return ()
    chosen = "" if now.agreement is None else f", and {now.agreement:.0%} of the choices are its source's"
    name = name_of(settings)
    ways = ["train longer"] if settings.epochs else []
    if isinstance(settings, PruneChannels | Prune | Cluster):
        ways.append("take away less" if settings.epochs else "take away less, or train")
    if settings.epochs:
        ways.append(f"lower {name}.learning_rate ({settings.learning_rate:g})")
    if settings.epochs and not settings.holdout:
        ways.append(f"hold samples out that tell when to stop ({name}.holdout)")
    told = f"what this pass left computes little of what its source does: SQNR {now.sqnr_db:.1f} dB{chosen}"
    return (f"{told}: {', or '.join(ways)}",)


def _specified(session: Session, subject: Subject, settings: Qat, course: Course) -> tuple[Subject, Answer[Built]]:
    """The network as it will be quantized, and the file that says how."""
    wanted = next(
        (v for v in course.variants if v.precision == settings.precision and "tflite" in {v.backend, v.base}), INT8
    )
    variant = msgspec.structs.replace(
        INT8,
        file=INT8.file.replace("int8", settings.precision.replace("-", "_")),
        precision=settings.precision,
        settings={key: value for key, value in wanted.settings.items() if wanted.base is None},
    )
    rewritten = optimization.optimized(session, subject, variant, course.data.evidence.probes.kept, drafted=False)
    calibration = course.data.calibration
    built = compilation.compile_variant(
        session, rewritten, variant, calibration, course.seed, way="what is to be trained for"
    )
    return rewritten, built


def _heeded(settings: PassSettings, facts: dict[str, float]) -> dict[str, float]:
    """The facts of a target that a pass may heed: targets that do not differ in them share its answer."""
    return {name: n for name, n in facts.items() if "channel" in name} if isinstance(settings, PruneChannels) else {}


def _passed(
    session: Session, subject: Subject, settings: PassSettings, course: Course, built: Answer[Built] | None
) -> Answer[Passed]:
    """What a pass's leaf makes of a waist."""
    waist, teacher, samples, name = subject.waist, course.teacher, course.samples, name_of(settings)
    assert waist is not None and teacher is not None, "asked before"  # noqa: PT018  one thought
    facts = _heeded(settings, course.facts)
    labels = samples.folder / "labels.npy" if samples.result.labelled else None
    inputs: dict[str, Input] = {
        "waist": waist,
        "signature": Known(digest_of(waist.result.signature)),
        "teacher": teacher,
        "teacher_signature": Known(digest_of(teacher.result.signature)),
        "samples": content(samples),
    }
    if labels is not None:
        inputs["labels"] = Known(digest_of(samples.result))
    if built is not None:
        inputs["specification"] = built
    inputs |= _table_inputs(settings)
    question = Question(
        what=name,
        leaf=f"passes/{name.replace('-', '_')}",
        settings=msgspec.to_builtins(settings) | {"facts": facts},
        inputs=inputs,
        seed=course.seed,
        doing=f"{name} of {subject.network.path.name}",
    )

    def apply(out: Path) -> Passed:
        with session.unfinished(question) as checkpoints:
            task = Task(
                waist=str(waist.folder / waist.result.file),
                signature=waist.result.signature,
                teacher=str(teacher.folder / teacher.result.file),
                teacher_signature=teacher.result.signature,
                samples=str(samples.folder / SAMPLES),
                specification=None if built is None else str(built.folder / built.result.files[0]),
                labels=None if labels is None else str(labels),
                settings=settings,
                facts=facts,
                checkpoints=str(checkpoints),
                seed=course.seed,
            )
            return session.training_pass(name.replace("-", "_")).apply(task, out)

    return session.ask(question, Passed, apply)


def _tables(settings: PassSettings) -> list[Path]:
    """The files that augmentations of a pass read; one that is not there is refused by the pass."""
    named = [Path(value) for name, _, value in (told.partition("=") for told in settings.augmentation) if name == TABLE]
    return [file for file in named if file.is_file()]


def _table_inputs(settings: PassSettings) -> dict[str, Input]:
    """The content of these files by role; a path could be the name of another role."""
    return {f"{TABLE} {place}": Known(file_digest(file).sha256) for place, file in enumerate(_tables(settings))}


def keras_form(session: Session, subject: Subject, seed: int) -> Answer[Passed]:
    """A subject's waist as a Keras model.

    Raises:
        Unsupported: it has no waist, or none that Keras holds.
    """
    waist, settings = _float_form(subject), FineTune()  # which the pass has no use for
    path = str(waist.folder / waist.result.file)
    signature = waist.result.signature
    question = Question(
        what="keras-form",
        leaf="passes/keras_form",
        inputs={"waist": waist},
        doing=f"writing {subject.network.path.name} as a Keras model",
    )

    def apply(out: Path) -> Passed:
        with session.unfinished(question) as checkpoints:
            task = Task(
                waist=path, signature=signature, teacher=path, teacher_signature=signature, samples="",
                settings=settings, checkpoints=str(checkpoints), seed=seed,
            )  # fmt: skip
            return session.training_pass("keras_form").apply(task, out)

    return session.ask(question, Passed, apply)


def weighed(session: Session, subject: Subject, found: Evidence) -> Weighed:
    """What a subject's waist is, and how near it comes to the source."""
    waist, cost = subject.waist, subject.cost
    assert waist is not None, "asked before"
    assert cost is not None, "a waist has a cost"
    path = waist.folder / waist.result.file
    judged = evidence.of_waist(session, subject, found)
    metric = judged.metric

    def weigh(_: Path) -> Weighed:
        from edgekit.waist.cost import gzip_bytes, zeros  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        content_ = path.read_bytes()
        return Weighed(
            parameters=cost.parameters,
            macs=cost.macs,
            zeros=zeros(path),
            bytes=len(content_),
            gzip_bytes=gzip_bytes(content_),
        )

    question = Question(what="weigh", modules=(__name__, "edgekit.waist.cost"), inputs={"waist": waist})
    return msgspec.structs.replace(
        session.ask(question, Weighed, weigh).result,
        latency_ms=speed.timing(session, "tflite", waist, path).best_ms,
        sqnr_db=judged.sqnr_db,
        agreement=judged.agreement,
        metric=None if metric is None else metric.artifact,
    )
