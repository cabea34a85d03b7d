"""One file of a target: built, verified, described; and the folder that holds it with others."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgekit import __version__ as edgekit_version
from edgekit.engine.fingerprint import tool_versions
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import BudgetMissed, EndlessError, MissingTool, Unsupported
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import FILE_NAME, ArtifactFile, Manifest, carried
from edgekit.nouns.model import CALIBRATED, WEIGHTS_ONLY, Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import BuildOptions, Target, Variant
from edgekit.steps import compilation, embedding, evidence, optimization, placing, rungs
from edgekit.steps.bundling import BundleOf
from edgekit.steps.conversion import Subject
from edgekit.steps.data import BuildData
from edgekit.steps.reading import OpenedNetwork


def require_form(subject: Subject, variant: Variant) -> None:
    """Refuse a file for which the source has neither a waist nor integers, and that does not read the source.

    Raises:
        Unsupported: with the reason.
    """
    place = str(subject.network.path)
    direct = subject.read_by(variant)
    if variant.precision == subject.network.model.precision and subject.no_integers and not direct:
        raise Unsupported(
            subject.no_integers, place=place, fix="build from the float model, or choose --precision float16"
        )
    if subject.waist is None and not direct and subject.own(variant.precision) is None:
        raise Unsupported(
            subject.reason, place=place, fix=subject.fix or "choose a target that reads the source itself"
        )


def possible(subject: Subject, variants: tuple[Variant, ...]) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """The files of a target that can be made of the source, and the reasons why others cannot.

    A finished file is taken as it is; of it nothing else is made.
    """
    own = [variant for variant in variants if subject.own(variant.precision) is not None]
    if not subject.finished or not own:
        return variants, {}
    others = {v.file: subject.reason for v in variants if v not in own}
    return tuple(msgspec.structs.replace(variant, io=None) for variant in own), others


def made(
    session: Session, subject: Subject, recipe: BuildOptions, variant: Variant, prepared: BuildData, *, way: str = ""
) -> tuple[ArtifactFile, Answer[Built]]:
    """Build one file of a target, verify it, and describe it; ``way`` says how, to whoever watches.

    Raises:
        MissingTool: a compiler that is required is missing.
        Unsupported: the network cannot be built so, or the file does not compute what its source computes.
    """
    require_form(subject, variant)
    trained = subject.waist if subject.passed else None
    subject = optimization.optimized(session, subject, variant, prepared.evidence.probes.kept)
    fitted = variant.precision in WEIGHTS_ONLY and variant.backend in rungs.FITTING
    calibrated = (variant.precision in CALIBRATED or fitted) and subject.own(variant.precision) is None
    calibration = prepared.calibration if calibrated else None
    built = _compiled(session, subject, variant, calibration, recipe.seed, way=way)
    built = embedding.embedded(session, built, prepared.loaded.description, subject.network.model.name)
    if recipe.require_compiled:
        _require_compiled(variant, built.result)
    judged = evidence.verification(session, subject, variant, built, prepared.evidence, trained=trained)
    steps = judged.steps
    if recipe.embed_preprocessing:
        built = embedding.with_preprocessing(session, variant, built, prepared.loaded.description)
        steps += tuple(step for step in built.steps if step not in steps)
    result, waist = built.result, _origin(subject, variant)
    size = sum(file.bytes for file in built.files.values())
    described = ArtifactFile(
        file=result.files[0],
        precision=variant.precision,
        backend=variant.backend,
        use=variant.use,
        delegate=variant.delegate,
        io=variant.io,
        files=built.files,
        signature=result.signature,
        cost=None if subject.cost is None else msgspec.structs.replace(subject.cost, bytes=size),
        verification=judged.result.verification,
        placements=placing.placed(result, variant),
        conversion=() if waist is None else waist.notes,
        notes=result.notes,
        warnings=(*(() if waist is None else waist.warnings), *result.warnings),
        tools=result.tools,
        tried=result.tried,
        lineage=steps,
        unavailable=result.unavailable | ({} if subject.cost is not None else {"cost": subject.reason}),
    )
    return described, built


def _compiled(
    session: Session, subject: Subject, variant: Variant, calibration: Answer[Kept] | None, seed: int, *, way: str
) -> Answer[Built]:
    """The files of a variant; where the source has no waist, what would give it one helps its other readers too."""
    try:
        return compilation.compile_variant(session, subject, variant, calibration, seed, way=way)
    except EndlessError:
        raise
    except Unsupported as error:
        if subject.waist is not None or "--" not in subject.fix:
            raise
        raise Unsupported(error.problem, place=error.place, fix=subject.fix) from error


def _require_compiled(variant: Variant, built: Built) -> None:
    """Refuse a file that its target's compiler has not compiled.

    Raises:
        MissingTool: that compiler is missing.
    """
    if "compiled" in built.unavailable:
        raise MissingTool(
            f"{variant.file} is not compiled: {built.unavailable['compiled']}",
            place=f"--require-compiled, target file {variant.file}",
            fix="install that compiler (edgekit doctor tells how), or leave out --require-compiled",
        )


def _origin(subject: Subject, variant: Variant) -> Waist | None:
    """The source's integers or the waist that a file was made from; None if its backend read the source itself."""
    if subject.read_by(variant):
        return None
    made = subject.own(variant.precision) or subject.waist
    return None if made is None else made.result


def is_of_use(file: ArtifactFile) -> bool:
    """Whether verification does not call it of no use."""
    return file.verification is None or file.verification.verdict != "fail"


def require_use(files: list[ArtifactFile]) -> None:
    """Refuse to publish what verification calls of no use.

    Raises:
        BudgetMissed: a file is; the reason is told.
    """
    for file in files:
        if file.verification is not None and not is_of_use(file):
            raise BudgetMissed(
                f"{file.file} is of no use, and nothing was published: {file.verification.reason}.",
                place=f"{file.file}, verified on {file.verification.samples_origin}",
                fix="calibrate with real samples, choose a precision that loses less (--precision float16), or publish "
                "it all the same with --allow-loss",
            )


def manifest(
    network: OpenedNetwork, target: Target, recipe: BuildOptions, prepared: BuildData, files: list[ArtifactFile]
) -> Manifest:
    """Everything known about what a target's folder will hold."""
    return Manifest(
        edgekit=edgekit_version,
        tools=tool_versions(),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        source=network.model,
        recipe=recipe,
        source_options=network.options,
        target=target.name,
        artifacts=tuple(files),
        training=prepared.training_set if recipe.passes else None,
        calibration=prepared.calibration_set,
        evaluation=prepared.evaluation_set,
        description=prepared.loaded.description,
    )


def write(
    out: Path, folder: Path, described: Manifest, answers: list[Answer[Built]], bundle: BundleOf | None = None
) -> Manifest:
    """Put files, code for apps and their manifest into a folder that is about to take the place of ``folder``.

    Returns:
        The manifest, with what was measured and made of files that ``folder`` holds already.
    """
    described = carried(folder / FILE_NAME, described)
    for answer in answers:
        for name in answer.files:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(answer.folder / name, out / name)
    if bundle is not None:
        described = msgspec.structs.replace(described, integration=bundle.write(out))
    for name in described.extras:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, out / name)
    (out / FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(described)) + b"\n")
    return described
