"""Build a model for every target of a project."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgekit.config import Project
from edgekit.engine.publish import check as check_place
from edgekit.engine.publish import publish as replace_folder
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import CancelledError, EdgekitError, InputError, Unsupported, from_os
from edgekit.host import events
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import FILE_NAME, Manifest
from edgekit.nouns.model import FLOATS, Waist
from edgekit.nouns.recipe import PassReport, Qat
from edgekit.nouns.results import Plan, Result
from edgekit.nouns.target import Target, Variant
from edgekit.steps import artifact, bundling, conversion, data, ladder, optimization, passing, reading, speed, teaching
from edgekit.steps import metric as metrics
from edgekit.steps.bundling import BundleOf
from edgekit.steps.conversion import Subject
from edgekit.steps.data import BuildData
from edgekit.steps.ladder import Search
from edgekit.steps.rungs import File
from edgekit.verbs.planning import plan

type Row = tuple[Target, Path, tuple[Variant, ...]]
"""A target of a plan: its folder, and the files to make."""


class InMemory(msgspec.Struct, frozen=True):
    """What the calling program gives in place of what a project names.

    ``files`` hold its samples, by the project's key (``calibration``, ``eval``); ``metric`` is its own function.
    """

    files: dict[str, Path] = {}
    metric: metrics.Function | None = None


NAMED = InMemory()
"""Nothing: all that a build uses is named by its project."""


class BuiltTarget(msgspec.Struct, frozen=True):
    """What was built for one target, in the cache of its session; or the error that prevented it.

    ``folder`` is where it is to be published, ``answers`` hold the files. Unless it is ``done``, better may follow.
    """

    target: str
    folder: Path
    manifest: Manifest | None = None
    answers: tuple[Answer[Built], ...] = ()
    error: EdgekitError | None = None
    done: bool = True
    bundle: BundleOf | None = None


class _Prepared(msgspec.Struct, frozen=True):
    """What the targets of a build share."""

    planned: Plan
    subject: Subject
    data: BuildData
    search: Search | None
    teacher: Answer[Waist] | None = None


def build(session: Session, project: Project, model: Path, in_memory: InMemory = NAMED) -> list[Result]:
    """Build a model for every target of a project, and publish what was built; shared steps run once.

    A target that fails does not keep the others from being built.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read the model are not installed.
    """
    planned = plan(project, model)
    reading.source_of(model)
    prepared = _prepare(session, project, model, _placed(planned), in_memory)
    return [
        *prepared.planned.refused,
        *_each(session, lambda row: _published(_made(session, project, prepared, row)), prepared),
    ]


def make(session: Session, project: Project, model: Path, in_memory: InMemory = NAMED) -> list[BuiltTarget]:
    """The same without publishing: nothing is written but the cache, and answers end with the session.

    Raises:
        As `build`.
    """
    prepared = _prepare(session, project, model, plan(project, model), in_memory)
    refused = [BuiltTarget(result.target, result.folder, error=result.error) for result in prepared.planned.refused]
    return [*refused, *_each(session, lambda row: [*_made(session, project, prepared, row)][-1], prepared)]


def publish(made: BuiltTarget) -> Result:
    """Put what was built for a target into its folder, whole or not at all."""
    if made.manifest is None:
        return Result(made.target, made.folder, error=made.error)
    described = made.manifest
    try:
        written = replace_folder(
            made.folder, lambda out: artifact.write(out, made.folder, described, list(made.answers), made.bundle)
        )
    except CancelledError:
        raise
    except EdgekitError as error:
        return Result(made.target, made.folder, error=error)
    except OSError as error:
        return Result(made.target, made.folder, error=_mended(error))
    return Result(made.target, made.folder, manifest=written.made, kept=written.kept, gone=written.gone)


def _published(made: Iterator[BuiltTarget]) -> Result:
    """Publish what a target's search comes to, better each time, as soon as it is there; the last is the result.

    What an earlier search left there stays meanwhile if it is better still: it may have been killed.
    """
    result: Result | None = None
    gone: set[str] = set()
    for target in made:
        if target.done or not ladder.stands(target.folder, target.manifest):
            result = publish(target)
            gone |= set(result.gone)
            if result.error is not None:
                break
    assert result is not None, "the last is done"
    here = () if result.manifest is None else tuple(name for f in result.manifest.artifacts for name in f.files)
    return msgspec.structs.replace(result, gone=tuple(sorted(gone - set(here))))


def _prepare(session: Session, project: Project, model: Path, planned: Plan, in_memory: InMemory) -> _Prepared:
    """What is done once for all targets: reading, converting, and running the source on samples."""
    started = time.monotonic()
    session.progress.plan(5 + 3 * len(planned.recipe.passes) + 2 * len(planned.variants))
    rewriting = [("rewrites", "optimizer")] if any(optimization.rules(variant) for variant in planned.variants) else []
    session.expect([*(("backends", variant.backend) for variant in planned.variants), *rewriting])
    _tell_of_unused(session, project, planned)
    network = reading.open_network(session, model, planned.options)
    session.network = network.origin.path
    if project.calibration is None and project.data is None and (files := planned.calibrated(network.model)):
        raise InputError(
            f"{', '.join(dict.fromkeys(files))} needs calibration data: samples of what the model "
            "will see, from which the ranges of its activations are taken.",
            place="--calibration",
            fix=f"add --calibration PATH (.npz, .npy, .csv, a folder of images){_without_data(planned)}",
        )
    passing.require_floats(session, network, planned.recipe.passes)
    loaded = data.load(session, project, network.model.signature, in_memory.files)
    subject = conversion.subject(session, network, planned.variants, loaded.samples)
    if subject.finished and project.io is not None:
        raise Unsupported(
            f"{model.name} is quantized already: its inputs and outputs stay as they are.",
            place=f"--io {project.io}",
            fix="leave out --io",
        )
    optimization.require_named(session, subject, planned.variants)
    named = in_memory.metric or project.metric
    metric = None if named is None else metrics.wanted(session, named, loaded.description)
    prepared = data.prepare(session, project, subject, loaded, metric)
    search = ladder.search(planned.recipe, started)
    return _Prepared(planned, subject, prepared, search, teaching.teacher(session, project, subject))


def _tell_of_unused(session: Session, project: Project, planned: Plan) -> None:
    """Say so if what the user says about quantization, or what is trained of it, changes no file."""
    said, made = project.quantization.settings, dict.fromkeys(variant.precision for variant in planned.variants)
    files, several = " and ".join(made), len(made) > 1
    for settings in planned.recipe.passes:
        if isinstance(settings, Qat) and settings.precision not in made:
            built = f"{files} {'are' if several else 'is'} built without them"
            told = f"qat trains the integers of {settings.precision} files, and {built}"
            session.progress.tell("", events.Remark(f"{told}: set qat.precision, or build {settings.precision}"))
    if said and FLOATS.issuperset(made):
        why = f"only {files} {'are built, which are' if several else 'is built, which is'} not quantized"
        told = f"{', '.join(said)} ([quantization], --set) changes nothing: {why}"
        session.progress.tell("", events.Remark(told))


def _each[T](session: Session, work: Callable[[Row], T], prepared: _Prepared) -> list[T]:
    """The work of every target, of two at a time."""
    rows = prepared.planned.targets
    if len(rows) == 1:
        return [work(rows[0])]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  one target needs no threads

    with ThreadPoolExecutor(2) as pool:
        try:
            return list(pool.map(work, rows))
        except KeyboardInterrupt:  # else the pool would wait for the targets that are under way
            session.cancel()
            raise


def _made(session: Session, project: Project, prepared: _Prepared, row: Row) -> Iterator[BuiltTarget]:
    """The files of one target, once, or better and better if a budget is searched for; a failure is the last."""
    target, folder, _ = row
    try:
        yield from _files(session, project, prepared, row)
    except CancelledError:
        raise
    except EdgekitError as error:
        yield BuiltTarget(target.name, folder, error=error, done=True)
    except OSError as error:
        yield BuiltTarget(target.name, folder, error=_mended(error), done=True)


def _files(session: Session, project: Project, prepared: _Prepared, row: Row) -> Iterator[BuiltTarget]:
    """What `_made` gives as long as nothing fails.

    Raises:
        EdgekitError: a file cannot be built, or is of no use.
    """
    target, folder, wanted = row
    recipe, data_ = prepared.planned.recipe, data.demanding(prepared.data, project.demands(target.name))
    subject, reports = _trained(session, prepared, row)
    variants, left_out = artifact.possible(subject, wanted)

    def make(variant: Variant, way: str = "") -> File:
        return artifact.made(session, subject, recipe, variant, data_, way=way)

    def built(files: list[File], *, done: bool) -> BuiltTarget:
        """What there is of a target until now; it gets code for apps once it is done."""
        files = speed.compared(session, files)
        described = artifact.manifest(subject.network, target, recipe, data_, [file for file, _ in files])
        described = msgspec.structs.replace(described, unavailable=left_out, passes=reports)
        answers = [answer for _, answer in files]
        if not (done and recipe.integration):
            return BuiltTarget(target.name, folder, described, tuple(answers), done=done)
        described, bundle = bundling.attempt(session, target, described, answers, data_.evidence.samples)
        return BuiltTarget(target.name, folder, described, tuple(answers), bundle=bundle)

    if prepared.search is None:
        files = [make(variant) for variant in variants]
    else:
        looked_at, probes = data_.calibration or data_.evidence.samples, data_.evidence.probes.kept
        climbs = [
            ladder.Climb(
                session,
                subject,
                variant,
                make,
                search=prepared.search,
                samples=looked_at,
                probes=probes,
                target=target,
                calibrated=data_.calibration is not None,
            )
            for variant in variants
        ]
        for files in ladder.climb(climbs):
            if project.allow_loss or all(artifact.is_of_use(file) for file, _ in files):
                yield built(files, done=False)
        files = [climb.file for climb in climbs]
    if not project.allow_loss:
        artifact.require_use([file for file, _ in files])
    yield built(files, done=True)


def _trained(session: Session, prepared: _Prepared, row: Row) -> tuple[Subject, tuple[PassReport, ...]]:
    """The source as the recipe's passes leave it for a target, with what they cost and gained."""
    target, _, variants = row
    passes, training = prepared.planned.recipe.passes, prepared.data.loaded.training
    if not passes or training is None:
        return prepared.subject, ()
    facts = {name: float(fact.value) for name, fact in target.facts.items()}
    course = passing.Course(
        training.every, prepared.teacher, prepared.data, facts, variants, prepared.planned.recipe.seed
    )
    stage = passing.through(session, prepared.subject, passes, course)
    return stage.subject, stage.reports


def _mended(error: OSError) -> EdgekitError:
    """The complaint that a user can act on; any other error is raised again."""
    mended = from_os(error)
    if mended is None:
        raise error
    return mended


def _placed(planned: Plan) -> Plan:
    """The plan without the targets whose result could not be written; these are among the refused.

    Raises:
        InputError: that holds for all of them.
    """
    rows, refused = [], list(planned.refused)
    for row in planned.targets:
        try:
            check_place(row[1], {FILE_NAME, *(variant.file for variant in row[2])})
        except InputError as error:
            refused.append(Result(row[0].name, row[1], error=error))
        else:
            rows.append(row)
    if not rows and refused[-1].error is not None:
        raise refused[-1].error
    return msgspec.structs.replace(planned, targets=tuple(rows), refused=tuple(refused))


def _without_data(planned: Plan) -> str:
    """The other way out if every target has one: a precision whose activations stay float."""
    fixed = any(variant.base is not None for variant in planned.variants)
    return "" if fixed else ", or --precision float16"
