"""Weights that lie packed in blocks are read as what they stand for, in every form that they come in."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource, prepare
from tests.sources.onnx.onnx_cases import save

DOMAINS = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]

ROWS = 6

Array = np.ndarray[Any, np.dtype[Any]]


def _packed(integers: Array, bits: int) -> Array:
    """Integers ``[…, n]`` as bytes, the lowest bits first."""
    parts = integers.reshape(*integers.shape[:-1], -1, 8 // bits)
    packed: Array = (parts << np.arange(0, 8, bits)).sum(axis=-1).astype(np.uint8)
    return packed


class _Forms:
    """Operators of one network that read the same input, each with an output of its own."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.held: list[onnx.TensorProto] = []

    def constant(self, values: Array | None) -> str:
        if values is None:
            return ""
        self.held.append(numpy_helper.from_array(values, f"c{len(self.held)}"))
        return self.held[-1].name

    def add(self, kind: str, names: list[str], **attributes: Any) -> None:
        out = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [out], domain="com.microsoft", **attributes))

    def product(self, columns: int, bits: int, block: int, zero: str, groups: str = "", bias: bool = False) -> None:
        """A MatMulNBits of ``ROWS`` rows."""
        draw, blocks = self.random, -(-columns // block)
        whole = -(-blocks * bits // 8) * 8 // bits
        points = {
            "": None,
            "packed": _packed(draw.integers(0, 2**bits, (ROWS, whole)), bits).reshape(-1),
            "float": (draw.random(ROWS * blocks) * 2**bits).astype(np.float32),
        }[zero]
        order = np.arange(columns, dtype=np.int32) // block
        names = [
            "x",
            self.constant(_packed(draw.integers(0, 2**bits, (ROWS, blocks, block)), bits)),
            self.constant((draw.random(ROWS * blocks) * 0.1).astype(np.float32)),
            self.constant(points),
            self.constant({"": None, "in order": order, "dealt": draw.permutation(order)}[groups]),
            self.constant(draw.normal(size=ROWS).astype(np.float32) if bias else None),
        ]
        self.add("MatMulNBits", names, K=columns, N=ROWS, bits=bits, block_size=block)

    def table(self, bits: int, block: int, *, shifted: bool) -> None:
        """A GatherBlockQuantized of 9 rows of 40."""
        draw, blocks = self.random, -(-40 // block)
        whole = -(-blocks * bits // 8) * 8 // bits
        names = [
            self.constant(_packed(draw.integers(0, 2**bits, (9, 40)), bits)),
            "i",
            self.constant(draw.random((9, blocks)).astype(np.float32)),
            self.constant(_packed(draw.integers(0, 2**bits, (9, whole)), bits) if shifted else None),
        ]
        self.add(
            "GatherBlockQuantized", names if shifted else names[:3],
            bits=bits, block_size=block, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def model(self, x: tuple[int, ...] = (1, 5, 40)) -> onnx.ModelProto:
        given = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, x),
            helper.make_tensor_value_info("i", TensorProto.INT64, (1, 4)),
        ]
        nodes, outputs = list(self.nodes), []
        for node in self.nodes:
            nodes.append(helper.make_node("Tanh", list(node.output), [f"{node.output[0]}/t"]))
            outputs.append(helper.make_tensor_value_info(f"{node.output[0]}/t", TensorProto.FLOAT, None))
        graph = helper.make_graph(nodes, "blocks", given, outputs, self.held)
        return helper.make_model(graph, opset_imports=DOMAINS, ir_version=10)


@pytest.fixture(scope="module")
def forms() -> _Forms:
    made = _Forms(seed=3)
    for bits, block, zero in product((2, 4, 8), (16, 32), ("", "packed", "float")):
        if zero != "float" or bits == 4:  # ONNX Runtime has no others
            made.product(40, bits, block, zero)  # the last block is not full
    for groups, bias in product(("", "in order", "dealt"), (False, True)):
        made.product(40, 4, 16, "" if groups else "packed", groups, bias)
    for bits, shifted in product((4, 8), (False, True)):
        made.table(bits, 16, shifted=shifted)
    return made


def test_every_packing_is_the_floats_that_onnx_runtime_computes_with(forms: _Forms) -> None:
    model = forms.model()
    floats = prepare.prepare(model).proto()
    assert not [node.op_type for node in floats.graph.node if node.domain]
    draw = np.random.default_rng(1)
    sample = {"x": draw.normal(size=(1, 5, 40)).astype(np.float32), "i": draw.integers(0, 9, (1, 4))}
    given, made = (
        onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, sample)
        for network in (model, floats)
    )
    apart = [i for i, (a, b) in enumerate(zip(given, made, strict=True)) if not np.allclose(a, b, atol=1e-5)]
    assert len(given) == len(forms.nodes)
    assert apart == []


def test_activations_in_8_bits_are_floats_with_a_warning(worker: Worker, tmp_path: Path) -> None:
    forms = _Forms(seed=4)
    forms.product(40, 4, 32, "packed")
    forms.nodes[0].attribute.append(helper.make_attribute("accuracy_level", 4))
    model = forms.model()
    del model.graph.input[1]
    path = save(tmp_path, model)
    (tmp_path / "waist").mkdir()
    waist = worker.call(
        "sources", "onnx", "to_waist", path=path, options=SourceOptions(), out=tmp_path / "waist"
    )  # proven against its float form
    assert "dynamically" in waist.warnings[0]
    assert OnnxSource().describe(path, SourceOptions()).precision == "dynamic-int8"


@pytest.mark.parametrize("packed", [True, False])
def test_weights_in_integers_are_told(packed: bool, worker: Worker, tmp_path: Path) -> None:
    """DequantizeLinear of 4 bits is one that ONNX Runtime's optimizer would compute in 8-bit activations."""
    forms = _Forms(seed=5)
    forms.product(40, 4, 16, "")
    model = forms.model()
    if not packed:
        weights = helper.make_tensor("w", TensorProto.INT4, (40, ROWS), forms.random.integers(-8, 8, 40 * ROWS))
        scales = numpy_helper.from_array(forms.random.random((3, ROWS)).astype(np.float32), "s")
        model.graph.initializer.extend([weights, scales])
        model.graph.node[0].CopyFrom(helper.make_node("MatMul", ["x", "floats"], ["y0"]))
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["w", "s"], ["floats"], axis=0, block_size=16))
    del model.graph.input[1]
    (tmp_path / "waist").mkdir()
    waist = worker.call(
        "sources", "onnx", "to_waist", path=save(tmp_path, model), options=SourceOptions(), out=tmp_path / "waist"
    )
    assert "weights are quantized already" in waist.warnings[0]
