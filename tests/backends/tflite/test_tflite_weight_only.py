"""Weights of 8 and 4 bits beside float activations, fitted to samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit.backends.tflite import TFLiteBackend, weight_only, weights
from edgekit.backends.tflite.engines import ENGINES
from edgekit.backends.tflite.layerwise import fitting
from edgekit.backends.tflite.layerwise.grid import Scheme
from edgekit.backends.tflite.layerwise.reconstruction import reconstruct
from edgekit.backends.tflite.ranges import choose
from edgekit.equalization.observing import observe
from edgekit.waist import graph, run, trial
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import normal
from tests.backends.tflite.test_tflite_weights import KERNELS

LAYERS = sorted(KERNELS.keys() - {"embedding", "gather"})


def chain(path: Path) -> Path:
    """Two dense layers and a product by several constants, on inputs that depend on one another."""
    net = networks.Network()
    x = net.input("x", (3, 4, 16))
    mixing = net.constant("mixing", networks.weights(16, 2, seed=3) @ networks.weights(2, 16, seed=4))
    x = net.operator("FULLY_CONNECTED", [x, mixing, -1], (3, 4, 16), kind="FullyConnectedOptions", keepNumDims=True)
    dense = [net.constant("k", networks.weights(24, 16)), net.constant("b", np.ones(24, np.float32))]
    y = net.operator("FULLY_CONNECTED", [x, *dense], (3, 4, 24), kind="FullyConnectedOptions", keepNumDims=True)
    several = net.constant("several", networks.weights(3, 24, 8, seed=1))
    return net.save(path, net.operator("BATCH_MATMUL", [y, several], (3, 4, 8), kind="BatchMatMulOptions"))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("bits", "per_channel"), [(8, True), (4, True), (4, False)])
def test_the_file_holds_the_integers_that_were_learned(
    layer: str, bits: int, per_channel: bool, tmp_path: Path
) -> None:
    net = networks.Network()
    waist = net.save(tmp_path / "waist.tflite", KERNELS[layer](net))
    main = graph.read(waist)[0]
    shape = main.tensors[main.inputs[0]].shape
    inputs = {"x": np.random.default_rng(0).standard_normal((16, *shape)).astype(np.float32)}
    schemes = weight_only.stored(waist, weights.to_integer_weights(waist, bits, per_channel=per_channel))
    model, _ = reconstruct(waist, inputs, schemes, {})
    fitted = tmp_path / "fitted.tflite"
    fitted.write_bytes(graph.pack(model))
    written = graph.parse(weights.to_integer_weights(fitted, bits, per_channel=per_channel), fitted)
    tensor = next(tensor for tensor in graph.describe(written)[0].tensors if tensor.name == "k")
    places = [-1 if axis == tensor.axis else 1 for axis in range(len(tensor.shape))]
    real = integers(written, tensor) * np.array(tensor.scales).reshape(places)
    (kernel,) = (t.index for t in main.tensors if t.name == "k")
    assert schemes
    assert real == pytest.approx(graph.constant(model, 0, kernel), rel=1e-5, abs=1e-9)


def integers(model: Any, tensor: graph.Tensor) -> Any:
    """A constant's integers, those of 4 bits unpacked."""
    held = np.asarray(model.buffers[model.subgraphs[0].tensors[tensor.index].buffer].data, np.uint8)
    if tensor.dtype == "int4":
        held = np.stack([held << 4, held & 0xF0], 1).ravel()[: int(np.prod(tensor.shape))]
        return (held.view(np.int8) >> 4).reshape(tensor.shape)
    return held.view(np.int8).reshape(tensor.shape)


@pytest.mark.parametrize(("precision", "gain_db"), [("int4", 2.0), ("dynamic-int8", 0.0)])
def test_fitted_weights_serve_inputs_that_nobody_saw(precision: Any, gain_db: float, tmp_path: Path) -> None:
    waist = chain(tmp_path / "waist.tflite")
    fresh = next(iter(normal(waist, 64, seed=7).values()))
    wanted = next(iter(run.run(waist, {"x": fresh}).values()))
    reached = {}
    for way in ("nearest", "auto"):
        job = networks.job(waist, precision, calibration=normal(waist, 64), settings={"weights": way})
        made = TFLiteBackend().build(job, f"{way}.tflite", tmp_path)
        reached[way] = sqnr_db(wanted, next(iter(run.run(tmp_path / f"{way}.tflite", {"x": fresh}).values())))
        assert bool(made.notes) == (way == "auto")
    assert reached["auto"] >= reached["nearest"] + gain_db


def test_the_order_of_samples_changes_nothing_and_too_few_are_told(tmp_path: Path) -> None:
    waist = chain(tmp_path / "waist.tflite")
    values = next(iter(normal(waist, 24).values()))
    runs = trial.kept()
    files = {weight_only.quantize(waist, 4, {"x": rows}, runs, per_channel=True)[0] for rows in (values, values[::-1])}
    assert len(files) == 1
    for inputs in (None, {"x": values[:5]}):
        plain, notes, _ = weight_only.quantize(waist, 4, inputs, runs, per_channel=True, wanted="learned")
        assert notes == (fitting.NOT_FITTED,)
        assert plain == weights.to_integer_weights(waist, 4, per_channel=True)


def test_samples_that_drive_the_network_to_infinity_fit_nothing(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.operator("LOG", [net.input("x", (1, 8))], (1, 8))
    dense = [net.constant("k", networks.weights(4, 8)), net.constant("b", np.ones(4, np.float32))]
    waist = net.save(
        tmp_path / "waist.tflite", net.operator("FULLY_CONNECTED", [x, *dense], (1, 4), kind="FullyConnectedOptions")
    )
    inputs: dict[str, Any] = {"x": np.zeros((24, 1, 8), np.float32)}  # log 0
    content, notes, tried = weight_only.quantize(waist, 8, inputs, trial.kept(), per_channel=True)
    assert (content, notes) == (weights.to_integer_weights(waist, 8, per_channel=True), ())
    assert {one.settings["weights"]: bool(one.problem) for one in tried} == {
        "nearest": False, "bias-correction": True, "learned": True,
    }  # fmt: skip


@pytest.mark.parametrize("bits", [8, 4])
def test_a_product_whose_first_factor_is_constant_stays_float(bits: int, tmp_path: Path) -> None:
    """LiteRT's kernel takes integers as the second factor alone."""
    net = networks.Network()
    x, constant = net.input("x", (3, 8, 4)), net.constant("k", networks.weights(3, 5, 8))
    y = net.operator("BATCH_MATMUL", [constant, x], (3, 5, 4), kind="BatchMatMulOptions")
    waist = net.save(tmp_path / "waist.tflite", y)
    made = tmp_path / "made.tflite"
    made.write_bytes(weights.to_integer_weights(waist, bits, per_channel=True))
    inputs = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 4)).astype(np.float32)}
    assert sqnr_db(*(next(iter(run.run(path, inputs).values())) for path in (waist, made))) > 100


def product_by_constants(folder: Path, slot: int) -> tuple[Path, int]:
    """A network whose factor in a slot is three constants ``[8, 8]``, and the number of their tensor."""
    net = networks.Network()
    x, constant = net.input("x", (3, 8, 8)), net.constant("k", networks.weights(3, 8, 8))
    y = net.operator("BATCH_MATMUL", [x, constant][:: 1 if slot else -1], (3, 8, 8), kind="BatchMatMulOptions")
    return net.save(folder / "waist.tflite", y), constant


@pytest.mark.parametrize("slot", [0, 1])
def test_a_file_of_integers_holds_a_product_by_several_constants_as_it_was_learned(slot: int, tmp_path: Path) -> None:
    waist, constant = product_by_constants(tmp_path, slot)
    inputs = {"x": np.random.default_rng(0).standard_normal((24, 3, 8, 8)).astype(np.float32)}
    main = graph.read(waist)[0]
    ranges = choose(main, observe(waist, main, inputs, np.arange(4), 0).activations, "minmax")
    model, _ = reconstruct(waist, inputs, {0: Scheme(granularity="tensor")}, ranges)
    fitted = tmp_path / "fitted.tflite"
    fitted.write_bytes(graph.pack(model))
    written = graph.parse(ENGINES["LiteRT"](fitted, ranges, frozenset(), "int8", True), fitted)
    tensor = next(tensor for tensor in graph.describe(written)[0].tensors if tensor.name == "k")
    assert (tensor.dtype, tensor.zero_points) == ("int8", (0,))
    learned = graph.constant(model, 0, constant)
    assert integers(written, tensor) * tensor.scales[0] == pytest.approx(learned, rel=1e-5, abs=1e-9)
    assert learned != pytest.approx(networks.weights(3, 8, 8), abs=tensor.scales[0] / 2), "not the nearest level alone"


@pytest.mark.parametrize("slot", [0, 1])
def test_constants_of_products_have_16_bits_beside_activations_of_16(slot: int, tmp_path: Path) -> None:
    """Why nothing is fitted to them: LiteRT's kernel takes two factors of one width."""
    waist, _ = product_by_constants(tmp_path, slot)
    job = networks.job(waist, "int16x8", calibration=normal(waist, 24))
    TFLiteBackend().build(job, "made.tflite", tmp_path)
    tensor = next(one for one in graph.read(tmp_path / "made.tflite")[0].tensors if one.constant_bytes == 2 * 3 * 64)
    assert tensor.dtype == "int16"
    inputs = {"x": np.random.default_rng(1).standard_normal((8, 3, 8, 8)).astype(np.float32)}
    wanted, got = (next(iter(run.run(tmp_path / name, inputs).values())) for name in ("waist.tflite", "made.tflite"))
    assert sqnr_db(wanted, got) > 70


def in_blocks(waist: Path, made: Path) -> Path:
    """A file with 4-bit weights that have a scale for each 32 of them, by ai-edge-quantizer."""
    from ai_edge_quantizer import quantizer  # noqa: PLC0415  takes seconds

    tensor = {"num_bits": 4, "symmetric": True, "granularity": "BLOCKWISE_32", "dtype": "INT"}
    how = {"weight_tensor_config": tensor, "compute_precision": "INTEGER", "explicit_dequantize": False}
    rule = {
        "regex": ".*",
        "operation": "FULLY_CONNECTED",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": how,
    }
    made.write_bytes(bytes(quantizer.Quantizer(str(waist), [rule]).quantize().quantized_model or b""))
    return made


def test_blocks_of_weights_become_zeros_in_the_reference_kernel_without_an_error(tmp_path: Path) -> None:
    """Why there is no `block_size`. If this fails, LiteRT has learned it, and blocks can be offered."""
    net = networks.Network()
    x, k = net.input("x", (1, 64)), net.constant("k", networks.weights(32, 64))
    y = net.operator("FULLY_CONNECTED", [x, k, -1], (1, 32), kind="FullyConnectedOptions")
    waist = net.save(tmp_path / "waist.tflite", y)
    inputs = {"x": np.random.default_rng(0).standard_normal((4, 1, 64)).astype(np.float32)}
    wanted = next(iter(run.run(waist, inputs).values()))
    file = in_blocks(waist, tmp_path / "made.tflite")
    levels = {}
    for kind in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        interpreter = Interpreter(str(file), experimental_op_resolver_type=kind)
        interpreter.allocate_tensors()
        rows = []
        for row in inputs["x"]:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
            interpreter.invoke()
            rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        levels[kind] = sqnr_db(wanted, np.stack(rows))
    assert levels[OpResolverType.AUTO] > 15
    assert levels[OpResolverType.BUILTIN_REF] == pytest.approx(0, abs=0.01)
