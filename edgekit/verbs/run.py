"""Run built files on a sample, and say what the outputs mean: what an app is to do, executed."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from edgekit.engine.session import Session
from edgekit.errors import InputError, Unsupported
from edgekit.measure.subject import Measurable, subjects
from edgekit.nouns import manifest as manifests
from edgekit.nouns.description import Description
from edgekit.nouns.findings import Detections, Mask, Points, Ran
from edgekit.nouns.model import Signature
from edgekit.processing import outputs as meanings
from edgekit.processing.placing import Placed, placement
from edgekit.samples import images, painting
from edgekit.steps import sampling
from edgekit.waist import tensors
from edgekit.waist.tensors import Array

ARRAYS = ".npz"


class _Given(NamedTuple):
    """The inputs of one sample ``[1, *source_shape]``, and the picture that `Description.picture` was made of."""

    inputs: dict[str, Array]
    notes: tuple[str, ...]
    picture: Path | None
    placed: Placed | None


def run(session: Session, artifact: Path, given: tuple[str, ...], out: Path | None = None) -> list[Ran]:
    """Run a file of an artifact's folder, or all of them, on one sample.

    Args:
        session: of the run.
        artifact: the file, or the folder.
        given: a path for the only input or for all of them (``.npz``), or ``NAME=PATH`` for each input.
        out: where to write outputs and masks (``.npz``), or the picture with what was found (``.png``, ``.jpg``).

    Returns:
        What each file found. Of a folder, files that need another device are left out, with the reason.

    Raises:
        InputError: the artifact, the sample or ``out`` is none that can be used.
        Unsupported: the file needs another device.
    """
    files = subjects(session, artifact)
    if files[0].manifest is None:
        raise InputError(
            f"{artifact} is not described by a {manifests.FILE_NAME} beside it.",
            place=str(artifact),
            fix="name a file in a folder that edgekit build wrote, or that folder",
        )
    if out is not None:
        _require_room(files, out)
    description = files[0].description
    sample = _read(session, files[0].signature, description, given)
    return [_run(session, file, sample, out, alone=len(files) == 1) for file in files]


def _require_room(files: list[Measurable], out: Path) -> None:
    """Refuse outputs that would replace one another, and files of no known kind."""
    if len(files) > 1:
        raise InputError(
            f"The folder holds {len(files)} files, and {out.name} is for one.",
            place="-o",
            fix=f"name the file: edgekit run {files[0].path} …",
        )
    if out.suffix.lower() not in {ARRAYS, *painting.FORMATS}:
        raise InputError(
            f"{out.name} is neither a picture nor arrays by its name.",
            place="-o",
            fix=f"end it in {ARRAYS} or one of {', '.join(painting.FORMATS)}",
        )


def _read(session: Session, signature: Signature, description: Description, given: tuple[str, ...]) -> _Given:
    inputs: dict[str, Array] = {}
    notes: list[str] = []
    picture, placed = None, None
    for name, named, part in _parts(signature, given):
        answer = sampling.read(session, named, part, description)
        held = tensors.arrays(answer.folder / sampling.SAMPLES)
        if answer.result.total > 1:
            notes.append(f"{named}: the first of {answer.result.total} samples")
        notes += [*answer.result.notes, *answer.result.doubts]
        inputs |= {key: values[:1] for key, values in held.items()}
        image = description.picture
        if image is not None and image.name == name and Path(named).suffix.lower() in images.SUFFIXES:
            picture = Path(named).absolute()
            placed = placement(session.reader().picture_size(picture), image)
    return _Given(inputs, tuple(notes), picture, placed)


def _parts(signature: Signature, given: tuple[str, ...]) -> list[tuple[str, str, Signature]]:
    """Each input's name, the path that it was given, and a signature of what the path is for."""
    specs = {spec.source_name: spec for spec in signature.inputs}
    if len(given) == 1 and ("=" not in given[0] or Path(given[0]).exists()):
        return [(next(iter(specs)), _existing(given[0]), Signature(inputs=signature.inputs, outputs=()))]
    parts = []
    for text in given:
        name, _, named = text.partition("=")
        if name not in specs:
            raise InputError(
                f"The model has no input {name}.",
                place=f"--input {text}",
                fix=f"write NAME=PATH with one of: {', '.join(specs)}",
            )
        parts.append((name, _existing(named), Signature(inputs=(specs[name],), outputs=())))
    said = [name for name, _, _ in parts]
    missing = [name for name in specs if name not in said]
    if missing or len(said) != len(set(said)):
        raise InputError(
            f"Input {missing[0]} is not given." if missing else "An input is given twice.",
            place="--input",
            fix=f"give each once: {' '.join(f'--input {name}=PATH' for name in specs)}",
        )
    return parts


def _existing(named: str) -> str:
    if not Path(named).exists():
        raise InputError(f"There is no file {named}.", place=f"--input {named}", fix="check the path")
    return named


def _run(session: Session, file: Measurable, sample: _Given, out: Path | None, *, alone: bool) -> Ran:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        given, made = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        tensors.write_npz(given, sample.inputs)
        try:
            session.backend(file.backend).run(file.path.absolute(), file.signature, given, made)
        except Unsupported as error:
            if alone:
                raise
            return Ran(file=str(file.path), precision=file.precision, findings=None, notes=(error.problem,))
        outputs = {name: values[0].copy() for name, values in tensors.arrays(made).items()}
    found = meanings.interpret(file.description, outputs, sample.placed)
    if out is not None and out.suffix.lower() == ARRAYS:
        tensors.write_npz(out, outputs | {f"{name}/mask": values for name, values in found.masks.items()})
    elif out is not None:
        _paint(session, file.description, sample, found, out)
    return Ran(file=str(file.path), precision=file.precision, findings=found.findings, notes=sample.notes)


def _paint(session: Session, description: Description, sample: _Given, found: meanings.Found, out: Path) -> None:
    drawn = [finding for finding in found.findings if isinstance(finding, Mask | Detections | Points)]
    image = description.picture
    if sample.picture is None or image is None:
        raise InputError(
            "There is no picture to draw into.",
            place="-o",
            fix="give an image as --input, of an input that is described as one; or write outputs: -o outputs.npz",
        )
    if not drawn:
        raise InputError(
            "No output is described as something that can be drawn: detection, segmentation or keypoints.",
            place="-o",
            fix="describe it in edgekit.toml ([[output]] task = …) and build again; or write outputs: -o outputs.npz",
        )
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        masks = tensors.write_npz(Path(folder) / "masks.npz", found.masks)
        session.reader().paint(sample.picture, findings=found.findings, masks=masks, image=image, out=out.absolute())
