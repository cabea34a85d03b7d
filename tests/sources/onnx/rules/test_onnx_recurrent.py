"""LSTM, GRU and RNN in all their variants."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgekit.engine.worker import Worker
from edgekit.waist import graph, run, state
from tests.sources.onnx.onnx_cases import save
from tests.sources.onnx.onnx_proof import assert_faithful

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(
    kind: str,
    *,
    steps: int = 4,
    batch: int = 2,
    size: int = 3,
    hidden: int = 5,
    direction: str = "forward",
    layout: int = 0,
    bias: bool = True,
    lengths: list[int] | None = None,
    states: bool = False,
    peepholes: bool = False,
    attributes: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """A model with one recurrent node; initial states are inputs, lengths and weights constants."""
    random = np.random.default_rng(steps * 100 + hidden)
    count, gates = 2 if direction == "bidirectional" else 1, GATES[kind]
    constants = {
        "W": random.standard_normal((count, gates * hidden, size)),
        "R": random.standard_normal((count, gates * hidden, hidden)),
        "B": random.standard_normal((count, 2 * gates * hidden)) if bias else None,
        "P": random.standard_normal((count, 3 * hidden)) if peepholes and kind == "LSTM" else None,
    }
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items() if v is not None]
    if lengths is not None:
        tensors.append(numpy_helper.from_array(np.asarray(lengths, np.int32), "L"))
    state = [batch, count, hidden] if layout else [count, batch, hidden]
    x = [batch, steps, size] if layout else [steps, batch, size]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x)]
    names = ["x", "W", "R", "B" if bias else "", "L" if lengths is not None else ""]
    if states:
        firsts = ["h", "c"] if kind == "LSTM" else ["h"]
        inputs += [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, state) for name in firsts]
        names += firsts
    if peepholes and kind == "LSTM":
        names += [""] * (7 - len(names)) + ["P"]
    outputs = ["y", "yh", "yc"] if kind == "LSTM" else ["y", "yh"]
    extra = {"layout": layout} if layout else {}
    node = helper.make_node(
        kind, names, outputs, hidden_size=hidden, direction=direction, **extra, **(attributes or {})
    )
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    for value in made:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return helper.make_model(
        helper.make_graph([node], "g", inputs, made, tensors), opset_imports=[helper.make_opsetid("", 14)], ir_version=8
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"direction": "reverse"},
    "bidirectional": {"direction": "bidirectional"},
    "states": {"states": True, "direction": "bidirectional"},
    "no_bias": {"bias": False},
    "one_step": {"steps": 1, "batch": 1},
    "lengths": {"lengths": [2, 4]},
    "lengths_bidirectional": {"lengths": [4, 1], "direction": "bidirectional", "states": True},
    "full_lengths": {"lengths": [4, 4]},
    "clip": {"attributes": {"clip": 0.5}},
}


def _pairs() -> Iterator[Any]:
    """Each variant with one kind, the kinds in turns; the rest are studied."""
    for row, variant in enumerate(sorted(VARIANTS)):
        for column, kind in enumerate(sorted(GATES)):
            yield pytest.param(kind, variant, marks=() if row % len(GATES) == column else pytest.mark.study)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "variant"), _pairs())
def test_variants_compute_what_the_source_computes(kind: str, variant: str, worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, recurrent(kind, **VARIANTS[variant])), tmp_path)
    operators = {o.name for o in graph.read(tmp_path / "waist" / waist.file)[0].operators}
    assert not operators & {"UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "WHILE"}


SPECIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "gru_linear_before_reset": ("GRU", {"attributes": {"linear_before_reset": 1}, "direction": "bidirectional"}),
    "lstm_peepholes": ("LSTM", {"peepholes": True, "direction": "bidirectional"}),
    "lstm_input_forget": ("LSTM", {"attributes": {"input_forget": 1}}),
    "lstm_activations": ("LSTM", {"attributes": {"activations": ["HardSigmoid", "Relu", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]}}),
    "gru_activations": ("GRU", {"attributes": {"activations": ["Sigmoid", "Relu"]}}),
    "rnn_relu": ("RNN", {"attributes": {"activations": ["Relu"]}}),
    "rnn_leaky": ("RNN", {"attributes": {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}}),
    "rnn_two_activations": ("RNN", {"direction": "bidirectional", "attributes": {"activations": ["Relu", "Tanh"]}}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_forms_compute_what_the_source_computes(name: str, worker: Worker, tmp_path: Path) -> None:
    kind, options = SPECIAL[name]
    assert_faithful(worker, save(tmp_path, recurrent(kind, **options)), tmp_path)


@pytest.mark.study
@pytest.mark.slow
@settings(max_examples=25, derandomize=True)
@given(
    kind=st.sampled_from(sorted(GATES)),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    bias=st.booleans(),
    states=st.booleans(),
    data=st.data(),
)
def test_any_recurrent_node_computes_what_the_source_computes(
    kind: str,
    direction: str,
    sizes: tuple[int, int, int, int],
    bias: bool,
    states: bool,
    data: st.DataObject,
    worker: Worker,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    steps, batch, size, hidden = sizes
    lengths = data.draw(st.none() | st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    model = recurrent(
        kind,
        steps=steps,
        batch=batch,
        size=size,
        hidden=hidden,
        direction=direction,
        bias=bias,
        states=states,
        lengths=lengths,
    )
    folder = tmp_path_factory.mktemp("recurrent")
    assert_faithful(worker, save(folder, model), folder)


def test_unrolled_steps_share_their_weights(worker: Worker, tmp_path: Path) -> None:
    """Twelve steps of two directions, and each direction's matrices once."""
    model = recurrent("LSTM", steps=12, batch=1, size=32, hidden=32, direction="bidirectional")
    path = save(tmp_path, model)
    waist = assert_faithful(worker, path, tmp_path)
    file = tmp_path / "waist" / waist.file
    assert file.stat().st_size < 2.5 * path.stat().st_size
    products = [operator for operator in graph.read(file)[0].operators if operator.name == "FULLY_CONNECTED"]
    assert len(products) >= 24
    assert len({operator.inputs[1] for operator in products}) == 4


LONG = 12
"""Steps of an LSTM that is kept whole if it can be: more than `sequences.LONGEST_UNROLLED`."""

WHOLE: dict[str, dict[str, Any]] = {
    "forward": {},
    "reverse": {"direction": "reverse", "bias": False},
    "bidirectional": {"direction": "bidirectional", "batch": 1},
    "full_lengths": {"lengths": [LONG, LONG]},
    "named_activations": {"attributes": {"activations": ["Sigmoid", "Tanh", "Tanh"]}},
}
UNROLLED: dict[str, dict[str, Any]] = {
    "states": {"states": True},
    "lengths": {"lengths": [3, LONG]},
    "peepholes": {"peepholes": True},
    "clip": {"attributes": {"clip": 0.5}},
    "input_forget": {"attributes": {"input_forget": 1}},
    "activations": {"attributes": {"activations": ["Sigmoid", "Relu", "Tanh"]}},
}


def long(tmp_path: Path, options: dict[str, Any], *, cell: bool = False) -> Path:
    """A long LSTM; its last cell state is an output where it is asked for."""
    model = recurrent("LSTM", steps=LONG, **options)
    if not cell:
        del model.graph.output[2]
    return save(tmp_path, model)


@pytest.mark.parametrize("variant", sorted(WHOLE))
def test_a_long_lstm_stays_whole_and_forgets(variant: str, worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, long(tmp_path, WHOLE[variant]), tmp_path)
    path = tmp_path / "waist" / waist.file
    operators = [o.name for o in graph.read(path)[0].operators]
    assert operators.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == (2 if variant == "bidirectional" else 1)
    assert not state.surviving(graph.load(path))
    (given,) = waist.signature.inputs
    x = np.random.default_rng(4).standard_normal((3, *given.shape)).astype(np.float32)[[0, 1, 2, 0]]
    assert all(np.array_equal(y[0], y[3]) for y in run.run(path, {given.name: x}).values())


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(UNROLLED))
def test_what_the_operator_does_not_compute_is_unrolled(variant: str, worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, long(tmp_path, UNROLLED[variant]), tmp_path)
    operators = {o.name for o in graph.read(tmp_path / "waist" / waist.file)[0].operators}
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in operators
    assert [note for note in waist.notes if "times as large as its source: LSTM became" in note]


def test_a_last_cell_state_that_is_read_is_computed(worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, long(tmp_path, {"batch": 1}, cell=True), tmp_path)
    assert len(waist.signature.outputs) == 3
