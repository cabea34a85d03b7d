"""Networks with channels apart keep their accuracy in OpenVINO's int8 with one scale for all weights of a layer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend
from edgekit.backends.openvino.quantization.equalization import equalized
from edgekit.waist import graph
from edgekit.waist.tensors import arrays, sqnr_db
from tests import networks
from tests.backends.apart import spread_out
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")


STRIDES = {"strideW": 1, "strideH": 1, "padding": networks.SAME, "dilationWFactor": 1, "dilationHFactor": 1}


def separable(path: Path) -> Path:
    """Convolution, depthwise, convolution, pool over the image, dense: each but the last with a RELU."""
    net = networks.Network()

    def layer(name: str, builtin: str, value: int, kernel: Any, **options: Any) -> int:
        channels = kernel.shape[3 if builtin == "DEPTHWISE_CONV_2D" else 0]
        bias = np.random.default_rng(0).standard_normal(channels).astype(np.float32) * 0.1
        given = [value, net.constant(f"k_{name}", kernel), net.constant(f"b_{name}", bias)]
        options |= STRIDES | {"fusedActivationFunction": networks.RELU}
        return net.operator(builtin, given, (1, 6, 6, channels), **options)

    x = layer("a", "CONV_2D", net.input("image", (1, 6, 6, 3)), networks.weights(8, 3, 3, 3), kind="Conv2DOptions")
    kernel = networks.weights(8, 3, 3).transpose(1, 2, 0)[None].copy()
    x = layer("b", "DEPTHWISE_CONV_2D", x, kernel, kind="DepthwiseConv2DOptions", depthMultiplier=1)
    x = layer("c", "CONV_2D", x, networks.weights(12, 1, 1, 8), kind="Conv2DOptions")
    x = net.operator(
        "AVERAGE_POOL_2D", [x], (1, 1, 1, 12), kind="Pool2DOptions", padding=networks.VALID, strideW=6, strideH=6,
        filterWidth=6, filterHeight=6,
    )  # fmt: skip
    x = net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 12], np.int32))], (1, 12), kind="ReshapeOptions")
    given = [x, net.constant("k_d", networks.weights(5, 12)), net.constant("b_d", np.zeros(5, np.float32))]
    return net.save(path, net.operator("FULLY_CONNECTED", given, (1, 5), kind="FullyConnectedOptions"))


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose channels are up to 1,000:1 apart; its waist."""
    path = separable(tmp_path_factory.mktemp("apart") / "waist.tflite")
    model = graph.load(path)
    assert spread_out(model, 1000) == 3
    path.write_bytes(graph.pack(model))
    return path


def built(waist: Path, folder: Path, **settings: Any) -> tuple[float, tuple[str, ...]]:
    """SQNR in dB of the outputs of an int8 file, and its notes."""
    given = networks.samples(networks.signature(waist), 24)
    np.savez(folder / "samples.npz", **given)
    found = []
    for precision in ("float32", "int8"):
        more = {"weights": "nearest"} | settings if precision == "int8" else {}
        job = networks.job(waist, precision, calibration=given, settings=more)  # type: ignore[arg-type]
        made = OpenVINOBackend().build(job, f"{precision}.xml", folder)
        OpenVINOBackend().run(folder / f"{precision}.xml", made.signature, folder / "samples.npz", folder / "out.npz")
        (values,) = arrays(folder / "out.npz").values()
        found.append(np.array(values))
    return sqnr_db(*found), made.notes


def test_one_scale_is_enough_with_equalized_weights(apart: Path, tmp_path: Path) -> None:
    (off, _), (plain, notes) = (built(apart, tmp_path, per_channel=False, equalization=way) for way in ("off", "auto"))
    assert off < 15
    assert plain > 25
    assert "3 pairs of layers have equalized weights" in notes


@pytest.mark.study
def test_what_comes_closest_on_samples_held_out_stays(apart: Path, tmp_path: Path) -> None:
    level, notes = built(apart, tmp_path, per_channel=False, weights="auto", ranges="minmax")
    assert level > 25
    assert any(note.startswith("weights are equalized: as they are ") for note in notes)


def test_scales_for_each_channel_need_none(apart: Path, tmp_path: Path) -> None:
    _, notes = built(apart, tmp_path)
    assert not any("equalized" in note for note in notes)


def test_equalized_networks_compute_the_same(apart: Path) -> None:
    model = libraries.CORE.read_model(apart)
    made, pairs = equalized(model)
    assert pairs == 3
    rows = np.random.default_rng(0).standard_normal((1, *model.inputs[0].shape)).astype(np.float32)
    one, other = (libraries.CORE.compile_model(each, "CPU", libraries.EXACT)(rows[0])[0] for each in (model, made))
    assert sqnr_db(np.asarray(one), np.asarray(other)) > 100


def chain(between: str, *, shown: bool = False) -> Any:
    """Two convolutions with something in between, the first of which may be an output as well."""
    op, ov = libraries.operators, libraries.ov
    random = np.random.default_rng(0)
    x = op.parameter([1, 4, 6, 6], np.float32)

    def conv(value: Any, *shape: int) -> Any:
        weights = op.constant(
            (random.standard_normal(shape) * 10.0 ** random.uniform(-2, 2, (shape[0], 1, 1, 1))).astype("f")
        )
        return op.convolution(value, weights, [1, 1], [0, 0], [0, 0], [1, 1])

    first = conv(x, 5, 4, 1, 1)
    bias = op.constant(random.standard_normal((1, 5, 1, 1)).astype(np.float32))
    ways = {
        "bias": lambda: op.add(first, bias),
        "relu": lambda: op.relu(op.add(first, bias)),
        "pool": lambda: op.avg_pool(op.relu(first), [2, 2], [0, 0], [0, 0], [2, 2], exclude_pad=False),
        "clamp": lambda: op.clamp(first, 0.0, 6.0),
        "sigmoid": lambda: op.sigmoid(first),
        "sum": lambda: op.add(first, first),
        "product": lambda: op.multiply(first, bias),
    }
    made = conv(ways[between](), 3, 5, 1, 1)
    return ov.Model([op.result(made), *([op.result(first)] if shown else [])], [x])


@pytest.mark.parametrize(
    ("between", "pairs"),
    [("bias", 1), ("relu", 1), ("pool", 1), ("clamp", 0), ("sigmoid", 0), ("sum", 0), ("product", 0)],
)
def test_channels_are_divided_only_where_nothing_sees_it(between: str, pairs: int) -> None:
    model = chain(between)
    made, found = equalized(model)
    assert found == pairs
    rows = np.random.default_rng(1).standard_normal((1, 4, 6, 6)).astype(np.float32)
    one, other = (libraries.CORE.compile_model(each, "CPU", libraries.EXACT)(rows)[0] for each in (model, made))
    assert sqnr_db(np.asarray(one), np.asarray(other)) > 100


def test_channels_that_are_shown_stay() -> None:
    assert equalized(chain("relu", shown=True))[1] == 0
