"""Weights equalized across layers: the same float network, of which one scale for all weights of a layer is enough."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.waist import graph
from tests.backends.apart import as_float, spread_out
from tests.backends.integers import Quantized, normal
from tests.equalization.spread import RELU6, chain


def test_it_rescues_files_with_one_scale_for_all_weights(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite", spread=100)
    made = {
        how: Quantized(
            path,
            normal(path),
            tmp_path / how,
            settings={"per_channel": False, "equalization": how, "weights": "nearest"},
        )
        for how in ("off", "on", "auto")
    }
    fresh = normal(path, seed=1)
    found = {how: min(one.sqnr_db(fresh).values()) for how, one in made.items()}
    assert found["on"] > found["off"] + 8
    assert found["auto"] == found["on"] > 25
    assert "weights of layers in a row are equalized" in made["auto"].made.notes


def test_equalization_below_caps_serves_files_with_one_scale_for_all_weights(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite", spread=300, activation=RELU6, seed=1)
    found = {}
    for how in ("off", "auto"):
        settings = {"per_channel": False, "equalization": how, "weights": "nearest"}
        made = Quantized(path, normal(path), tmp_path / how, settings=settings)
        found[how] = min(made.sqnr_db(normal(path, seed=1)).values())
    assert found["auto"] > found["off"] + 6


@pytest.mark.study
@pytest.mark.shared
@pytest.mark.slow
def test_a_trained_network_whose_channels_are_a_hundred_apart(tmp_path: Path, shared: Path) -> None:
    with np.load(shared / "data/kws01.npz") as file:
        x, y = ((file["x"].astype("f") - 83) * np.float32(0.5847029)).reshape(-1, 1, 49, 10, 1), file["y"]
    source = shared / "models/mlperf_tiny/kws_ref_model_float32.tflite"
    model = graph.load(source)
    as_float(model)
    assert spread_out(model, 100) >= 8
    path = tmp_path / "apart.tflite"
    path.write_bytes(graph.pack(model))
    name = "source_" + graph.read(path)[0].tensors[graph.read(path)[0].inputs[0]].name

    def top1(found: Any) -> float:
        return float((np.asarray(next(iter(found.values()))).reshape(len(y) - 200, -1).argmax(1) == y[200:]).mean())

    right = {}
    for how in "off", "auto":
        settings = {"per_channel": False, "equalization": how, "weights": "nearest"}
        made = Quantized(path, {name: x[:200]}, tmp_path / how, settings=settings)
        right[how] = top1(made.outputs({name: x[200:]}))
    float_right = top1(made.wanted({name: x[200:]}))
    assert right["off"] < float_right - 0.2
    assert right["auto"] >= float_right - 0.01
