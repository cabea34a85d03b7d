"""Constants of equal content, in one buffer of the float file or in several: each gets integers of its own scale."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import engines
from edgekit.backends.tflite.ranges import choose
from edgekit.equalization.observing import observe
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks

BYTES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4}


def steps(path: Path, kind: str, *, shared: bool) -> Path:
    """Dense layers of one kernel and bias whose inputs have other ranges, and an operand of the same numbers."""
    net = networks.Network()
    x = net.input("x", (1, 8))
    kernel, bias = networks.weights(8, 8, seed=1), networks.weights(8, 1, seed=2).ravel()
    made: dict[bytes, int] = {}

    def constant(name: str, values: Any) -> int:
        index = net.constant(name, values)
        tensor = net.subgraph.tensors[index]
        if shared:
            tensor.buffer = made.setdefault(values.tobytes(), tensor.buffer)
        return index

    for step in range(3):
        given = [x, constant(f"k{step}", kernel), constant(f"b{step}", bias)]
        x = net.operator("FULLY_CONNECTED", given, (1, 8), kind="FullyConnectedOptions")
        x = net.operator(
            "MUL", [x, constant(f"s{step}", np.full((1, 8), 3.0**step, np.float32))], (1, 8), kind="MulOptions"
        )
    if kind != "steps":
        x = net.operator(kind, [x, constant("o", bias.reshape(1, 8))], (1, 8), kind=f"{kind.title()}Options")
    return net.save(path, x)


@pytest.mark.parametrize("kind", ["steps", "ADD", "MUL"])
@pytest.mark.parametrize("activations", ["int8", "int16"])
@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_constant_has_integers_of_its_own(engine: str, activations: str, kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((64, 1, 8)).astype(np.float32)
    found = {}
    for shared in (False, True):
        path = steps(tmp_path / "float.tflite", kind, shared=shared)
        main = graph.read(path)[0]
        ranges = choose(main, observe(path, main, {"x": values}, np.arange(64), 0).activations, "minmax")
        content = engines.ENGINES[engine](path, ranges, frozenset(), activations, True)
        file = tmp_path / "integers.tflite"
        file.write_bytes(content)
        for tensor in graph.read(file)[0].tensors:
            held = tensor.constant_bytes
            assert not held or held == BYTES[tensor.dtype] * int(np.prod(tensor.shape)), tensor.name
        (right,), (made,) = (list(run.run(one, {"x": values}).values()) for one in (path, file))
        found[shared] = sqnr_db(right, made)
    assert found[True] == pytest.approx(found[False], abs=0.01)
    assert found[True] > 25
