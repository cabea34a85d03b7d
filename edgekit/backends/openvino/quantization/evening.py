"""Channels of activations brought nearer to one size before NNCF quantizes a network: see `equalization.activations`.

OpenVINO's own graph is traced and divided, so that the file has the same operators, inputs and outputs either way.
"""

from typing import Any

import numpy as np

from edgekit.backends.openvino.quantization import control, reached
from edgekit.backends.openvino.tracing import IrTrace
from edgekit.equalization import activations
from edgekit.equalization.observing import FINITE
from edgekit.waist.tensors import Array


def evened(model: Any, samples: list[dict[str, Array]]) -> Any | None:
    """A copy of a float ``openvino.Model`` with evened channels; None if there is nothing to gain.

    Args:
        model: with fixed shapes and distinct names.
        samples: by input name; the sizes of channels are seen on them.
    """
    trace = IrTrace(model)
    looked = {port: trace.axes[port] for port in trace.looked_at()}
    if not looked:
        return None
    reaches = reached.along(model, looked, samples)
    by = activations.divisors(trace, {port: _finite(np.stack(reach)) for port, reach in reaches.items()})
    if by is None:
        return None
    made = trace.divided(by)
    return made if control.closeness(model, samples)(made) >= activations.SAME_DB else None


def _finite(ends: Array) -> Array:
    """Extremes without what images are padded with before a maximum; 0 is in every range."""
    return np.where(np.abs(ends) < FINITE, ends, 0)
