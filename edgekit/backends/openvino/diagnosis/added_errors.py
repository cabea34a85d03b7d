"""What the error of a single tensor does to the outputs of an OpenVINO network."""

import time
from collections.abc import Mapping

import numpy as np

from edgekit.backends.openvino.diagnosis.stretches import Floats, IrNetwork, Point, compiled
from edgekit.backends.openvino.libraries import operators
from edgekit.waist.causes import level_db, noise
from edgekit.waist.tensors import Array

TRIED_S = 15.0
"""Seconds that it may take to put each error into the float network."""


class AddedErrors:
    """What the error of a single point does to the outputs: added to the float network's values there, all else exact.

    One network with something to add at each point; ``samples`` are as many as `TRIED_S` allows, 0 for none.
    """

    def __init__(self, source: IrNetwork, points: list[Point], given: Mapping[Point, Array]) -> None:
        copy = IrNetwork(source.model.clone())
        self._given = given
        self._zeros: dict[Point, Floats] = {}
        self._names = [port.get_node().get_friendly_name() for port in copy.model.inputs]
        added = []
        for point in points:
            port = copy.port(point)
            if port.get_element_type().get_type_name() != "f32":
                continue
            readers = port.get_target_inputs()
            more = operators.parameter(list(port.get_shape()), np.float32)
            total = operators.add(port, more)
            for reader in readers:
                reader.replace_source_output(total.output(0))
            added.append(more)
            self._zeros[point] = np.zeros(port.get_shape(), np.float32)
        copy.model.add_parameters(added)
        self._ran = compiled(copy.model)
        start = time.monotonic()
        self._wanted = [self._outputs(0, {})]
        took = max(1e-6, time.monotonic() - start)
        count = len(next(iter(given.values())))
        self.samples = int(min(count, TRIED_S / took / max(1, len(points))))
        self._wanted += [self._outputs(i, {}) for i in range(1, self.samples)]

    def _outputs(self, sample: int, errors: Mapping[Point, Array]) -> list[Array]:
        inputs = [self._given[name, 0][sample] for name in self._names]
        found = self._ran([*inputs, *(errors.get(point, zeros) for point, zeros in self._zeros.items())])
        return [np.array(found[k]) for k in range(len(found))]

    def __call__(self, point: Point, errors: Array) -> float | None:
        """SQNR of the outputs in dB; None if they do not change, or if it was not tried."""
        if not self.samples or point not in self._zeros:
            return None
        made = [self._outputs(i, {point: errors[i]}) for i in range(self.samples)]
        wanted, got = (
            {k: np.stack([row[k] for row in rows]) for k in range(len(self._wanted[0]))}
            for rows in (self._wanted[: self.samples], made)
        )
        return level_db(noise({k: v for k, v in wanted.items() if v.dtype == np.float32}, got))
