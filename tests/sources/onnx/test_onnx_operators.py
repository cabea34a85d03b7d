"""Every small model converts and computes what ONNX Runtime computes, or is refused by name."""

from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import CASES, save
from tests.sources.onnx.onnx_proof import assert_faithful, convert

REFUSED = {"conv_dynamic_weights": "Conv"}
"""Case → the operator that the refusal names."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(REFUSED)))
def test_small_models_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, save(tmp_path, CASES[name]), tmp_path)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_converted_is_refused_by_operator(name: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=REFUSED[name]):
        convert(worker, save(tmp_path, CASES[name]), tmp_path / "waist")


@pytest.mark.parametrize("name", ["conv_bn", "layer_norm", "einsum_attention", "matmul_add"])
def test_typical_models_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, save(tmp_path, CASES[name]), tmp_path)
