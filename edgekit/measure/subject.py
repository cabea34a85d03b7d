"""What is measured: an artifact's file with its signature, and the inputs that it is given."""

import re
import tempfile
import xml.etree.ElementTree as ET  # the file is the user's own, and is compiled right after
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import samples, sources
from edgekit.engine import registry
from edgekit.engine.session import Session
from edgekit.engine.store import file_digest
from edgekit.errors import EndlessError, InputError, MissingTool, Unsupported
from edgekit.host.ownership import writing
from edgekit.nouns import manifest as manifests
from edgekit.nouns.description import Description
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import Cost, Precision, Signature, SourceOptions, TensorSpec
from edgekit.steps import sampling
from edgekit.waist import tensors

SAMPLES = 4
"""Samples on which a device's outputs are compared with this host's."""


UNDESCRIBED = Description()


@dataclass(frozen=True)
class Measurable:
    """One file to measure.

    ``sha256`` is that of the file, or if it has companions the digest of all (`edgekit.nouns.manifest.digest`).
    ``manifest`` is the ``manifest.json`` that describes it, None for a file on its own;
    ``description`` is what it says of inputs and outputs; ``delegate`` is what the file is made for, ``parts`` the
    names of all its files beside it, ``backend`` the leaf that made it.
    """

    path: Path
    sha256: str
    signature: Signature
    manifest: Path | None = None
    description: Description = UNDESCRIBED
    cost: Cost | None = None
    precision: Precision | None = None
    delegate: str | None = None
    parts: tuple[str, ...] = ()
    backend: str = ""

    def confirm(self) -> None:
        """See that the file is still what ``sha256`` says.

        Raises:
            InputError: it changed, so that nobody knows what was measured.
        """
        folder = self.path.parent
        now = {name: file_digest(folder / name).sha256 for name in self.parts if (folder / name).is_file()}
        if self.parts and manifests.digest(now) != self.sha256:
            raise InputError(
                f"{self.name} changed while it was measured.", place=str(self.path), fix="measure it again"
            )

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


def subjects(
    session: Session, path: Path, suffixes: tuple[str, ...] = (), options: SourceOptions | None = None
) -> list[Measurable]:
    """The file, or every file of an artifact folder (only those of ``suffixes``, if given).

    ``options`` fix the shapes of an ONNX file that leaves them open.

    Raises:
        InputError: it is neither a runnable file nor a folder with a manifest, or it does not hold such a file.
    """
    if path.is_dir():
        manifests.read(path / manifests.FILE_NAME)  # complains, before a lock is made beside what is no artifact
        with writing(path.resolve()):  # a build may replace it at any moment
            described = manifests.read(path / manifests.FILE_NAME)
            found = [_described(path, file, described.description) for file in described.artifacts]
        kept = [subject for subject in found if not suffixes or subject.path.suffix in suffixes]
        if not kept:
            raise InputError(
                f"{path} holds no file that this device runs ({', '.join(suffixes)}).",
                place=str(path),
                fix="choose another device, or build for another target",
            )
        return kept
    if not path.is_file():
        raise InputError(f"There is no file or folder {path}.", place=str(path), fix="check the path")
    beside = path.parent / manifests.FILE_NAME
    if beside.is_file():
        with writing(path.parent.resolve()):
            described = manifests.read(beside)
            for file in described.artifacts:
                if file.file == path.name:
                    return [_described(path.parent, file, described.description)]
    return [_alone(session, path, options or SourceOptions())]


def _described(folder: Path, file: ArtifactFile, description: Description) -> Measurable:
    for name, expected in file.files.items():
        if not (folder / name).is_file():
            raise InputError(
                f"{name}, which the manifest describes, is not there.", place=str(folder / name), fix="build it again"
            )
        if file_digest(folder / name) != expected:
            raise InputError(
                f"{name} is not the file that the manifest describes.",
                place=str(folder / name),
                fix="build it again, or measure a copy of the file in a folder of its own",
            )
    return Measurable(
        folder / file.file,
        file.sha256,
        file.signature,
        folder / manifests.FILE_NAME,
        description,
        file.cost,
        file.precision,
        file.delegate,
        tuple(file.files),
        file.backend,
    )


def _alone(session: Session, path: Path, options: SourceOptions) -> Measurable:
    """A file without a manifest: its signature is read from the file itself."""
    if path.suffix in {".json", ".bin"}:
        other = {".json": "a recorded profile: edgekit compare takes two of them", ".bin": "half of an OpenVINO IR"}
        raise InputError(
            f"{path.name} is no network, but perhaps {other[path.suffix]}.",
            place=str(path),
            fix="name the network's own file (.tflite, .xml or .onnx)",
        )
    files: tuple[Path, ...] = (path, path.with_suffix(".bin"))
    if path.suffix == ".xml":
        _digests(files)  # complains of what is no file, before anybody opens it
        signature = _ir_signature(path)
        with suppress(MissingTool):  # another device may have what this host lacks
            registry.require("backends", "openvino")
            _run_once(session.backend("openvino").run, path.absolute(), signature)
    else:
        kind = sources.sniff(path, "build it again, or name another .tflite, .xml or .onnx file")
        if kind not in {"tflite", "onnx"}:
            raise InputError(
                f"{path.name} is a {kind} model, which no device runs as it is.",
                place=str(path),
                fix="build it first: edgekit build MODEL -t android, then profile the result",
            )
        leaf = sources.FORMATS[kind]
        registry.require("sources", leaf)
        model = session.source(leaf).describe(path.absolute(), options)
        if model.batch > 1:  # what is measured is the file, which takes all of them at once
            together = {spec.source_name: (model.batch, *spec.source_shape[1:]) for spec in model.signature.inputs}
            options = msgspec.structs.replace(options, shapes=together)
            model = session.source(leaf).describe(path.absolute(), options)
        if kind == "tflite":  # an ONNX file was run to be described
            run = session.source("tflite").run
            _run_once(lambda path, _, into, out: run(path, options, into, out), path.absolute(), model.signature)
        signature, files = model.signature, (path, *(path.parent / name for name in model.companions))
    return Measurable(path, manifests.digest(_digests(files)), signature)


def _digests(files: tuple[Path, ...]) -> dict[str, str]:
    """The digest of each file that is there.

    Raises:
        InputError: one is a pipe or a device.
    """
    return {file.name: file_digest(file).sha256 for file in files if file.exists()}


def _run_once(
    run: Callable[[Path, Signature, Path, Path], None],
    path: Path,
    signature: Signature,
    given: Mapping[str, tensors.Array] | None = None,
) -> None:
    """See that a file of anybody's comes to an end, before a device waits for it.

    Args:
        run: runs a file of a signature on inputs, and writes its outputs.
        path: the file.
        signature: the file's.
        given: samples in the source's terms, each of which is run; random ones if None.

    Raises:
        EndlessError: it does not.
    """
    taken = samples.random(signature, 1, 0).inputs if given is None else given
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        inputs = tensors.write_npz(Path(folder) / "inputs.npz", taken)
        try:
            run(path, signature, inputs, Path(folder) / "outputs.npz")
        except EndlessError:
            raise
        except (InputError, Unsupported):  # the device may have operators that this host lacks
            return


_IR_DTYPES = {"f32": "float32", "f16": "float16", "i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64"}


def _ir_signature(path: Path) -> Signature:
    """Inputs and outputs of an OpenVINO IR, from its XML (OpenVINO documentation, Operation Sets in IR).

    Raises:
        InputError: it is none, or has dynamic shapes.
        Unsupported: an operator's result is too large.
    """
    try:
        net = ET.parse(path).getroot()  # noqa: S314  see the import
    except ET.ParseError as error:
        raise InputError(f"{path.name} is no OpenVINO IR: {error}.", place=str(path), fix="export it again") from error
    sources.bound_results(_ir_results(net), path)
    layers = net.findall("layers/layer")  # not those in bodies
    inputs = [_ir_spec(layer, "output", path) for layer in layers if layer.get("type") == "Parameter"]
    outputs = [_ir_spec(layer, "input", path) for layer in layers if layer.get("type") == "Result"]
    if not inputs:
        raise InputError(f"{path.name} is no OpenVINO IR: it has no inputs.", place=str(path), fix="export it again")
    return Signature(inputs=tuple(inputs), outputs=tuple(outputs))


def _ir_results(net: ET.Element) -> Iterator[tuple[str, str, list[int], int]]:
    """Kind, name, shape and bytes of an element of each result in an IR, also inside bodies."""
    for layer in net.iter("layer"):
        for port in layer.findall("output/port"):
            sizes = [int(dim.text) for dim in port.findall("dim") if dim.text and dim.text.isdecimal()]
            bits = re.search(r"\d+$", port.get("precision") or "")
            yield str(layer.get("type")), str(layer.get("name")), sizes, max(1, int(bits[0]) // 8) if bits else 4


def _ir_spec(layer: ET.Element, side: str, path: Path) -> TensorSpec:
    port = layer.find(f"{side}/port")
    sizes = [dim.text or "" for dim in port.findall("dim")] if port is not None else []
    if not all(re.fullmatch(r"\d+", size) for size in sizes):
        raise InputError(
            f"{path.name} has dynamic shapes ({layer.get('name')}: {', '.join(sizes)}).",
            place=str(path),
            fix="export it with fixed shapes, or build it with edgekit, which fixes them",
        )
    names = (port.get("names") if port is not None else None) or layer.get("name") or ""
    data = layer.find("data")
    kind = (data.get("element_type") if data is not None else None) or "f32"
    name, shape, dtype = names.split(",")[0], tuple(int(size) for size in sizes), _IR_DTYPES.get(kind, kind)
    return TensorSpec(name=name, shape=shape, dtype=dtype, source_name=name, source_shape=shape, source_dtype=dtype)


def write_inputs(session: Session, subject: Measurable, given: str | None, seed: int, out: Path) -> None:
    """Write the inputs of a measurement as the file wants them: ``.npz``, ``[N, *shape]`` under its names.

    Args:
        session: of the run, in whose cache the user's samples are kept.
        subject: what is measured.
        given: the user's samples in the source's terms (`edgekit.samples.load`), None for random ones.
        seed: of the random ones.
        out: the file to write.

    Raises:
        InputError: the samples do not fit.
        EndlessError: a loop of an OpenVINO IR does not end on the user's samples.
    """
    signature = subject.signature
    if given is None:
        taken = samples.random(signature, SAMPLES, seed)
    else:
        held = Path(given) if Path(given).suffix == samples.HELD else None  # a program's, which have no name
        every = sampling.read(session, given if held is None else "input data", signature, subject.description, held)
        kept = sampling.take(session, every, SAMPLES)
        taken = samples.Samples.opened(kept.result, kept.folder)
    if given is not None and subject.path.suffix == ".xml":
        with suppress(MissingTool):  # as in `_alone`
            registry.require("backends", "openvino")
            _run_once(session.backend("openvino").run, subject.path.absolute(), signature, taken.inputs)
    tensors.write_npz(out, tensors.inputs_to_file(signature, taken.inputs))
