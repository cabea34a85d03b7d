"""Integer LSTMs: what LiteRT's quantizer needs to know, and that it then makes them wholly of integers."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit import samples
from edgekit.backends.tflite import recurrent
from edgekit.engine.worker import Worker
from edgekit.nouns.building import Job
from edgekit.nouns.model import SourceOptions
from edgekit.waist import graph, run


def tree(code: int, intermediates: list[int] | None) -> SimpleNamespace:
    """An operator of 24 inputs (cell state: tensor 1) and the output 0, among two tensors."""
    tensors = [schema.TensorT(), schema.TensorT()]
    inputs = np.full(24, -1)
    inputs[recurrent.CELL_STATE] = 1
    operator = SimpleNamespace(opcodeIndex=0, inputs=inputs, outputs=[0], intermediates=intermediates)
    main = SimpleNamespace(operators=[operator], tensors=tensors)
    return SimpleNamespace(operatorCodes=[SimpleNamespace(builtinCode=code)], subgraphs=[main])


LSTM = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM


@pytest.mark.parametrize("present", [None, []])
def test_an_lstm_gets_five_intermediates_with_the_range_of_its_output(present: list[int] | None) -> None:
    model = tree(LSTM, present)
    recurrent.add_intermediates(model, {0: (-0.5, 0.75), 1: (-1.0, 2.0)})
    (operator,) = model.subgraphs[0].operators
    made = [model.subgraphs[0].tensors[i] for i in operator.intermediates]
    assert len({tensor.name for tensor in made}) == recurrent.INTERMEDIATES
    assert [(tensor.quantization.min, tensor.quantization.max) for tensor in made] == [([-0.5], [0.75])] * 5


def test_the_cell_state_gets_headroom() -> None:
    model = tree(LSTM, None)
    recurrent.add_intermediates(model, {0: (-0.5, 0.75), 1: (-1.0, 2.0)})
    cell = model.subgraphs[0].tensors[1].quantization
    assert (cell.min, cell.max) == ([-4.0], [8.0])


def test_intermediates_that_are_there_are_kept() -> None:
    model = tree(LSTM, [1])
    recurrent.add_intermediates(model, {0: (-0.5, 0.75)})
    assert model.subgraphs[0].operators[0].intermediates == [1]
    assert len(model.subgraphs[0].tensors) == 2


@pytest.mark.parametrize(("code", "ranges"), [(schema.BuiltinOperator.ADD, {0: (-1.0, 1.0)}), (LSTM, {})])
def test_other_operators_and_lstms_never_seen_stay_as_they_are(code: int, ranges: dict[int, recurrent.Range]) -> None:
    model = tree(code, None)
    recurrent.add_intermediates(model, ranges)
    assert model.subgraphs[0].operators[0].intermediates is None


@pytest.mark.shared
@pytest.mark.study
def test_a_real_lstm_becomes_all_integers(worker: Worker, shared: Path, tmp_path: Path) -> None:
    path = shared / "models/keras/fiit_lstm1.keras"
    options = SourceOptions()
    source = worker.call("sources", "keras", "describe", path=path, options=options).signature
    waist = worker.call("sources", "keras", "to_waist", path=path, options=options, out=tmp_path)
    data = samples.random(source, 32)
    job = Job(
        waist=str(tmp_path / waist.file),
        source=str(path),
        source_format="keras",
        signature=waist.signature,
        source_signature=source,
        precision="int8",
        io="float32",
        calibration=str(data.save(tmp_path / "samples.npz")),
    )
    built = worker.call("backends", "tflite", "build", job=job, file="model_int8.tflite", out=tmp_path)
    made = graph.read(tmp_path / "model_int8.tflite")[0]
    dtypes = {
        made.tensors[i].dtype for op in made.operators if "LSTM" in op.name for i in (*op.inputs, *op.outputs) if i >= 0
    }
    assert dtypes == {"int8", "int16", "int32"}
    (values,) = data.inputs.values()
    values = np.concatenate([values, values[:1]])
    (wanted,) = run.run(tmp_path / waist.file, {waist.signature.inputs[0].name: values}).values()
    (found,) = run.run(tmp_path / "model_int8.tflite", {built.signature.inputs[0].name: values}).values()
    assert np.array_equal(found[0], found[-1])  # nothing of the runs between them is left
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > 25
