"""Running a network as the reference: in chunks if its batch is open, else one sample at a time."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported
from edgekit.host import events
from edgekit.sources.keras.libraries import FAILURES, first_line, tf
from edgekit.sources.keras.network import Fixed, traced, writes_state
from edgekit.waist.tensors import Array, stacked

CHUNK_BYTES = 16 << 20
"""The most bytes that a chunk's inputs, or its outputs, take."""
CHUNK = 64
"""The most samples of a chunk; more gain nothing on a CPU."""


class ReferenceRunner:
    """Runs a fixed network; the batched function is traced at the first use and kept."""

    def __init__(self, fixed: Fixed) -> None:
        self.fixed = fixed
        self._batched: Any = None

    def run(self, inputs: list[Array], path: Path) -> list[Array]:
        """Arrays ``[N, *source_shape]`` in, arrays ``[N, *output_shape]`` out.

        Raises:
            InputError: an input is missing or has another shape.
            Unsupported: an operator fails.
        """
        for port, shape, array in zip(self.fixed.network.inputs, self.fixed.shapes, inputs, strict=True):
            if array.shape[1:] != shape:
                raise InputError(
                    f"{path.name} takes {port.name} as {list(shape)}, but the samples are {list(array.shape[1:])}.",
                    place=f"input {port.name}",
                    fix=f"give [N, {', '.join(map(str, shape))}]",
                )
        arrays = [array.astype(port.dtype) for port, array in zip(self.fixed.network.inputs, inputs, strict=True)]
        try:
            return self._in_chunks(arrays) or self._one_by_one(arrays)
        except FAILURES as error:
            raise Unsupported(
                f"{path.name} cannot be run: {first_line(error)}",
                place=str(path),
                fix="see the operator named; check the values of the samples",
            ) from error

    def _one_by_one(self, arrays: list[Array]) -> list[Array]:
        results = self.fixed.run_in_order([[array[i] for array in arrays] for i in range(len(arrays[0]))])
        return [stacked([result.pop(0) for result in results]) for _ in range(len(results[0]))]

    def _in_chunks(self, arrays: list[Array]) -> list[Array] | None:
        """All samples in batches; None if the network does not treat them one by one."""
        function = self._batched_function() if len(arrays[0]) > 1 else None
        if function is None:
            return None
        given, made = sum(array[0].nbytes for array in arrays), 4 * sum(map(math.prod, self.fixed.output_shapes))
        chunk = max(1, min(CHUNK, CHUNK_BYTES // max(1, given, made)))
        collected = []
        for start in range(0, len(arrays[0]), chunk):
            events.progress(start / len(arrays[0]), "sample by sample")
            part = [array[start : start + chunk, 0] for array in arrays]
            result = function(*[tf.constant(array) for array in part])
            collected.append([result[key].numpy()[:, None] for key in sorted(result)])
        columns = [np.concatenate(column) for column in zip(*collected, strict=True)]
        return columns if self._as_alone(arrays, columns) else None

    def _as_alone(self, arrays: list[Array], columns: list[Array]) -> bool:
        """Whether the last sample comes out as it does alone: some networks mix a batch's samples."""
        alone = self.fixed.run([array[-1] for array in arrays])
        return all(
            column.shape == (len(arrays[0]), *value.shape) and _close(column[-1], value)
            for column, value in zip(columns, alone, strict=True)
        )

    def _batched_function(self) -> Any:
        """The network for any batch; None if it has none."""
        fixed = self.fixed
        ports = fixed.network.inputs
        if any(port.shape is None or port.shape[0] is not None for port in ports):
            return None
        if any(shape[:1] != (1,) for shape in (*fixed.shapes, *fixed.output_shapes)) or writes_state(fixed.function):
            return None
        if self._batched is None:
            specs = [
                tf.TensorSpec((None, *shape[1:]), port.dtype, name=f"input_{i}")
                for i, (shape, port) in enumerate(zip(fixed.shapes, ports, strict=True))
            ]
            try:
                self._batched = traced(fixed.network, specs)
            except FAILURES:  # a network that insists on the batch it was built with
                self._batched = False
        return self._batched or None


def _close(first: Array, second: Array) -> bool:
    """Equal but for the rounding of another order of summing."""
    largest = float(np.max(np.abs(second), initial=0.0))
    return bool(np.allclose(first, second, rtol=1e-3, atol=1e-4 * largest, equal_nan=True))
