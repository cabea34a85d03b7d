"""State in resource variables goes on from run to run in OpenVINO, as it does in LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit import samples
from edgekit.backends.openvino.libraries import CORE
from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built
from edgekit.waist import run
from edgekit.waist.tensors import sqnr_db
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


def build(worker: Worker, path: Path, out: Path, precision: str = "float32", **fields: Any) -> Built:
    out.mkdir()
    made = worker.call(
        "backends", "openvino", "build", job=networks.job(path, precision, **fields), file="model.xml", out=out
    )
    assert isinstance(made, Built)
    return made


def in_order(worker: Worker, path: Path, made: Built, out: Path, x: Any) -> list[tuple[Any, Any]]:
    """What LiteRT and OpenVINO give on samples one after another."""
    (given,) = made.signature.inputs
    samples.write_npz(out / "in.npz", {given.source_name: x})
    files = {"inputs": out / "in.npz", "outputs": out / "out.npz"}
    worker.call("backends", "openvino", "run", artifact=out / "model.xml", signature=made.signature, **files)
    found, wanted = np.load(out / "out.npz"), run.run(path, {"x": x})
    return [(wanted[spec.name], found[spec.source_name]) for spec in made.signature.outputs]


@pytest.mark.parametrize("network", [echo, delay])
def test_a_state_goes_on_from_run_to_run(worker: Worker, tmp_path: Path, network: Any) -> None:
    path, out = network(tmp_path / "waist.tflite"), tmp_path / "out"
    made = build(worker, path, out)
    x = np.random.default_rng(1).standard_normal((5, *SHAPE)).astype(np.float32)[[0, 1, 2, 3, 4, 0, 0]]
    for wanted, found in in_order(worker, path, made, out, x):
        assert sqnr_db(wanted, found) >= 110
        assert not np.array_equal(found[0], found[5])
    assert len(CORE.read_model(out / "model.xml").get_variables()) == (1 if network is echo else 3)


def test_calibration_sees_what_a_variable_holds_later(worker: Worker, tmp_path: Path) -> None:
    """Begun at zero, so that ranges of the first run alone would hold nothing."""
    path, out = echo(tmp_path / "waist.tflite", 0.0), tmp_path / "out"
    x = np.random.default_rng(2).standard_normal((64, *SHAPE)).astype(np.float32)
    made = build(worker, path, out, "int8", calibration={"source_x": x})
    ((wanted, found),) = in_order(worker, path, made, out, x)
    assert sqnr_db(wanted, found) >= 25


def test_a_start_that_is_computed_is_refused(worker: Worker, tmp_path: Path) -> None:
    path = echo(tmp_path / "waist.tflite", computed=True)
    with pytest.raises(Unsupported, match=r"keeps its state from run to run \(ASSIGN_VARIABLE\)"):
        build(worker, path, tmp_path / "out")
