"""Where a file of a recurrent network loses its signal; files that keep their state are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import TFLiteBackend
from edgekit.backends.tflite.diagnosis import diagnose
from edgekit.errors import Unsupported
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.waist import graph, state
from tests import networks
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
    return diagnose(file, Waist(file=str(waist), signature=networks.signature(waist)), folder / "samples.npz", helps=2)


def built(folder: Path, waist: Path, precision: Any, samples: dict[str, Any]) -> Path:
    settings = {"full_integer": True} if precision == "int8" else {}
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


def test_a_file_that_keeps_its_state_is_refused(tmp_path: Path) -> None:
    waist = recurrent(tmp_path / "waist.tflite", cleared=False)
    samples = networks.samples(networks.signature(waist), 24)
    file = built(tmp_path, waist, "dynamic-int8", samples)
    with pytest.raises(Unsupported, match="UNIDIRECTIONAL_SEQUENCE_LSTM") as refused:
        diagnosed(tmp_path, waist, file, samples)
    assert "stateful=False" in refused.value.fix
