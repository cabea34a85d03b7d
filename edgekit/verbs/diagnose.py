"""Find where a file loses its signal, and what would help."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import sources
from edgekit.config import targets
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, file_digest
from edgekit.errors import InputError
from edgekit.nouns import manifest as manifests
from edgekit.nouns.description import Description
from edgekit.nouns.diagnosis import MOST_SAMPLES, Diagnosed, Diagnosis, Help
from edgekit.nouns.manifest import ArtifactFile, DataSet, Manifest
from edgekit.nouns.model import Precision, Signature, SourceOptions
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Variant
from edgekit.steps import diagnosis, reading, sampling
from edgekit.steps.evidence import affordable
from edgekit.steps.reading import OpenedNetwork

EXACT = {"float32"}
"""Precisions of files that round nothing."""

UNKNOWN: tuple[Precision, ...] = ("int8", "float16")
"""What a file may be of which nothing is known: networks are rewritten for integers, or for floats."""


class DiagnosisRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at.

    ``artifact`` is a file, or a folder with a manifest, then ``file`` is one of its files by name or precision.
    ``against`` is the source, ``samples`` names data; both are the manifest's if they are None. ``held`` writes
    samples that a program holds in memory. ``options`` say how the source is read, if there is no manifest.
    ``max_samples`` is on how many samples both networks run at most, ``helps`` for how many operators to try what would
    help.
    """

    artifact: Path
    against: Path | None = None
    samples: str | None = None
    held: Callable[[Signature], Path] | None = None
    file: str | None = None
    options: SourceOptions = SourceOptions()
    max_samples: int = MOST_SAMPLES
    helps: int = 0
    seed: int = 0


class _Subject(msgspec.Struct, frozen=True):
    """The file, with what its manifest says of it and of its folder."""

    path: Path
    described: ArtifactFile | None = None
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()


def diagnose(session: Session, request: DiagnosisRequest) -> Diagnosed:
    """Run a file and its source's float network operator by operator on the same samples.

    Raises:
        InputError: there is no such file, its source is not found or is another one, or the samples do not fit.
        Unsupported: the file's operators cannot be looked into.
        MissingTool: the libraries that read the source are not installed.
    """
    session.progress.plan(3)
    subject = _subject(request)
    network, notes = source(session, request, subject)
    samples, more = _samples(session, request, subject, network)
    floats = diagnosis.counterparts(session, subject.path, network, _variants(subject), samples)
    found = diagnosis.diagnose(session, subject.path, floats, samples, request.helps)
    return Diagnosed(
        file=str(subject.path),
        source=str(network.path),
        samples_origin=samples.result.origin,
        diagnosis=_to_be_followed(found.result, subject),
        notes=(*subject.notes, *notes, *more, *_fewer(found.result.samples, samples.result, request.max_samples)),
    )


def _to_be_followed(seen: Diagnosis, subject: _Subject) -> Diagnosis:
    """A diagnosis that proposes nothing that the file's target refuses, and no settings that the build has tried.

    They were tried on the whole network, where they gave less, whatever they give this operator.
    """
    known, described = subject.manifest, subject.described
    if known is None or described is None:
        return seen
    refused = _refused(known.target, described.file)

    def followed(help_: Help) -> Help:
        """A help without its setting, if the build has tried that already."""
        key, _, value = help_.setting.partition("=")
        had = any(one.covers({key: value}) for one in described.tried) if key else False
        return msgspec.structs.replace(help_, setting="") if had else help_

    return msgspec.structs.replace(
        seen,
        operators=tuple(
            msgspec.structs.replace(row, helps=tuple(followed(one) for one in row.helps if one.remedy not in refused))
            for row in seen.operators
        ),
    )


def _variants(subject: _Subject) -> tuple[Variant, ...]:
    """What a file may have been built as; each is rewritten in its own way."""
    described, known = subject.described, subject.manifest
    if described is None or known is None:
        return tuple(Variant(file=subject.path.name, backend="tflite", precision=p, use="") for p in UNKNOWN)
    return (Variant(file=described.file, backend=described.backend, precision=described.precision, use=""),)


def _refused(target: str, file: str) -> frozenset[str]:
    """Remedies that a target does not take; none if it is not known here."""
    try:
        variants = targets.target(target).variants
    except InputError:
        return frozenset()
    bound = [variant for variant in variants if variant.file == file and variant.bound_to_integers]
    if any(variant.base is not None for variant in bound):  # a compiler of files with 8 bits, and one scale per layer
        return frozenset({"float32", "int16", "per channel"})
    return frozenset({"float32"} if bound else ())


def _subject(request: DiagnosisRequest) -> _Subject:
    path = request.artifact
    if _of_framework(path):
        raise InputError(
            f"{path.name} is a model to build from, not a file that was built: there is nothing to compare it with.",
            place=str(path),
            fix=f"build it and diagnose what comes out: edgekit build {path} -t TARGET",
        )
    if path.is_dir():
        return _in_folder(path, manifests.read(path / manifests.FILE_NAME), request.file)
    if request.file is not None:
        raise InputError(
            f"{path.name} is a file already.", place="--file", fix="leave out --file, or name the folder of the file"
        )
    beside = path.parent / manifests.FILE_NAME
    if beside.is_file():
        known = manifests.read(beside)
        for described in known.artifacts:
            if described.file == path.name:
                return _confirmed(_Subject(path, described, known))
    return _Subject(path)


def _of_framework(path: Path) -> bool:
    """Whether it is in a format that no build writes."""
    try:
        return sources.sniff(path) in {"savedmodel", "hdf5", "keras"}
    except InputError:  # a folder of results, a file of OpenVINO's
        return False


def _in_folder(folder: Path, known: Manifest, name: str | None) -> _Subject:
    """The file of a folder that is asked for, or the one that comes least close to its source."""
    files = [file for file in known.artifacts if name in {None, file.file, file.precision}]
    if name is None:
        files = [file for file in files if file.precision not in EXACT] or files
    if not files:
        offered = ", ".join(f"{file.file} ({file.precision})" for file in known.artifacts)
        raise InputError(f"{folder} holds no {name}.", place="--file", fix=f"choose from {offered}")
    chosen = min(files, key=_sqnr_db)
    others = ", ".join(file.file for file in files if file is not chosen)
    notes = (f"{chosen.file} has the lowest SQNR of this folder's files (--file names another: {others})",)
    return _confirmed(_Subject(folder / chosen.file, chosen, known, notes if others else ()))


def _sqnr_db(file: ArtifactFile) -> float:
    judged = file.verification
    return float("inf") if judged is None or judged.sqnr_db is None else judged.sqnr_db


def _confirmed(subject: _Subject) -> _Subject:
    """See that the file is the one that its manifest describes.

    Raises:
        InputError: it is not, or it is not there.
    """
    expected = None if subject.described is None else subject.described.files.get(subject.path.name)
    if not subject.path.is_file() or (expected is not None and file_digest(subject.path) != expected):
        there = subject.path.is_file()
        raise InputError(
            f"{subject.path.name} is {'not the file that the manifest describes' if there else 'not there'}.",
            place=str(subject.path),
            fix="build it again, or diagnose a copy of the file in a folder of its own, with --against MODEL",
        )
    return subject


def source(session: Session, request: DiagnosisRequest, subject: _Subject) -> tuple[OpenedNetwork, tuple[str, ...]]:
    """The model that the file was made from.

    Raises:
        InputError: it is not found, or it is another one, or of integers.
    """
    known = subject.manifest
    options = request.options if known is None else known.source_options
    if known is not None and known.passes:
        return _trained(session, request, subject, known)
    if request.against is not None:
        network = reading.open_network(session, request.against, options)
        if network.model.format == "tflite" and network.model.precision in {"int8", "int16x8"}:
            raise InputError(
                f"{request.against.name} is quantized itself: it does not show what a float network computes.",
                place=f"--against {request.against}",
                fix="name the float model that the file was made from: --against MODEL",
            )
        if known is not None and network.model.sha256 != known.source.sha256:
            raise InputError(
                f"{subject.path.name} was not built from this {request.against.name}, but from one with the SHA-256 "
                f"{known.source.sha256[:12]}…",
                place=f"--against {request.against}",
                fix=f"name that {known.source.file}, or build the file again from this one",
            )
        return network, ()
    if known is None:
        raise InputError(
            f"Nothing says what {subject.path.name} was built from: there is no manifest beside it.",
            place=str(subject.path),
            fix="name its source: --against MODEL; if it is the source, build it first, and diagnose what comes out",
        )
    for path in _places(subject.path, known.source.file):
        network = reading.open_network(session, path, options)
        if network.model.sha256 == known.source.sha256:
            return network, (f"its source is {path}",)
    raise InputError(
        f"{known.source.file}, from which {subject.path.name} was built, is neither in the current folder nor above "
        "the artifact's, or it has changed.",
        place=str(subject.path.parent / manifests.FILE_NAME),
        fix="name it: --against MODEL",
    )


def _trained(
    session: Session, request: DiagnosisRequest, subject: _Subject, known: Manifest
) -> tuple[OpenedNetwork, tuple[str, ...]]:
    """The network that passes left, from which the file was quantized: the source is another one.

    Raises:
        InputError: it is not named.
    """
    if request.against is None:
        name = known.recipe.recipe
        raise InputError(
            f"{subject.path.name} was made from what the recipe {name} left of {known.source.file}.",
            place=str(subject.path),
            fix=f"write it with edgekit compress {known.source.file} --recipe {name} … -o trained.tflite, with the "
            "same data, and name it: --against trained.tflite",
        )
    network = reading.open_network(session, request.against, request.options)
    return network, (f"it is held against {request.against}, which nobody has checked to be what was quantized",)


def _places(artifact: Path, name: str) -> list[Path]:
    """Where a source may lie: in the current folder, and in those above the artifact."""
    folders = dict.fromkeys((Path.cwd(), *artifact.resolve().parents))
    return [folder / name for folder in folders if (folder / name).exists()]


def _samples(
    session: Session, request: DiagnosisRequest, subject: _Subject, network: OpenedNetwork
) -> tuple[Answer[Kept], tuple[str, ...]]:
    """What both run on: what the user names, else what the file was verified or calibrated with, else random values."""
    signature = network.model.signature
    description = Description() if subject.manifest is None else subject.manifest.description
    if request.samples is not None:
        file = None if request.held is None else request.held(signature)
        every = sampling.read(session, request.samples, signature, description, file)
        return sampling.take(session, every, affordable(signature, request.max_samples)), ()
    known = subject.manifest
    for given in () if known is None else (known.evaluation, known.calibration):
        if given is None:
            continue
        try:
            every = again(session, given, signature, description)
        except InputError:
            continue
        return sampling.take(session, every, affordable(signature, request.max_samples)), ()
    note = "it ran on random values, which show other ranges than real samples: --samples PATH takes these"
    return sampling.drawn(session, signature, affordable(signature, request.max_samples), request.seed), (note,)


def _fewer(used: int, kept: Kept, most: int) -> tuple[str, ...]:
    """Why it did not run on all samples, if so."""
    if used < min(most, kept.total):
        return (f"it ran on {used} of {kept.total} samples: the activations of more do not fit into memory at once",)
    return (f"it ran on {used} of {kept.total} samples: --max-samples takes more",) if used < kept.total else ()


def again(session: Session, given: DataSet, signature: Signature, description: Description) -> Answer[Kept]:
    """The data of a build once more.

    Raises:
        InputError: they are no longer there, have changed, or cannot be read.
    """
    if not Path(given.origin).exists():
        raise InputError(f"{given.origin} is not there.", place=given.origin, fix="put it back, or build again")
    every = sampling.read(session, given.origin, signature, description)
    if every.result.total_sha256 != given.sha256:
        raise InputError(f"{given.origin} has changed since.", place=given.origin, fix="build again")
    return every
