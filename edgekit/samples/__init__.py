"""Calibration and evaluation data: from whatever the user has to arrays that fit the network.

    spec (a path, or module:function)
      → reading | images | recordings | texts | functions    Raw: named arrays, as found
      → matching                        fitted to the signature's names, shapes and dtypes
      → Samples                         with origin and digest
      → linter                          what is suspicious about them

Every array has a leading sample axis: ``[N, *source_shape]``, where source_shape includes batch 1.
"""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.config import is_function
from edgekit.errors import InputError
from edgekit.nouns.description import Description, ImageInput, TokensInput
from edgekit.nouns.findings import Finding
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.nouns.samples import Kept
from edgekit.nouns.verification import MetricScore
from edgekit.samples import functions, images, reading, recordings, texts
from edgekit.samples.content import Raw, Samples
from edgekit.samples.linter import lint
from edgekit.samples.matching import fit
from edgekit.samples.place import Place
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array, arrays, distinct, write_npz

__all__ = ["HELD", "Place", "Reader", "Samples", "lint", "load", "random", "write_npz"]

HELD = ".arrays"
"""Suffix of a folder that a program's arrays were written to, by `edgekit.waist.rows.write_arrays`."""


class Reader(ABC):
    """What reads samples, and calls the user's functions, in a worker process."""

    @abstractmethod
    def read(
        self,
        spec: str,
        *,
        origin: str,
        signature: Signature,
        description: Description,
        folder: Path,
        out: Path,
    ) -> Kept:
        """Write all samples of ``spec`` as ``out/samples`` and ``out/labels.npy`` (see `Samples.save`, `load`).

        ``origin`` is what to call them, ``folder`` the user's current folder.

        Raises:
            InputError: they cannot be read, or do not fit.
        """

    @abstractmethod
    def picture_size(self, picture: Path) -> tuple[int, int]:
        """The (height, width) of an image file as it is seen, upright.

        Raises:
            InputError: it is none, or damaged.
        """

    @abstractmethod
    def paint(self, picture: Path, *, findings: tuple[Finding, ...], masks: Path, image: ImageInput, out: Path) -> None:
        """Draw what was found in a picture into it (see `edgekit.samples.painting.paint`).

        ``masks`` is an ``.npz`` of ``[height, width]`` by output, ``image`` the complete description of the input.

        Raises:
            InputError: the picture is damaged, or ``out`` cannot be written.
        """

    @abstractmethod
    def score(self, function: str, *, outputs: Path, labels: Path, folder: Path) -> MetricScore:
        """What the user's metric ``module:function`` says (see `edgekit.samples.functions.score`).

        Raises:
            InputError: it cannot be imported, fails, or does not say which way is better.
        """


def load(
    spec: str,
    signature: Signature,
    description: Description | None = None,
    *,
    origin: str | None = None,
    place: Place | None = None,
    folder: Path | None = None,
) -> Samples:
    """Samples for a network, from the user's data.

    Args:
        spec: an ``.npz``, ``.npy`` or ``.csv`` file; an image or a recording; a folder of ``.npy`` files, images or
            recordings (one sample each; sub-folders are inputs if they carry the inputs' names, class labels
            otherwise); a ``.txt`` file with a line of tokens for each sample;
            or ``module:function``, the module being found in the current folder.
        signature: of the source; its source names, shapes and dtypes decide what fits.
        description: how images, recordings and tokens become inputs. Arrays are taken as the network's own input.
        origin: what to call the samples; ``spec`` without.
        place: on whose disk arrays lie that may be larger than memory.
        folder: the user's current folder, to which paths and modules are relative; this process's if None.

    Returns:
        Samples with every input as ``[N, *source_shape]`` in the source's dtype.

    Raises:
        InputError: the data cannot be read, or does not fit; both sides are shown.
    """
    place, origin = place or Place(), origin or spec
    raw = _read(spec, signature, description or Description(), place, folder or Path.cwd())
    inputs, notes, doubts = fit(raw, signature, origin, place)
    count = len(next(iter(inputs.values())))
    if raw.labels is not None:
        _check_labels(raw.labels, count, origin)
    return Samples.of(inputs, raw.labels, origin=origin, notes=raw.notes + notes, doubts=raw.doubts + doubts)


def _check_labels(labels: Array, count: int, spec: str) -> None:
    """Refuse labels that are not one finite number, or row of numbers, for each sample."""
    problem = ""
    if labels.dtype.kind not in "fiub":
        problem, fix = f"labels of dtype {labels.dtype}, which are no numbers", "give the classes as numbers from 0"
    elif labels.ndim == 0:
        problem, fix = f"one number ({labels}) as labels", "give one label for each sample"
    elif len(labels) != count:
        problem, fix = f"{count} samples but {len(labels)} labels", "give one label for each sample"
    elif labels.size == 0 or not all(np.isfinite(labels[rows]).all() for rows in pieces(labels)):
        problem, fix = "labels that are NaN, infinite or empty", "leave those samples out"
    if problem:
        raise InputError(f"{spec} has {problem}.", place=spec, fix=fix)


def _read(spec: str, signature: Signature, description: Description, place: Place, folder: Path) -> Raw:
    path = Path(spec) if folder == Path.cwd() else folder / spec
    if not path.exists():
        if is_function(spec):
            return functions.read(spec, signature, place, folder)
        raise InputError(
            f"There is no file, folder or module:function {spec}.",
            place=spec,
            fix="check the path and the current folder",
        )
    if path.suffix == HELD and path.is_dir():
        return reading.read_arrays(arrays(path), signature)
    suffixes = {file.suffix.lower() for file in (path.rglob("*") if path.is_dir() else (path,))}
    for kind in (images, recordings):
        if suffixes & kind.SUFFIXES:
            raw: Raw = kind.read(path, signature, description, place)
            return raw
    if path.is_dir():
        return reading.read_folder(path, signature, place)
    only = signature.inputs[0]
    told = description.input(only.source_name)
    if suffixes == {".txt"} and len(signature.inputs) == 1 and isinstance(told, TokensInput):
        return texts.read(path, only, told)
    return reading.read_file(path, signature, place)


RANDOM_BYTES = 1 << 27
"""The most bytes of random inputs: reference, outputs and their comparison hold several times as much."""


def random(signature: Signature, n: int, seed: int = 0) -> Samples:
    """Random samples, for the structural check of float precisions only, never for calibration.

    Floats are uniform in 0..1. 8-bit integers use their whole range, as images and quantized
    inputs do. Wider integers stay below what they index and repeat as little as they can; if that is
    not known they are 0 or 1, which every embedding table and class index accepts.

    Args:
        signature: of the source.
        n: how many samples; fewer, but at least one, if the inputs are so large that they pass `RANDOM_BYTES`.
        seed: of the generator; the same seed gives the same samples.
    """
    size = sum(math.prod(spec.source_shape) * np.dtype(spec.source_dtype).itemsize for spec in signature.inputs)
    n = max(1, min(n, RANDOM_BYTES // max(1, size)))
    generator = np.random.default_rng(seed)
    inputs = {spec.source_name: _random(generator, spec, n) for spec in signature.inputs}
    return Samples.of(inputs, None, origin=f"random (seed {seed})")


def _random(generator: np.random.Generator, spec: TensorSpec, n: int) -> Array:
    dtype = np.dtype(spec.source_dtype)
    shape = (n, *spec.source_shape)
    if dtype.kind == "f":
        return _uniform(generator, shape, dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if spec.index_below is not None:
            return np.stack([_indices(generator, spec, spec.index_below - spec.index_from) for _ in range(n)]).astype(
                dtype
            )
        low, high = (int(limits.min), int(limits.max)) if dtype.itemsize == 1 else (0, 1)
        return generator.integers(low, high, shape, dtype=dtype, endpoint=True)
    if dtype.kind == "b":
        return generator.random(shape) < 0.5
    raise InputError(
        f"Input {spec.source_name} has dtype {spec.source_dtype}, for which there are no random samples.",
        place=spec.source_name,
        fix="give samples with --calibration or --eval",
    )


def _uniform(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Values in 0..1, drawn in float64 piece by piece."""
    made: Array = np.empty(math.prod(shape), dtype)
    for part in pieces(made) if made.size else ():
        made[part] = generator.random(len(made[part]))
    return made.reshape(shape)


def _indices(generator: np.random.Generator, spec: TensorSpec, count: int) -> Array:
    """Values of which as few are alike as can be."""
    drawn = distinct(generator, spec.source_shape, count)
    drawn = generator.integers(0, count, spec.source_shape) if drawn is None else drawn
    return drawn + spec.index_from
