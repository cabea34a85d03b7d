"""The verbs: what a user asks for, as sequences of steps."""

from pathlib import Path

import msgspec

from edgekit import artifact, config, data, registry, sources, speed, steps
from edgekit.config import Project
from edgekit.errors import EdgekitError, InputError, Unsupported, from_os
from edgekit.manifest import Manifest
from edgekit.naming import TensorRow
from edgekit.origin import of_model
from edgekit.publish import check as check_place
from edgekit.publish import publish
from edgekit.session import Session
from edgekit.steps import Network, Order, Subject
from edgekit.store import Answer
from edgekit.types import (
    CALIBRATED,
    Cost,
    Model,
    Noun,
    Placement,
    Precision,
    Recipe,
    SourceOptions,
    Target,
    Variant,
    Waist,
)


class Result(msgspec.Struct, frozen=True):
    """What became of one target: its folder and manifest, or the error that prevented them."""

    target: str
    folder: Path
    manifest: Manifest | None = None
    error: EdgekitError | None = None


class Inspection(Noun, frozen=True, kw_only=True):
    """What ``edgekit inspect`` tells of a model.

    ``waist`` is None where nothing can be built from it (``reason``). ``cost`` is that of the waist; without
    one it is that of the file itself, or None where LiteRT does not load that.
    """

    model: Model
    waist: Waist | None
    cost: Cost | None
    reason: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What a build will make: for each target its folder and the files with their precision.

    ``refused`` are targets that do not offer what is asked for, beside others that do.
    """

    recipe: Recipe
    options: SourceOptions
    targets: tuple[tuple[Target, Path, tuple[Variant, ...]], ...]
    refused: tuple[Result, ...] = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All files of all targets."""
        return tuple(variant for _, _, variants in self.targets for variant in variants)

    def calibrated(self, source: Model) -> tuple[str, ...]:
        """Files that need calibration data: integers that the source does not bring itself."""
        return tuple(v.file for v in self.variants if v.precision in CALIBRATED - {source.precision})


def plan(project: Project, model: Path) -> Plan:
    """Decide what to build, from the project alone; reads nothing but the target files.

    Raises:
        InputError: an unknown target, no target, or an option that fits none of them.
        Unsupported: no target offers the precision, or the dtype of inputs and outputs.
    """
    names = config.target_names() if project.targets == ("all",) else project.targets
    if not names:
        raise InputError(
            "No target is given.",
            place="--target",
            fix=f"add -t with one of: {', '.join(config.target_names())}, or all",
        )
    if project.metric is not None and project.eval is None:
        raise InputError("A metric needs evaluation data.", place="--metric", fix="add --eval PATH")
    if project.max_drop is not None and project.metric is None:
        raise InputError("A maximum drop needs a metric.", place="--max-drop", fix="add --eval PATH --metric top1")
    rows: list[tuple[Target, Path, tuple[Variant, ...]]] = []
    refused: list[Result] = []
    for target in [config.target(name) for name in dict.fromkeys(names)]:
        folder = _folder(project, model, target.name, alone=len(names) == 1)
        try:
            rows.append((target, folder, _variants(target, project)))
        except Unsupported as error:
            refused.append(Result(target.name, folder, error=error))
    if not rows and refused[0].error is not None:
        raise refused[0].error
    recipe = Recipe(
        precision=project.precision,
        io=project.io,
        calibration_samples=project.calibration_samples,
        seed=project.seed,
        require_compiled=project.require_compiled,
    )
    return Plan(recipe, project.source_options, tuple(rows), tuple(refused))


def _folder(project: Project, model: Path, target: str, *, alone: bool) -> Path:
    if project.output is not None:
        return Path(project.output) if alone else Path(project.output) / target
    return Path("dist") / model.resolve().stem / target


def _variants(target: Target, project: Project) -> tuple[Variant, ...]:
    """The target's files, or the one file of the precision that the user wants.

    Raises:
        Unsupported: the target does not offer the precision, or the dtype of inputs and outputs.
    """
    _require(target, "precision", project.precision, target.precisions)
    if project.precision is None:
        chosen = target.variants
    else:
        chosen = tuple(v for v in target.variants if v.precision == project.precision) or (
            _other_precision(target, project.precision),
        )
    if project.io is None or not any(v.precision == "int8" for v in chosen):
        return chosen
    _require(target, "io", project.io, target.boundaries)
    return tuple(msgspec.structs.replace(v, io=project.io) if v.precision == "int8" else v for v in chosen)


def _require(target: Target, option: str, wanted: str | None, offered: tuple[str, ...]) -> None:
    if wanted is not None and wanted not in offered:
        what = "files" if option == "precision" else "inputs and outputs"
        raise Unsupported(
            f"{target.name} has {what} in {' or '.join(offered)}, not in {wanted}.",
            place=f"--{option} {wanted}",
            fix=f"leave out --{option}, or choose {' or '.join(offered)}",
        )


def _other_precision(target: Target, precision: Precision) -> Variant:
    first = target.variants[0]
    stem, _, suffix = first.file.rpartition(".")
    file = f"{stem.removesuffix(first.precision.replace('-', '_'))}{precision.replace('-', '_')}.{suffix}"
    return msgspec.structs.replace(first, file=file, precision=precision, io=None, use="as asked for with --precision")


def build(session: Session, project: Project, model: Path) -> list[Result]:
    """Build a model for every target of a project; shared steps run once.

    A target that fails does not keep the others from being built.

    Raises:
        InputError: the model, the data or an option is wrong; nothing was written.
        MissingTool: the libraries that read the model are not installed.
    """
    planned = plan(project, model)
    sources.sniff(model)
    planned = _placed(planned)
    session.progress.plan(5 + 2 * len(planned.variants))
    session.expect(("backends", variant.backend) for variant in planned.variants)
    network = steps.open_network(session, model, planned.options)
    if project.calibration is None and (files := planned.calibrated(network.model)):
        raise InputError(
            f"{', '.join(dict.fromkeys(files))} needs calibration data: samples of what the model "
            "will see, from which the ranges of its activations are taken.",
            place="--calibration",
            fix=f"add --calibration PATH (.npz, .npy, .csv, a folder of images){_without_data(planned)}",
        )
    loaded = data.load(session, project, network.model.signature)
    subject = _subject(session, network, planned, loaded.samples)
    if subject.finished and project.io is not None:
        raise Unsupported(
            f"{model.name} is quantized already: its inputs and outputs stay as they are.",
            place=f"--io {project.io}",
            fix="leave out --io",
        )
    prepared = data.prepare(session, project, subject, loaded)

    def one(row: tuple[Target, Path, tuple[Variant, ...]]) -> Result:
        target, folder, variants = row
        try:
            variants, left_out = artifact.possible(subject, variants)
            built = [artifact.made(session, subject, planned.recipe, variant, prepared) for variant in variants]
            built = speed.compared(session, built)
            if not project.allow_loss:
                artifact.require_use([file for file, _ in built])
            manifest = artifact.manifest(network, target, planned.recipe, prepared, [file for file, _ in built])
            manifest = msgspec.structs.replace(manifest, unavailable=left_out)
            manifest = publish(
                folder, lambda out: artifact.write(out, folder, manifest, [answer for _, answer in built])
            )
        except EdgekitError as error:
            return Result(target.name, folder, error=error)
        except OSError as error:
            if (mended := from_os(error)) is None:
                raise
            return Result(target.name, folder, error=mended)
        return Result(target.name, folder, manifest=manifest)

    if len(planned.targets) == 1:
        return [*planned.refused, *map(one, planned.targets)]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  one target needs no threads

    with ThreadPoolExecutor(2) as pool:
        return [*planned.refused, *pool.map(one, planned.targets)]


def _placed(planned: Plan) -> Plan:
    """The plan without the targets whose result could not be written; these are among the refused.

    Raises:
        InputError: that holds for all of them.
    """
    rows, refused = [], list(planned.refused)
    for row in planned.targets:
        try:
            check_place(row[1])
        except InputError as error:
            refused.append(Result(row[0].name, row[1], error=error))
        else:
            rows.append(row)
    if not rows and refused[-1].error is not None:
        raise refused[-1].error
    return msgspec.structs.replace(planned, targets=tuple(rows), refused=tuple(refused))


def _without_data(planned: Plan) -> str:
    """The other way out, where every target has one: a precision whose activations stay float."""
    fixed = any(variant.base is not None for variant in planned.variants)
    return "" if fixed else ", or --precision float16"


def _subject(session: Session, network: Network, planned: Plan, samples: Answer[steps.Kept] | None = None) -> Subject:
    """The source with its waist and its own integers, or with the reasons why there are none.

    Raises:
        Unsupported: it has no waist, and every file needs one.
    """
    integers, no_integers = _integers(session, network, planned)
    try:
        waist = steps.to_waist(session, network, samples)
    except Unsupported as error:
        if integers is None and not any(network.read_by(variant) for variant in planned.variants):
            raise
        counted = None if integers is None else steps.cost(session, integers)
        return Subject(network, None, counted, error.problem, integers, no_integers)
    return Subject(network, waist, steps.cost(session, waist), "", integers, no_integers)


def _integers(session: Session, network: Network, planned: Plan) -> tuple[Answer[Waist] | None, str]:
    """The source's own integers where a file of their precision is wanted, or why they have no TFLite form."""
    precision = network.model.precision
    if precision not in CALIBRATED or all(variant.precision != precision for variant in planned.variants):
        return None, ""
    try:
        return steps.as_it_is(session, network), ""
    except Unsupported as error:
        return None, error.problem


class Check(Noun, frozen=True, kw_only=True):
    """Whether a target takes a model: for each of its files where the operators would run, or why it fails."""

    target: str
    file: str
    works: bool
    placements: tuple[Placement, ...] = ()
    reason: str = ""


def check(session: Session, project: Project, model: Path) -> list[Check]:
    """Try a model on targets without calibration data, and without an artifact.

    Ranges come from random inputs: enough to see which operators can be quantized and where they
    would run, nothing that could be shipped. A TFLite file of 8-bit integers is judged as it is, for
    targets that compile such files.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    planned = plan(project, model)
    session.progress.plan(3 + len(planned.variants))
    network = steps.open_network(session, model, planned.options)
    subject = _subject(session, network, planned)
    drawn = steps.keep(session, data.drawn(network.model.signature, project.seed))

    def row(target: str, variant: Variant) -> Check:
        """One file of one target."""
        return _check(session, subject, target, Order(variant, variant.precision, variant.io, drawn, project.seed))

    refused = [
        Check(target=result.target, file="", works=False, reason=result.error.problem)
        for result in planned.refused
        if result.error is not None
    ]
    return [*refused, *(row(target.name, variant) for target, _, variants in planned.targets for variant in variants)]


def _check(session: Session, subject: Subject, target: str, order: Order) -> Check:
    if order.precision not in CALIBRATED or subject.own(order.precision) is not None:
        order = msgspec.structs.replace(order, calibration=None)
    if subject.finished:
        order = msgspec.structs.replace(order, io=None)
    file = order.variant.file
    try:
        artifact.require_form(subject, order.variant)
        built = steps.compile_variant(session, subject, order)
    except EdgekitError as error:
        return Check(target=target, file=file, works=False, reason=error.problem)
    return Check(target=target, file=file, works=True, placements=built.result.placements)


def inspect(session: Session, model: Path, options: SourceOptions) -> Inspection:
    """Describe a model: signature, operators, parameters, MACs, peak activation memory.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    session.progress.plan(3)
    network = steps.open_network(session, model, options)
    try:
        waist = steps.to_waist(session, network)
    except Unsupported as error:
        file = steps.as_it_is(session, network)
        counted = None if file is None else steps.cost(session, file)
        return Inspection(model=network.model, waist=None, cost=counted, reason=error.problem)
    return Inspection(model=network.model, waist=waist.result, cost=steps.cost(session, waist))


def tensors(session: Session, model: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
    """The tensors of a model, by which it can be cut; also of one that cannot be built from as a whole.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    session.progress.plan(1)
    path = model.absolute()
    leaf = sources.FORMATS[sources.sniff(path)]
    registry.require(leaf)
    origin = of_model(path, options)
    return session.ask(
        f"reading {path.name}",
        {"step": "tensors", "source": origin.sha256, "name": path.name, "options": msgspec.to_builtins(options)},
        tuple[TensorRow, ...],
        origin.reading(lambda _: session.call("sources", leaf, "tensors", path=path, options=options)),
    ).result
