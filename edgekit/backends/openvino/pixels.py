"""Preprocessing inside of a file: OpenVINO's PrePostProcessor makes the network's numbers of an app's bytes.

What it can do exactly goes in: bytes to floats, the order of channels, mean and scale, the layout. Scaling stays
outside, since none of its ways is one of `edgekit.processing.resizing`.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.backends.openvino import numbering, reading
from edgekit.backends.openvino.libraries import CORE, EXACT, FAILURES, ov
from edgekit.errors import Unsupported
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing.described import file_layout
from edgekit.processing.images import in_channels, tensor
from edgekit.waist import tensors
from edgekit.waist.tensors import Array

LEAST_DB = 40.0
"""The least SQNR between both files on the same bytes: the last bit of a float may turn an integer behind it."""

PROBES = 4
"""How many pictures of random bytes both files are run on."""


def embed(artifact: Path, description: Description, signature: Signature, out: Path) -> tuple[Signature, float]:
    """Write a file that takes bytes where another takes the numbers of images.

    Args:
        artifact: the other, an IR.
        description: complete.
        signature: the other's.
        out: where to write the ``.xml``, with its ``.bin`` beside it.

    Returns:
        The signature of the new file; and how far both agree on the same bytes, in dB, of the worst output.

    Raises:
        Unsupported: no input is described as an image, or the new file does not compute the same.
    """
    images = {spec.name: image for spec in signature.inputs if (image := description.image(spec.source_name))}
    if not images:
        raise Unsupported(
            "No input is described as an image, so that there is no preprocessing to embed.",
            place="--embed-preprocessing",
            fix='describe it in edgekit.toml: [[input]] kind = "image"',
        )
    try:
        model = CORE.read_model(artifact)
        known = numbering.names(model)
        made = _processed(model, signature, images)
        numbering.settle(made, known)
        ov.save_model(made, out, compress_to_fp16=False)
    except FAILURES as error:
        raise reading.cannot_run(artifact, error) from error
    taking = msgspec.structs.replace(
        signature,
        inputs=tuple(_of_bytes(spec, images[spec.name]) if spec.name in images else spec for spec in signature.inputs),
    )
    agreed_db = _agreement_db((artifact, signature), (out, taking), images)
    if agreed_db < LEAST_DB:
        raise Unsupported(
            f"With its preprocessing inside, {artifact.name} computes something else ({agreed_db:.1f} dB).",
            place="--embed-preprocessing",
            fix="leave the option out, and normalize pictures in the app",
        )
    return taking, agreed_db


def _processed(model: Any, signature: Signature, images: dict[str, ImageInput]) -> Any:
    """A network with what becomes of bytes put before it."""
    from openvino.preprocess import ColorFormat, PrePostProcessor  # noqa: PLC0415  after the libraries are set up

    processor = PrePostProcessor(model)
    for spec, port in zip(signature.inputs, reading.matched(signature.inputs, model.inputs), strict=True):
        if spec.name not in images:
            continue
        image, own = images[spec.name], port.get_element_type()
        info = processor.input(port.get_any_name())
        info.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        if image.channels != "L":
            info.tensor().set_color_format(ColorFormat.RGB)
        steps = info.preprocess().convert_element_type(ov.Type.f32)
        if image.channels == "BGR":
            steps.convert_color(ColorFormat.BGR)
        steps.mean(list(image.offsets) if len(image.offsets) > 1 else image.offsets[0])
        steps.scale(list(image.divisors) if len(image.divisors) > 1 else image.divisors[0])
        steps.convert_element_type(own)
        info.model().set_layout(ov.Layout(file_layout(spec, image)))
    return processor.build()


def _of_bytes(spec: TensorSpec, image: ImageInput) -> TensorSpec:
    """An input that takes bytes of an image."""
    height, width = image.size or (0, 0)
    shape = (1, height, width, 1 if image.channels == "L" else 3)
    return msgspec.structs.replace(
        spec, shape=shape, dtype="uint8", layout="NHWC", permutation=None, scale=None, zero_point=None, image=image
    )


def _agreement_db(plain: tuple[Path, Signature], other: tuple[Path, Signature], images: dict[str, ImageInput]) -> float:
    """How far two files agree on random bytes, each given them as it takes them."""
    generator = np.random.default_rng(0)
    samples = [_sample(generator, plain[1], images) for _ in range(PROBES)]
    wanted, made = (_outputs(*side, samples) for side in (plain, other))
    return min([tensors.IDENTICAL_DB, *(tensors.sqnr_db(wanted[name], made[name]) for name in wanted)])


def _sample(generator: np.random.Generator, signature: Signature, images: dict[str, ImageInput]) -> dict[str, Array]:
    """A sample in the source's terms: what random bytes become, and 0..1 for other inputs."""
    made: dict[str, Array] = {}
    for spec in signature.inputs:
        image = images.get(spec.name)
        if image is None or image.size is None:
            made[spec.source_name] = generator.random(spec.source_shape).astype(spec.source_dtype)
        else:
            picture = generator.integers(0, 256, (*image.size, 3), np.uint8)
            made[spec.source_name] = tensor(in_channels(picture, image), image).astype(spec.source_dtype)
    return made


def _outputs(artifact: Path, signature: Signature, samples: list[dict[str, Array]]) -> dict[str, Array]:
    """What a file makes of samples ``[*source_shape]``, each from the beginning: ``[N, *shape]`` under its names."""
    compiled = CORE.compile_model(CORE.read_model(artifact), "CPU", EXACT)
    into = list(zip(signature.inputs, reading.matched(signature.inputs, compiled.inputs), strict=True))
    out = list(zip(signature.outputs, reading.matched(signature.outputs, compiled.outputs), strict=True))
    rows: dict[str, list[Array]] = {spec.name: [] for spec in signature.outputs}
    for sample in samples:
        given = tensors.inputs_to_file(signature, {name: values[np.newaxis] for name, values in sample.items()})
        results = compiled.create_infer_request().infer({port: given[spec.name][0] for spec, port in into})
        for spec, port in out:
            rows[spec.name].append(np.array(results[port]))
    return {name: np.stack(values) for name, values in rows.items()}
