"""How values cross the border between a source and an artifact: permutation and quantization.

All arrays here carry a leading sample axis: ``[N, *shape]``.
"""

import numpy as np
from numpy.typing import NDArray

from edgekit.types import Signature, TensorSpec

Array = NDArray[np.generic]


def quantize(real: Array, scale: float, zero_point: int, dtype: str) -> Array:
    """Real values to stored integers: round half to even, saturate.

    Source: the TFLite 8-bit quantization specification, real = scale * (stored - zero_point).
    """
    limits = np.iinfo(np.dtype(dtype))
    stored = np.rint(np.asarray(real, np.float64) / scale) + zero_point
    return np.clip(stored, limits.min, limits.max).astype(dtype)


def dequantize(stored: Array, scale: float, zero_point: int) -> NDArray[np.float32]:
    """Stored integers to real values, float32."""
    return ((stored.astype(np.float64) - zero_point) * scale).astype(np.float32)


def _grid(spec: TensorSpec) -> tuple[float, int] | None:
    """Scale and zero point where the file quantizes what is real in the source."""
    if spec.scale is None or spec.zero_point is None or np.issubdtype(np.dtype(spec.source_dtype), np.integer):
        return None
    return spec.scale, spec.zero_point


def to_file(spec: TensorSpec, values: Array) -> Array:
    """Values in the source's layout and dtype ``[N, *source_shape]`` as the file wants them ``[N, *shape]``."""
    if spec.permutation is not None:
        values = values.transpose(0, *(axis + 1 for axis in spec.permutation))
    if not spec.source_shape:
        values = values.reshape(len(values), *spec.shape)  # scalars: TFLite files have them as [1]
    if (grid := _grid(spec)) is not None:
        return quantize(values, *grid, spec.dtype)
    return np.ascontiguousarray(values.astype(spec.dtype))


def to_source(spec: TensorSpec, values: Array) -> Array:
    """Values from the file ``[N, *shape]`` in the source's layout and dtype ``[N, *source_shape]``."""
    if (grid := _grid(spec)) is not None:
        values = dequantize(values, *grid)
    if spec.permutation is not None:
        values = values.transpose(0, *(int(axis) + 1 for axis in np.argsort(spec.permutation)))
    if not spec.source_shape:
        values = values.reshape(len(values))
    return np.ascontiguousarray(values.astype(spec.source_dtype))


def inputs_to_file(signature: Signature, samples: dict[str, Array]) -> dict[str, Array]:
    """Samples under source names to what the file wants, under the file's names."""
    return {spec.name: to_file(spec, samples[spec.source_name]) for spec in signature.inputs}


def outputs_to_source(signature: Signature, outputs: dict[str, Array]) -> dict[str, Array]:
    """The file's outputs under its names to the source's names, layout and dtype."""
    return {spec.source_name: to_source(spec, outputs[spec.name]) for spec in signature.outputs}
