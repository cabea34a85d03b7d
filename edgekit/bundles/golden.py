"""Golden vectors: what becomes of each sample, stage by stage, so that an app's test says which stage differs.

Files lie side by side in one folder, little-endian, in C order, without a header; ``NN`` counts samples, ``IN`` and
``OUT`` are names of inputs and of outputs or results as `Name.snake` writes them:

| file | holds |
| --- | --- |
| ``NN.IN.given.bin`` | what the app gives (`edgekit.bundles.given`); a tensor in the source's layout |
| ``NN.IN.input.bin`` | that, preprocessed, in the file's layout; float32 unless the app's own numbers are whole |
| ``NN.IN.fed.bin`` | that, quantized: what the file reads, in its dtype |
| ``NN.OUT.raw.bin`` | what the file gives, in its dtype |
| ``NN.OUT.real.bin`` | that, dequantized: float32 unless whole numbers are what the app means |
| ``NN.OUT.final.bin`` | what the app is told: see `final` |
| ``CASE.OUT.….bin`` | the last two, of outputs that are made up (`edgekit.bundles.decisions`) |
| ``OUT.labels.txt`` | the names of its classes, one on a line |
| ``golden.json`` | all sizes, and the tolerances (`edgekit.bundles.tolerances`) |
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.bundles import decisions
from edgekit.bundles.facts import BundleFacts, InputFacts, ResultFacts, TensorFacts
from edgekit.bundles.given import Given
from edgekit.nouns import findings
from edgekit.nouns.description import (
    AudioInput,
    Description,
    EmbeddingOutput,
    ImageInput,
    RegressionOutput,
    TokensInput,
)
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import audio, images, outputs, tokens
from edgekit.processing.placing import Placed
from edgekit.waist.tensors import Array, dequantize, to_file

FOLDER = "golden"

DOCUMENT = "golden.json"

STAGES = ("preprocess", "quantize", "model", "dequantize", "postprocess")


class Prepared(NamedTuple):
    """One sample on its way to the file, by the source's names of inputs.

    ``given`` is what the app gives, ``inputs`` what preprocessing makes of it, in the file's layout, ``fed`` what the
    file reads; ``source`` is the same in the source's terms ``[*source_shape]``. ``placed`` is where the picture lies
    that places are told in.
    """

    origin: str
    given: dict[str, Array]
    inputs: dict[str, Array]
    fed: dict[str, Array]
    source: dict[str, Array]
    placed: Placed | None


def prepare(facts: BundleFacts, signature: Signature, description: Description, samples: list[Given]) -> list[Prepared]:
    """What becomes of samples before the file sees them."""
    found = []
    for sample in samples:
        made = Prepared(sample.origin, {}, {}, {}, {}, None)
        for one, spec in zip(facts.inputs, signature.inputs, strict=True):
            made = _prepare(made, one, spec, description, sample.inputs[spec.source_name])
        found.append(made)
    return found


def _prepare(made: Prepared, one: InputFacts, spec: TensorSpec, description: Description, values: Array) -> Prepared:
    key, row = spec.source_name, description.input(spec.source_name)
    if isinstance(row, ImageInput):
        pixels, placed = images.placed(values.astype(np.uint8), row)
        tensor: Array = images.tensor(pixels, row)
        if description.picture is row:
            made = made._replace(placed=placed)
    elif isinstance(row, AudioInput):
        tensor = audio.tensor(values.astype(np.float32), row, spec.source_shape)
    elif isinstance(row, TokensInput):
        tensor = tokens.tensor(values.tolist(), row, spec.source_shape)
    else:
        values = tensor = values.astype(one.tensor.seen)
    made.given[key] = values
    made.source[key] = _whole(tensor, spec.source_dtype)
    made.fed[key] = to_file(spec, made.source[key][np.newaxis])[0]
    moved = tensor if spec.permutation is None else tensor.transpose(spec.permutation)
    made.inputs[key] = made.fed[key] if one.tensor.takes_bytes else moved.astype(one.prepared)
    return made


def _whole(values: Array, dtype: str) -> Array:
    """Numbers in another dtype; what whole numbers cannot hold becomes the nearest."""
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(np.dtype(dtype))
        values = values.clip(limits.min, limits.max)
    return values.astype(dtype)


def final(result: ResultFacts, description: Description, found: Mapping[str, Array], placed: Placed | None) -> Array:
    """What an app is told, as one array.

    | task | array |
    | --- | --- |
    | classification | ``[k, 2]``: class and score, the highest first |
    | detection | ``[n, 6]``: left, top, right, bottom, class, score, the highest score first |
    | keypoints | ``[n, 3]``: x, y, score |
    | segmentation | int32 ``[height, width]`` |
    | regression, embedding | ``[n]`` |
    | tensor | as the network gives it, in its own layout |

    Args:
        result: which.
        description: complete.
        found: all outputs of the sample, ``[*source_shape]`` by the source's names.
        placed: of the picture.
    """
    row = result.row
    values = found[result.title]
    if row is None:
        return values.astype(result.tensor.seen)
    if isinstance(row, RegressionOutput):
        return outputs.quantities(row, values)
    if isinstance(row, EmbeddingOutput):
        return outputs.embedding(row, values)
    alone = msgspec.structs.replace(description, outputs=(row,))
    told = outputs.interpret(alone, {name: found[name] for name in row.reads}, placed)
    if result.task == "segmentation":
        return told.masks[row.name]
    return _rows(told.findings[0])


def _rows(finding: findings.Finding) -> NDArray[np.float32]:
    if isinstance(finding, findings.Classes):
        rows = [(one.index, one.score) for one in finding.classes]
        return np.array(rows, np.float32).reshape(-1, 2)
    if isinstance(finding, findings.Detections):
        boxes = [(one.left, one.top, one.right, one.bottom, one.index, one.score) for one in finding.boxes]
        return np.array(boxes, np.float32).reshape(-1, 6)
    assert isinstance(finding, findings.Points)
    points = [(one.x, one.y, one.score) for one in finding.points]
    return np.array(points, np.float32).reshape(-1, 3)


class SampleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a generated test knows of a sample without reading ``golden.json``; shapes by `Name.snake`.

    ``number`` is a case's name if outputs are made up; their picture is as large as the first sample's.
    """

    number: str
    origin: str
    given: dict[str, tuple[int, ...]]
    final: dict[str, tuple[int, ...]]


def raw(signature: Signature, made: Mapping[str, Array]) -> dict[str, Array]:
    """What the file itself gave ``[N, *shape]`` by the source's names, from outputs in the source's terms.

    To quantize what was dequantized is exact: float32 holds 24 bits, and no dtype that is quantized more than 16.
    """
    return {spec.source_name: to_file(spec, made[spec.source_name]) for spec in signature.outputs}


class RanSamples(NamedTuple):
    """What the file made of all samples, by the source's names of outputs.

    ``source`` is in the source's terms ``[N, *source_shape]``, ``stored`` in the file's own (see `raw`).
    """

    source: Mapping[str, Array]
    stored: Mapping[str, Array]


class _Made(NamedTuple):
    """Outputs of a sample or a case, in the source's terms."""

    number: str
    origin: str
    sources: dict[str, Array]


class Vectors(NamedTuple):
    """What tests are told of vectors: of samples, and of made-up outputs."""

    samples: list[SampleFacts]
    decisions: list[SampleFacts]


def write(
    folder: Path, facts: BundleFacts, description: Description, samples: list[Prepared], ran: RanSamples
) -> Vectors:
    """Write all vectors into a folder, which is made, and return what tests are told of them."""
    folder.mkdir(parents=True)
    for result in facts.results:
        if result.labels:
            names = "".join(f"{label}\n" for label in result.labels)
            (folder / f"{result.name.snake}.labels.txt").write_bytes(names.encode())
    told = []
    for i, sample in enumerate(samples):
        number = f"{i:02}"
        for one in facts.inputs:
            stages = {"given": sample.given, "input": sample.inputs, "fed": sample.fed}
            for stage, by_name in stages.items():
                _put(folder / f"{number}.{one.name.snake}.{stage}.bin", by_name[one.title])
        for tensor in facts.outputs:
            stored = ran.stored[tensor.title][i]
            _put(folder / f"{number}.{tensor.name.snake}.raw.bin", stored)
            _put(folder / f"{number}.{tensor.name.snake}.real.bin", real(tensor, stored))
        sources = {name: values[i] for name, values in ran.source.items()}
        told.append(_written(folder, facts, description, sample, _Made(number, sample.origin, sources)))
    return Vectors(told, _decisions(folder, facts, description, samples[0]))


def _decisions(folder: Path, facts: BundleFacts, description: Description, sample: Prepared) -> list[SampleFacts]:
    """Write made-up outputs near thresholds, and what becomes of them in a sample's picture."""
    told = []
    for case, sources in decisions.of(facts):
        for tensor in facts.outputs:
            moved = decisions.stored(tensor, sources[tensor.title])
            _put(folder / f"{case}.{tensor.name.snake}.real.bin", moved)
        told.append(_written(folder, facts, description, sample, _Made(case, decisions.ORIGINS[case], sources)))
    return told


def _written(folder: Path, facts: BundleFacts, description: Description, sample: Prepared, made: _Made) -> SampleFacts:
    """Write what an app is told of outputs."""
    number, origin, sources = made
    with np.errstate(all="ignore"):  # random pictures may make infinite boxes
        finals = {one.name.snake: final(one, description, sources, sample.placed) for one in facts.results}
    for name, values in finals.items():
        _put(folder / f"{number}.{name}.final.bin", values)
    return SampleFacts(
        number=number,
        origin=origin,
        given={one.name.snake: sample.given[one.title].shape for one in facts.inputs},
        final={name: values.shape for name, values in finals.items()},
    )


def real(tensor: TensorFacts, stored: Array) -> Array:
    """What the file gave, dequantized, in the file's layout."""
    if tensor.scale is None or tensor.zero_point is None:
        return stored
    return dequantize(stored, tensor.scale, tensor.zero_point)


def _put(path: Path, values: Array) -> None:
    values = np.asarray(values)
    path.write_bytes(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())


def document(facts: BundleFacts, vectors: Vectors, tolerances: Any, sha256: str) -> bytes:
    """``golden.json``: for people, and for tests in languages that read JSON."""

    def told(tensor: TensorFacts) -> dict[str, Any]:
        """How a tensor's files are read; real = scale * (stored - zero_point), and ``seen`` is what an app gets."""
        return {
            "name": tensor.title,
            "shape": tensor.shape,
            "dtype": tensor.dtype,
            "scale": tensor.scale,
            "zero_point": tensor.zero_point,
            "seen": tensor.seen,
        }

    content = {
        "schema": 1,
        "artifact": facts.variant.file,
        "sha256": sha256,
        "stages": STAGES,
        "inputs": {
            one.name.snake: told(one.tensor) | {"kind": one.kind, "prepared": one.prepared} for one in facts.inputs
        },
        "outputs": {one.name.snake: told(one) for one in facts.outputs},
        "results": {one.name.snake: {"name": one.title, "task": one.task} for one in facts.results},
        "samples": vectors.samples,
        "decisions": vectors.decisions,
        "tolerances": tolerances,
    }
    return msgspec.json.format(msgspec.json.encode(content, enc_hook=str)) + b"\n"
