"""Samples that ONNX Runtime does not take, or that change an output's shape, end in a remedy."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.nouns.model import SourceOptions


def save(path: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), path)
    return path


@pytest.mark.parametrize(
    ("text", "x", "kind", "said"),
    [
        (
            "net (int64[1] x) => (float[1] y) <float[3] table = {1, 2, 3}> { y = Gather(table, x) }",
            np.array([[1], [7]]),
            InputError,
            "sample 1",
        ),
        (
            "net (float[2] x) => (int64[1, n] y) { y = NonZero(x) }",
            np.array([[1, 1], [0, 1]], np.float32),
            Unsupported,
            "'y'",
        ),
    ],
)
def test_a_run_that_cannot_be_says_why(
    text: str, x: np.ndarray, kind: type[EdgekitError], said: str, worker: Worker, tmp_path: Path
) -> None:
    path = save(tmp_path / "net.onnx", text)
    np.savez(tmp_path / "inputs.npz", x=x)
    with pytest.raises(kind, match=said) as caught:
        worker.call(
            "sources",
            "onnx",
            "run",
            path=path,
            options=SourceOptions(),
            inputs=tmp_path / "inputs.npz",
            outputs=tmp_path / "outputs.npz",
        )
    assert caught.value.fix
    assert not (tmp_path / "outputs.npz").exists()
