"""Quantized ONNX models whose inputs and outputs are integers themselves: files take and give the same integers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime import quantization

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.sources.onnx import OnnxSource
from edgekit.waist import graph, run, tensors
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.quantized.test_onnx_scales import WAYS, made


def stripped(path: Path) -> str:
    """Take the rounding of the input and the reading of the output off a model; the dtype of both."""
    model = onnx.load(path)
    main, given, out = model.graph, model.graph.input[0], model.graph.output[0]
    held = {tensor.name: tensor for tensor in main.initializer}
    rounding = [node for node in main.node if node.op_type == "QuantizeLinear" and node.input[0] == given.name]
    reading = next(node for node in main.node if out.name in node.output)
    code = held[rounding[0].input[2]].data_type
    inner = reading.input[0]
    for node in (*rounding, reading):
        main.node.remove(node)
    renamed = {node.output[0]: given.name for node in rounding} | {inner: out.name}
    for node in main.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    given.type.tensor_type.elem_type = out.type.tensor_type.elem_type = code
    onnx.save(model, path)
    return str(onnx.helper.tensor_dtype_to_np_dtype(code))


def both(path: Path, waist: Waist, out: Path, dtype: str) -> tuple[Any, Any]:
    """What ONNX Runtime and a plain loop of LiteRT make of the same integers."""
    spec, ends = waist.signature.inputs[0], np.iinfo(dtype)
    random = np.random.default_rng(7)
    given = {"x": random.integers(ends.min, ends.max + 1, (20, *spec.source_shape)).astype(dtype)}
    np.savez(out / "in.npz", **given)
    OnnxSource().run(path, SourceOptions(), out / "in.npz", out / "out.npz")
    got = run.run(out / waist.file, tensors.inputs_to_file(waist.signature, given))
    return np.load(out / "out.npz")["out"], tensors.outputs_to_source(waist.signature, got)["out"]


@pytest.mark.parametrize("way", ["per channel", "per tensor, unsigned", "operators on integers"])
@pytest.mark.parametrize("name", ["residual", "gates", "decoder"])
def test_integers_go_in_and_come_out_as_in_the_source(name: str, way: str, tmp_path: Path) -> None:
    path = made(name, tmp_path / "net.onnx", **WAYS[way])
    dtype = stripped(path)
    waist = OnnxSource().as_it_is(path, SourceOptions(), tmp_path)
    assert waist is not None
    main = graph.read(tmp_path / waist.file)[0]
    boundary = [main.tensors[tensor] for tensor in (*main.inputs, *main.outputs)]
    assert {tensor.dtype for tensor in boundary} == {dtype} == {spec.dtype for spec in waist.signature.inputs}
    expected, got = both(path, waist, tmp_path, dtype)
    assert expected.dtype == got.dtype
    steps = np.abs(expected.astype(int) - got.astype(int))
    assert np.sqrt(np.mean(np.square(steps, dtype=float))) < 1
    assert steps.max() < 5


@pytest.mark.parametrize("way", ["per channel", "per tensor, unsigned", "operators on integers"])
def test_a_float_file_takes_and_gives_them_as_well(way: str, tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", **WAYS[way])
    dtype = stripped(path)
    expected, got = both(path, OnnxSource().to_waist(path, SourceOptions(), tmp_path), tmp_path, dtype)
    assert np.abs(expected.astype(int) - got.astype(int)).max() <= 1


@pytest.mark.parametrize("way", [quantization.QuantType.QInt8, quantization.QuantType.QUInt8])
def test_rows_of_a_table_of_integers_are_carried_over(way: Any, tmp_path: Path) -> None:
    """What the quantizer makes of an embedding: Gather on integers."""
    model = build("int64[1,6] ids", "e = Gather(table, ids) f = MatMul(e, w) out = Add(f, b)", "float[1,6,5] out",
                  table=(20, 8), w=(8, 5), b=(5,))  # fmt: skip
    plain, path = save(tmp_path, model, "plain.onnx"), tmp_path / "net.onnx"
    ids = np.random.default_rng(0).integers(0, 20, (12, 1, 6))
    reader = iter([{"ids": row} for row in ids])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            """The next sample."""
            return next(reader, None)

    quantization.quantize_static(
        plain, path, Reader(), quant_format=quantization.QuantFormat.QOperator, activation_type=way
    )
    assert "DequantizeLinear" not in {n.op_type for n in onnx.load(path).graph.node if n.input[0] == "table_quantized"}
    for waist in (
        OnnxSource().as_it_is(path, SourceOptions(), tmp_path),
        OnnxSource().to_waist(path, SourceOptions(), tmp_path),
    ):
        assert waist is not None
        np.savez(tmp_path / "in.npz", ids=ids)
        OnnxSource().run(path, SourceOptions(), tmp_path / "in.npz", tmp_path / "out.npz")
        got = run.run(tmp_path / waist.file, tensors.inputs_to_file(waist.signature, {"ids": ids}))
        found = tensors.outputs_to_source(waist.signature, got)["out"]
        assert tensors.sqnr_db(np.load(tmp_path / "out.npz")["out"], found) > 40


def test_integers_of_an_input_that_nobody_gives_a_scale_are_refused(tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", **WAYS["per channel"])
    model = onnx.load(path)
    flag = onnx.helper.make_tensor_value_info("level", onnx.TensorProto.INT8, [1])
    model.graph.input.append(flag)
    cast = onnx.helper.make_node("Cast", ["level"], ["shift"], to=onnx.TensorProto.FLOAT)
    old = next(node for node in model.graph.node if "out" in node.output)
    old.output[0] = "before"
    model.graph.node.extend([cast, onnx.helper.make_node("Add", ["before", "shift"], ["out"])])
    model.graph.initializer.append(numpy_helper.from_array(i64(1), "unused"))
    onnx.save(model, path)
    with pytest.raises(Unsupported, match="level, an input, has integers whose scale is not told"):
        OnnxSource().as_it_is(path, SourceOptions(), tmp_path)
