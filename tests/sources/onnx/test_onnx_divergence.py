"""Which tensor is to blame when a waist disagrees: found by damaging one on purpose."""

from pathlib import Path

import flatbuffers
import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.engine.worker import Worker
from edgekit.nouns.model import Divergence, SourceOptions, Waist
from edgekit.waist import graph
from tests.sources.onnx.onnx_cases import build, save
from tests.sources.onnx.onnx_proof import convert, draw

THREE = build(
    "float[1,3,8,8] x",
    "first = Conv<pads=[1,1,1,1]>(x, w) second = Conv<pads=[1,1,1,1]>(first, v) y = Conv<pads=[1,1,1,1]>(second, u)",
    w=(8, 3, 3, 3), v=(8, 8, 3, 3), u=(4, 8, 3, 3),
)  # fmt: skip


def damage(path: Path, position: int) -> None:
    """Turn the sign of the weights of the convolution at this position."""
    model = graph.load(path)
    convolution = [o for o in model.subgraphs[0].operators if len(o.inputs) == 3][position]
    buffer = model.buffers[model.subgraphs[0].tensors[convolution.inputs[1]].buffer]
    values = np.frombuffer(bytes(buffer.data), np.float32)
    buffer.data = np.frombuffer((-values).tobytes(), np.uint8)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    assert schema.Model.GetRootAs(path.read_bytes(), 0).SubgraphsLength() == 1


def ask(worker: Worker, model: Path, waist: Waist, folder: Path) -> Divergence | None:
    np.savez(folder / "samples.npz", **draw(waist))
    moved = msgspec.structs.replace(waist, file=str(folder / "waist" / waist.file))
    found = worker.call(
        "sources", "onnx", "first_divergence",
        path=model, options=SourceOptions(), waist=moved, inputs=folder / "samples.npz", threshold_db=60.0,
    )  # fmt: skip
    assert found is None or isinstance(found, Divergence)
    return found


def test_a_faithful_waist_diverges_nowhere(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, THREE)
    assert ask(worker, path, convert(worker, path, tmp_path / "waist"), tmp_path) is None


@pytest.mark.parametrize(("position", "name"), [(0, "first"), (1, "second"), (2, "y")])
def test_the_first_damaged_tensor_is_named(position: int, name: str, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, THREE)
    waist = convert(worker, path, tmp_path / "waist")
    damage(tmp_path / "waist" / waist.file, position)
    found = ask(worker, path, waist, tmp_path)
    assert found is not None
    assert found.tensor.startswith(name) or (name == "first" and found.tensor.startswith("second_input"))
    assert found.operator == "CONV_2D"
    assert found.sqnr_db < 60
