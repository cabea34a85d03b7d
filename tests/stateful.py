"""Networks whose runs go on from the one before: by resource variables, and by variable tensors."""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests import networks

SHAPE = (1, 4)


def no_result(net: networks.Network, builtin: str, inputs: list[int], **options: Any) -> None:
    net.operator(builtin, inputs, (), **options)
    net.subgraph.operators[-1].outputs = []


def handle(net: networks.Network, name: str) -> int:
    made = net.operator("VAR_HANDLE", [], (), kind="VarHandleOptions", sharedName=name, container="")
    net.subgraph.tensors[made].type = schema.TensorType.RESOURCE
    return made


def begun(net: networks.Network, starts: dict[str, Any], *, computed: bool = False) -> None:
    """Variables with what they hold before the first run, as TensorFlow's converter writes it."""
    first, main = schema.SubGraphT(), net.subgraph
    first.tensors, first.operators, first.inputs, first.outputs = [], [], [], []
    net.model.subgraphs.append(first)
    net.subgraph = first
    for name, start in starts.items():
        value = net.constant(f"{name}_start", start)
        value = net.operator("NEG", [value], start.shape) if computed else value
        no_result(net, "ASSIGN_VARIABLE", [handle(net, name), value])
    net.subgraph = main
    no_result(net, "CALL_ONCE", [], kind="CallOnceOptions", initSubgraphIndex=1)


def echo(path: Path, start: float = 0.5, *, computed: bool = False) -> Path:
    """y = 2 · h, and h = tanh(x + W · h) is kept."""
    net = networks.Network()
    x = net.input("x", SHAPE)
    begun(net, {"h": np.full(SHAPE, start, np.float32)}, computed=computed)
    h = handle(net, "h")
    weights, two = net.constant("w", networks.weights(4, 4)), net.constant("two", np.float32([2]))
    product = net.operator(
        "FULLY_CONNECTED", [net.operator("READ_VARIABLE", [h], SHAPE), weights, -1], SHAPE, kind="FullyConnectedOptions"
    )
    made = net.operator("TANH", [net.operator("ADD", [product, x], SHAPE, kind="AddOptions")], SHAPE)
    no_result(net, "ASSIGN_VARIABLE", [h, made])
    return net.save(path, net.operator("MUL", [made, two], SHAPE, kind="MulOptions"))


def delay(path: Path) -> Path:
    """The inputs of the last run, of the one before it and of this one, read again, each times the number of the run."""
    net = networks.Network()
    x = net.input("x", SHAPE)
    begun(net, {"last": np.full(SHAPE, 3, np.float32), "older": np.full(SHAPE, 7, np.float32), "count": np.float32(0)})
    last, older, count = (handle(net, name) for name in ("last", "older", "count"))
    one, two = (net.operator("READ_VARIABLE", [each], SHAPE, name=f"{each}_read") for each in (last, older))
    number = net.operator("READ_VARIABLE", [count], ())
    number = net.operator("ADD", [number, net.constant("one", np.float32(1))], (), kind="AddOptions")
    for variable, value in ((older, one), (last, x), (count, number)):
        no_result(net, "ASSIGN_VARIABLE", [variable, value])
    again = net.operator("READ_VARIABLE", [last], SHAPE, name="again")
    outputs = [net.operator("MUL", [value, number], SHAPE, kind="MulOptions") for value in (one, two, again)]
    return net.save(path, *outputs)


def summing(path: Path, layers: int = 1) -> Path:
    """A network whose output is the running sum of its inputs, as often as it has layers."""
    net = networks.Network()
    value = net.input("x", (1, 1, 2))
    same = net.constant("same", np.eye(2, dtype=np.float32))
    bias = net.constant("bias", np.zeros(2, np.float32))
    for number in range(layers):
        kept = net.tensor(f"state_{number}", (1, 2), variable=True)
        value = net.operator(
            "UNIDIRECTIONAL_SEQUENCE_RNN", [value, same, same, bias, kept], (1, 1, 2),
            name=f"total_{number}", kind="SequenceRNNOptions",
        )  # fmt: skip
    return net.save(path, value)
