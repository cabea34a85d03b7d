"""Where a file of a recurrent network loses its signal, its state carried on from sample to sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.backends.tflite import TFLiteBackend
from edgekit.backends.tflite.diagnosis import carried, diagnose
from edgekit.errors import Unsupported
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.waist import graph, run, state
from edgekit.waist.tensors import dequantize, quantize, sqnr_db
from tests import networks
from tests.backends.openvino.test_openvino_variables import echo
from tests.trainable.cases import lstm


def recurrent(path: Path, *, cleared: bool = True) -> Path:
    """Two LSTMs with a dense layer in between; they begin every run at zero, or where the last one ended."""
    net = networks.Network()
    first = lstm()(net, net.input("x", (1, 5, 4)))
    wide = net.operator(
        "FULLY_CONNECTED", [first, net.constant("dense", networks.weights(4, 3, seed=7)), -1], (1, 5, 4),
        kind="FullyConnectedOptions", keepNumDims=True,
    )  # fmt: skip
    net.save(path, lstm()(net, wide))
    if cleared:
        model = graph.load(path)
        state.clear(model)
        path.write_bytes(graph.pack(model))
    return path


def diagnosed(folder: Path, waist: Path, file: Path, samples: dict[str, Any]) -> Diagnosis:
    np.savez(folder / "samples.npz", **samples)
    return diagnose(
        file, [Waist(file=str(waist), signature=networks.signature(waist))], folder / "samples.npz", helps=2
    )


def built(folder: Path, waist: Path, precision: Any, samples: dict[str, Any], settings: Any = None) -> Path:
    settings = ({"full_integer": True} if precision == "int8" else {}) if settings is None else settings
    TFLiteBackend().build(networks.job(waist, precision, calibration=samples, settings=settings), "net.tflite", folder)
    return folder / "net.tflite"


@pytest.mark.parametrize("precision", ["int8", "int16x8", "dynamic-int8", "float16"])
def test_each_lstm_has_its_figures_and_no_sample_those_of_another(precision: str, tmp_path: Path) -> None:
    waist = recurrent(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 24)
    file = built(tmp_path, waist, precision, samples)
    found = diagnosed(tmp_path, waist, file, samples)
    rows = [row for row in found.operators if "LSTM" in row.operator]
    assert len(rows) == 2
    kept_float = precision in {"int16x8", "dynamic-int8"}
    assert all((row.alone_db is None) == kept_float for row in rows)
    assert all(row.alone_db is None or row.alone_db > 20 for row in found.operators)
    assert found.output_db is not None
    assert found.output_db > 20
    turned = diagnosed(tmp_path, waist, file, {name: values[::-1] for name, values in samples.items()})
    assert [row.alone_db for row in turned.operators] == pytest.approx([row.alone_db for row in found.operators])


@pytest.mark.parametrize("precision", ["int8", "int16x8", "dynamic-int8", "float16"])
def test_state_in_variables_goes_on_from_sample_to_sample(precision: str, tmp_path: Path) -> None:
    """What the walk accumulates at the output is what a plain loop gives, and it changes with the samples' order."""
    waist = echo(tmp_path / "waist.tflite")
    samples = networks.samples(networks.signature(waist), 24)
    file = built(tmp_path, waist, precision, samples, settings={})
    found = diagnosed(tmp_path, waist, file, samples)
    assert not found.unmatched
    ((name, given),) = samples.items()
    level = sqnr_db(outputs_of(waist, given), outputs_of(file, given))
    assert found.output_db == pytest.approx(level, abs=0.01)
    assert found.operators[-1].accumulated_db == pytest.approx(level, abs=0.01)
    assert found.operators[-1].alone_db is None or found.operators[-1].alone_db > level
    assert any("state went on" in remark for remark in found.remarks)
    turned = diagnosed(tmp_path, waist, file, {name: given[::-1]})
    assert turned.operators[-1].accumulated_db != pytest.approx(level, abs=1e-6)


def outputs_of(path: Path, given: Any) -> Any:
    """The only output of a file whose input and output are floats, or stand for such, ``[N, *shape]``."""
    made = run.interpreter(path)
    (into,), (out,) = made.get_input_details(), made.get_output_details()
    rows = []
    for row in given:
        scale, zero = into["quantization"]
        made.set_tensor(into["index"], quantize(row, scale, zero, into["dtype"].__name__) if scale else row)
        made.invoke()
        scale, zero = out["quantization"]
        values = made.get_tensor(out["index"])
        rows.append(dequantize(values, scale, zero) if scale else values)
    return np.stack(rows)


def test_state_of_a_recurrent_operator_goes_on_inside_of_it(tmp_path: Path) -> None:
    waist = recurrent(tmp_path / "waist.tflite", cleared=False)
    samples = networks.samples(networks.signature(waist), 24)
    file = built(tmp_path, waist, "float16", samples)
    found = diagnosed(tmp_path, waist, file, samples)
    (given,) = samples.values()
    assert found.output_db == pytest.approx(sqnr_db(*(outputs_of(path, given) for path in (waist, file))), abs=0.01)
    assert sum("LSTM" in row.operator for row in found.operators) == 2


def test_a_variable_that_a_loop_writes_is_refused(tmp_path: Path) -> None:
    model = graph.load(echo(tmp_path / "waist.tflite"))
    inner = schema.SubGraphT()
    inner.tensors, inner.inputs, inner.outputs = model.subgraphs[0].tensors, [], []
    inner.operators = [o for o in model.subgraphs[0].operators if graph.ints(o.outputs) == ()]
    model.subgraphs.append(inner)
    with pytest.raises(Unsupported, match="inside of a loop") as refused:
        carried.require_outside_of_loops(tmp_path / "net.tflite", model)
    assert "stateful=False" in refused.value.fix
