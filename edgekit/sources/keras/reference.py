"""Running a network as the reference: in chunks if its batch is open, else one sample at a time."""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported, first_line
from edgekit.host import deadline, events
from edgekit.sources.keras import effort
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.sources.keras.network import Fixed, traced, writes_state
from edgekit.waist.rows import write_rows
from edgekit.waist.tensors import Array

CHUNK_BYTES = 16 << 20
"""The most bytes that a chunk's inputs, or its outputs, take."""
CHUNK = 64
"""The most samples of a chunk; more gain nothing on a CPU."""


class MixedError(Exception):
    """A network mixes a batch's samples: the last of them does not come out as it does alone."""


class ReferenceRunner:
    """Runs a fixed network; the batched function is traced at the first use and kept."""

    def __init__(self, fixed: Fixed) -> None:
        self.fixed = fixed
        self._batched: Any = None

    def run(self, inputs: list[Array], names: list[str], path: Path, outputs: Path) -> None:
        """Arrays ``[N, *source_shape]`` in; an ``.npz`` of arrays ``[N, *output_shape]`` out, by ``names``.

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
        function = self._batched_function() if len(inputs[0]) > 1 else None
        ways = (*([self._in_chunks(function, inputs)] if function is not None else ()), self._one_by_one(inputs))
        try:
            for way in ways:
                with suppress(MixedError):
                    write_rows(outputs, (dict(zip(names, row, strict=True)) for row in way))
                    return
        except FAILURES as error:
            raise Unsupported(
                f"{path.name} cannot be run: {first_line(error)}",
                place=str(path),
                fix="see the operator named; check the values of the samples",
            ) from error

    def _one_by_one(self, arrays: list[Array]) -> Iterator[list[Array]]:
        return self.fixed.each_in_order(self._samples(arrays, slice(i, i + 1), 0) for i in range(len(arrays[0])))

    def _samples(self, arrays: list[Array], rows: slice, inner: int) -> list[Array]:
        """Samples in the network's own dtypes, each without the axis ``inner``."""
        ports = self.fixed.network.inputs
        parts = [np.take(array[rows], 0, inner) for array in arrays]
        return [part.astype(port.dtype, copy=False) for port, part in zip(ports, parts, strict=True)]

    def _in_chunks(self, function: Any, arrays: list[Array]) -> Iterator[list[Array]]:
        """All samples in batches.

        Raises:
            MixedError: the network does not treat them one by one.
        """
        given, made = sum(array[0].nbytes for array in arrays), 4 * sum(map(math.prod, self.fixed.output_shapes))
        chunk = max(1, min(CHUNK, CHUNK_BYTES // max(1, given, made)))
        for start in range(0, len(arrays[0]), chunk):
            events.progress(start / len(arrays[0]), "sample by sample")
            part = self._samples(arrays, slice(start, start + chunk), 1)
            with deadline.inference(lambda: effort.of(self.fixed.function), runs=chunk):
                result = function(*[tf.constant(array) for array in part])
                columns = [result[key].numpy()[:, None] for key in sorted(result)]
            if any(len(column) != len(part[0]) for column in columns):
                raise MixedError
            yield from map(list, zip(*columns, strict=True))
        alone = self.fixed.run(self._samples(arrays, slice(-1, None), 0))
        if not all(
            column[-1].shape == value.shape and _close(column[-1], value)
            for column, value in zip(columns, alone, strict=True)
        ):
            raise MixedError

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
