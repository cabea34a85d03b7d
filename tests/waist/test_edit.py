"""What nothing of a file uses is left out, and nothing else of it changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgekit.waist import edit, graph
from tests import networks
from tests.backends.openvino.test_openvino_recurrent import stacked
from tests.stateful import delay, echo

SIBLINGS: dict[str, Callable[[Path], Path]] = {
    "classifier": networks.classifier,
    "a variable": echo,
    "variables of several subgraphs": delay,
    "LSTMs with variable tensors": lambda path: stacked(path, 2, cleared=False),
}


def scattered(model: Any, seed: int) -> None:
    """Tensors in another order, with idle ones, codes and constants among them; a signature and metadata, too."""
    random = np.random.default_rng(seed)
    model.signatureDefs = [_signature(model)]
    for place, subgraph in enumerate(model.subgraphs):
        for number in range(int(random.integers(1, 6))):
            idle = schema.TensorT()
            idle.name, idle.shape, idle.type = f"idle{number}".encode(), np.array([2], np.int32), 0
            idle.buffer = _buffer(model, bytes(8)) if number % 2 else 0
            subgraph.tensors.append(idle)
        order = random.permutation(len(subgraph.tensors))
        numbers = {-1: -1} | {int(old): new for new, old in enumerate(order)}
        subgraph.tensors = [subgraph.tensors[old] for old in order]
        for holder in (subgraph, *subgraph.operators):
            for name in ("inputs", "outputs", "intermediates"):
                if getattr(holder, name, None) is not None:
                    setattr(holder, name, [numbers[index] for index in graph.ints(getattr(holder, name))])
        for entry in (*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs) if place == 0 else ():
            entry.tensorIndex = numbers[entry.tensorIndex]
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"told", _buffer(model, b"what an app reads")
    model.metadata = [*(model.metadata or []), entry]
    idle_code = schema.OperatorCodeT()
    idle_code.builtinCode = idle_code.deprecatedBuiltinCode = schema.BuiltinOperator.ABS
    model.operatorCodes.insert(0, idle_code)
    for operator in (operator for subgraph in model.subgraphs for operator in subgraph.operators):
        operator.opcodeIndex += 1


def _buffer(model: Any, content: bytes) -> int:
    made = schema.BufferT()
    made.data = np.frombuffer(content, np.uint8)
    model.buffers.append(made)
    return len(model.buffers) - 1


def _signature(model: Any) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = b"serve", 0
    for name in ("inputs", "outputs"):
        entries = []
        for number, index in enumerate(graph.ints(getattr(model.subgraphs[0], name))):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{name}{number}".encode(), index
            entries.append(entry)
        setattr(made, name, entries)
    return made


def computed(content: bytes) -> list[bytes]:
    """What three runs give, one after another, called by the signature."""
    made = Interpreter(model_content=content)
    run, random = made.get_signature_runner("serve"), np.random.default_rng(0)
    found = []
    for _ in range(3):
        details = run.get_input_details()
        given = {name: random.standard_normal(one["shape"]).astype(one["dtype"]) for name, one in details.items()}
        found += [values.tobytes() for _, values in sorted(run(**given).items())]
    return found


def names(model: Any) -> list[set[bytes]]:
    return [{tensor.name for tensor in subgraph.tensors} for subgraph in model.subgraphs]


@pytest.mark.parametrize("kind", SIBLINGS)
@pytest.mark.parametrize("seed", range(4))
def test_a_tidy_file_computes_the_same_to_the_bit(kind: str, seed: int, tmp_path: Path) -> None:
    model = graph.load(SIBLINGS[kind](tmp_path / "m.tflite"))
    edit.tidy(model)
    plain = names(model), len(model.buffers), len(model.operatorCodes)
    scattered(model, seed)
    content = graph.pack(model)
    assert edit.tidy(model)
    tidy = graph.pack(model)
    assert computed(tidy) == computed(content)
    assert len(tidy) < len(content)
    assert (names(model), len(model.buffers) - 1, len(model.operatorCodes)) == plain
    assert bytes(model.buffers[model.metadata[-1].buffer].data) == b"what an app reads"
    assert not edit.tidy(model)
    assert graph.pack(model) == tidy


@pytest.mark.parametrize("seed", range(4))
def test_a_signature_of_what_is_not_there_goes(seed: int, tmp_path: Path) -> None:
    """As a damaged file has it: it names a tensor beyond the last, or one that nothing uses."""
    model = graph.load(networks.classifier(tmp_path / "m.tflite"))
    idle = edit.add_tensor(model.subgraphs[0], "idle", (1,))
    model.signatureDefs = [_signature(model), _signature(model)]
    model.signatureDefs[seed % 2].outputs[0].tensorIndex = (idle, 999)[seed // 2]
    edit.tidy(model)
    (left,) = model.signatureDefs
    assert left.outputs[0].tensorIndex == graph.ints(model.subgraphs[0].outputs)[0]


def test_a_subgraph_without_operators_is_left(tmp_path: Path) -> None:
    model = graph.load(networks.classifier(tmp_path / "m.tflite"))
    model.subgraphs[0].operators, model.subgraphs[0].outputs = None, model.subgraphs[0].inputs
    edit.compact(model)
    assert len(model.subgraphs[0].tensors) == 1


@pytest.mark.shared
def test_the_grids_within_an_integer_lstm_stay(shared: Path) -> None:
    """They are no operand of anything: the kernel looks them up."""
    path = shared / "models/edgetpu/keras_lstm_mnist_ptq.tflite"
    model = graph.load(path)
    model.signatureDefs = [_signature(model)]
    before = graph.pack(model)
    scattered(model, 0)
    assert edit.tidy(model)
    (held,) = [
        o.intermediates
        for s in model.subgraphs
        for o in s.operators
        if o.intermediates is not None and len(o.intermediates)
    ]
    assert len(held) == 5
    assert computed(graph.pack(model)) == computed(before)
