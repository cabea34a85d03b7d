"""Integer files of small networks, as LiteRT's own quantizer makes them."""

from pathlib import Path
from typing import Any

from edgekit.backends.tflite import engines, weights
from edgekit.waist import graph
from tests.lazy import Lazy
from tests.trainable.lifted import samples

agreement = Lazy("edgekit.passes.qat.agreement")

COUNT = 6


def quantized(path: Path, activations: str = "int8") -> tuple[bytes, dict[str, Any]]:
    """The integer file of a float one whose ranges are those of a few samples, and these; its inputs stay float."""
    values = samples(path, count=COUNT)
    seen, main = agreement.observed(path.read_bytes(), values), graph.read(path)[0]
    ranges = {
        tensor: (min(0.0, float(found.min())), max(0.0, float(found.max())))
        for tensor, found in seen.items()
        if main.tensors[tensor].dtype == "float32"
    }
    return engines.ENGINES["LiteRT"](path, ranges, frozenset(), activations, True), values


def with_integer_weights(path: Path, bits: int) -> tuple[bytes, dict[str, Any]]:
    """The file of a float one whose weights alone are integers, and a few samples."""
    return weights.to_integer_weights(path, bits, per_channel=True), samples(path, count=COUNT)


def simulated(content: bytes, **settings: Any) -> Any:
    specification, simulation = Lazy("edgekit.passes.qat.specification"), Lazy("edgekit.passes.qat.simulation")
    return simulation.Simulation(specification.Specification.read(content), **settings)
