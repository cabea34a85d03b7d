"""What is built: every shared model, with the shapes and the kind of input it needs.

Nothing about accuracy follows from sampled inputs; they show only that a network can be built and
that the artifact computes what the source computes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import sources
from edgekit.errors import InputError
from edgekit.nouns.model import Signature, TensorSpec

FOLDERS = ("mlperf_tiny", "keras", "onnx", "tflite", "onnx_ops", "reported", "onnx_invalid")
"""Folders of the shared models, in the order of the page."""

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "ppocrv4_cls": {"x": (1, 3, 48, 192)},
    "silero_vad_v5_16k_op15": {"input": (1, 512), "state": (2, 1, 128)},
    "tract_byte_sb_bidi_lstm": {"input": (1, 20)},
    "LSTM.tanh.bidirectional": {"Input3": (7, 1, 2)},
}
"""What a user says with ``--shape`` for models that leave dimensions open, by the file's stem."""

RAW_IMAGES = {"pretrainedResnet", "mnist-8_cntk"}
"""Networks that take pixels 0..255; other images are 0..1."""

CONSTANTS: dict[tuple[str, str], int] = {
    ("silero_vad_v5_16k_op15", "sr"): 16000,
    ("Loop_2_16", "Loop_2_counter"): 3,
    ("Loop_3_16", "Loop_3_counter"): 3,
    ("DFT_20", "dft_length"): 4,
    ("DFT_20", "axis"): 1,
    ("DFT_20_onesided", "dft_length"): 4,
    ("DFT_20_onesided", "axis"): 1,
}
"""Inputs that mean something, by the file's stem and the input's name."""

BYTES = {"tract_byte_sb_bidi_lstm"}
"""Networks whose integer input is a byte of text."""

SAMPLES_BYTES = 1 << 26
"""The most bytes of sampled inputs and their outputs for one network; one sample in any case."""

SAMPLES = 16
"""The most samples of one network."""


@dataclass(frozen=True)
class Case:
    """A model file with what a user would say about it.

    ``samples`` are real ones of its own, ``labelled`` some with labels; without them inputs are sampled.
    """

    folder: str
    path: Path
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    samples: Path | None = None
    labelled: Path | None = None

    @property
    def name(self) -> str:
        """How the page calls it."""
        return f"{self.folder}/{self.path.name}"


def found(shared: Path, folders: tuple[str, ...] = FOLDERS) -> Iterator[Case]:
    """Every model of the shared folder, in the order of `FOLDERS` and names."""
    for folder in folders:
        for path in sorted((shared / "models" / folder).iterdir()):
            if path.suffix != ".npz" and _is_model(path):
                own = (path.with_name(f"{path.stem}{end}.npz") for end in ("", "_cal"))
                labelled = path.with_name(f"{path.stem}_test.npz")
                yield Case(
                    folder,
                    path,
                    SHAPES.get(path.stem, {}),
                    next((file for file in own if file.is_file()), None),
                    labelled if labelled.is_file() else None,
                )


def _is_model(path: Path) -> bool:
    try:
        sources.sniff(path)
    except InputError:
        return False
    return True


def inputs(case: Case, signature: Signature) -> dict[str, Any]:
    """Sampled inputs, ``[N, *source_shape]`` under each input's source name, always the same."""
    both = (*signature.inputs, *signature.outputs)
    size = sum(math.prod(spec.source_shape) * np.dtype(spec.source_dtype).itemsize for spec in both)
    count = max(1, min(SAMPLES, SAMPLES_BYTES // size))
    random = np.random.default_rng(0)
    return {spec.source_name: _sampled(case, spec, count, random) for spec in signature.inputs}


def kind(case: Case, spec: TensorSpec) -> str:
    """What the values of an input are, in words."""
    if (case.path.stem, spec.source_name) in CONSTANTS:
        return str(CONSTANTS[case.path.stem, spec.source_name])
    if np.dtype(spec.source_dtype).kind != "f":
        return "0..255" if case.path.stem in BYTES else "0 or 1"
    image = len(spec.source_shape) == 4 and {1, 3} & {spec.source_shape[1], spec.source_shape[3]}
    if image and case.folder != "onnx_ops":
        return "uniform 0..255" if case.path.stem in RAW_IMAGES else "uniform 0..1"
    return "normal"


def _sampled(case: Case, spec: TensorSpec, count: int, random: np.random.Generator) -> Any:
    shape, dtype, which = (count, *spec.source_shape), np.dtype(spec.source_dtype), kind(case, spec)
    if which == "normal":
        return random.standard_normal(shape).astype(dtype)
    if which.startswith("uniform"):
        return (random.random(shape) * (255 if which.endswith("255") else 1)).astype(dtype)
    if which in {"0..255", "0 or 1"}:
        return random.integers(0, 256 if which == "0..255" else 2, shape).astype(dtype)
    return np.full(shape, int(which), dtype)
