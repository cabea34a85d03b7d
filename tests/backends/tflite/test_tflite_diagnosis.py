"""Where a file loses its signal: what is put wrong on purpose is found, at its operator and with its cause."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.backends.tflite import TFLiteBackend
from edgekit.backends.tflite.diagnosis import diagnose, helps
from edgekit.equalization.tracing import Trace
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.diagnosis import Diagnosis, OperatorDiagnosis
from edgekit.nouns.model import Waist
from edgekit.waist import edit, graph
from edgekit.waist.causes import LEAST_GAIN_DB
from tests import networks
from tests.equalization.spread import branched

COUNT = 24


class Pair:
    """A float network with samples, and files made from it."""

    def __init__(self, folder: Path, path: Path, count: int = COUNT) -> None:
        self.folder, self.path = folder, path
        self.signature = networks.signature(path)
        self.samples = networks.samples(self.signature, count, seed=3)
        self.given = folder / "samples.npz"
        np.savez(self.given, **self.samples)

    def build(self, precision: Any, **fields: Any) -> Path:
        job = networks.job(self.path, precision, calibration=self.samples, **fields)
        TFLiteBackend().build(job, f"{precision}.tflite", self.folder)
        return self.folder / f"{precision}.tflite"

    def diagnose(self, file: Path, waist: Path | None = None, helps: int = 0) -> Diagnosis:
        signature = self.signature if waist is None else networks.signature(waist)
        return diagnose(file, [Waist(file=str(waist or self.path), signature=signature)], self.given, helps)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("classifier")
    return Pair(folder, networks.classifier(folder / "waist.tflite"))


def changed(file: Path, change: Any) -> Path:
    """A file with its object tree changed."""
    model = graph.load(file)
    change(model)
    made = file.with_name("changed.tflite")
    made.write_bytes(graph.pack(model))
    return made


def row(found: Diagnosis, operator: str) -> OperatorDiagnosis:
    return next(one for one in found.operators if one.operator == operator)


@pytest.mark.parametrize("precision", ["float16", "dynamic-int8", "int8", "int16x8", "int4"])
def test_every_operator_is_matched_and_accounts_for_the_outputs(classifier: Pair, precision: str) -> None:
    found = classifier.diagnose(classifier.build(precision))
    assert not found.unmatched
    names = [one.operator for one in found.operators]
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX"):
        assert kind in names
    parts = [10 ** (-one.output_db / 10) for one in found.operators if one.output_db is not None]
    assert found.output_db is not None
    assert -10 * np.log10(sum(parts)) == pytest.approx(found.output_db, abs=3.0)  # errors of operators nearly add up
    assert sum(one.share or 0 for one in found.operators) == pytest.approx(1.0)
    first = next(one for one in found.operators if one.operator == "CONV_2D")
    assert first.place == 0
    if first.alone_db is not None and precision != "int8":
        assert first.accumulated_db == pytest.approx(first.alone_db, abs=1.0)


def test_a_narrow_range_is_clipping_at_the_operator_that_has_it(classifier: Pair) -> None:
    def narrow(model: Any) -> None:
        main = graph.describe(model)[0]
        made = next(o for o in main.operators if o.name == "CONV_2D").outputs[0]
        bias = next(o for o in main.operators if o.name == "DEPTHWISE_CONV_2D").inputs[2]
        for tensor in (model.subgraphs[0].tensors[i] for i in (made, bias)):
            tensor.quantization.scale = [scale / 3 for scale in tensor.quantization.scale]
        values = graph.constant(model, 0, bias)
        assert values is not None
        edit.set_constant(model, bias, values * 3)

    found = classifier.diagnose(changed(classifier.build("int8"), narrow))
    worst = row(found, "CONV_2D")
    assert worst.blames[0].cause == "clipping"
    assert worst.blames[0].figures["high"] > 2 * worst.blames[0].figures["range_high"]
    assert (worst.alone_db or 99) < 20
    after = row(found, "DEPTHWISE_CONV_2D")  # it reads what is clipped: that is told, and no fault of its own
    assert after.blames[0].cause == "inputs"
    assert found.worst(1)[0] is worst


def test_a_wide_range_is_coarse_steps(classifier: Pair) -> None:
    def widen(model: Any) -> None:
        made = next(o for o in graph.describe(model)[0].operators if o.name == "DEPTHWISE_CONV_2D").outputs[0]
        tensor = model.subgraphs[0].tensors[made]
        tensor.quantization.scale = [tensor.quantization.scale[0] * 16]

    worst = row(classifier.diagnose(changed(classifier.build("int8"), widen)), "DEPTHWISE_CONV_2D")
    assert worst.blames[0].cause == "steps"
    assert worst.blames[0].figures["used"] < 0.1


@pytest.mark.parametrize("precision", ["dynamic-int8", "int8"])
def test_other_weights_in_one_channel_are_told_with_their_channel(classifier: Pair, precision: str) -> None:
    def spoil(model: Any) -> None:
        conv = next(o for o in graph.describe(model)[0].operators if o.name == "CONV_2D")
        values = graph.constant(model, 0, conv.inputs[1])
        assert values is not None
        values = values.copy()
        values[5] = np.rint(values[5] * 0.8)
        edit.set_constant(model, conv.inputs[1], values)

    worst = row(classifier.diagnose(changed(classifier.build(precision), spoil)), "CONV_2D")
    assert worst.blames[0].cause == "weights"
    assert worst.blames[0].figures["channels"] == 1
    assert worst.blames[0].figures["error_share"] > 0.8


def test_a_bias_at_the_end_of_its_integers_is_told(classifier: Pair) -> None:
    def saturate(model: Any) -> None:
        dense = next(o for o in graph.describe(model)[0].operators if o.name == "FULLY_CONNECTED")
        values = graph.constant(model, 0, dense.inputs[2])
        assert values is not None
        values = values.copy()
        values[1] = 2**31 - 1
        edit.set_constant(model, dense.inputs[2], values)

    worst = row(classifier.diagnose(changed(classifier.build("int8"), saturate)), "FULLY_CONNECTED")
    assert [blame.figures["saturated"] for blame in worst.blames if blame.cause == "bias"] == [1.0]


def test_a_kernel_that_computes_otherwise_is_found(classifier: Pair) -> None:
    """Another stride of the same shape stands for it: the integers are not what the float network's operator gives."""

    def turn(model: Any) -> None:
        pool = next(o for o in graph.describe(model)[0].operators if o.name == "AVERAGE_POOL_2D")
        held = model.subgraphs[0].operators[pool.index]
        held.opcodeIndex = edit.opcode(model, schema.BuiltinOperator.MAX_POOL_2D)

    found = classifier.diagnose(changed(classifier.build("int8"), turn))
    assert row(found, "MAX_POOL_2D").blames[0].cause in {"rewritten", "kernel"}
    assert (row(found, "MAX_POOL_2D").alone_db or 99) < 10


def test_names_are_not_needed(classifier: Pair) -> None:
    """A file of another converter has other names: what reads the same and does the same is the same."""

    def rename(model: Any) -> None:
        for number, tensor in enumerate(model.subgraphs[0].tensors):
            tensor.name = b"t%d" % number

    file = classifier.build("int8")
    known, blind = classifier.diagnose(file), classifier.diagnose(changed(file, rename))
    assert [(one.place, one.alone_db) for one in blind.operators] == [
        (one.place, one.alone_db) for one in known.operators
    ]


def branches(path: Path) -> Path:
    """Three layers of one shape that read the same, and their sum."""
    net = networks.Network()
    x = net.input("x", (1, 16))
    made = []
    for k in range(3):
        dense = net.constant(f"k{k}", networks.weights(16, 16, seed=k))
        bias = net.constant(f"b{k}", np.zeros(16, np.float32))
        made.append(net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 16), kind="FullyConnectedOptions"))
    total = net.operator("ADD", made[:2], (1, 16), kind="AddOptions")
    return net.save(path, net.operator("MUL", [total, made[2]], (1, 16), kind="MulOptions"))


def test_branches_of_one_shape_are_told_apart_by_their_weights(tmp_path: Path) -> None:
    pair = Pair(tmp_path, branches(tmp_path / "waist.tflite"))

    def shuffle(model: Any) -> None:
        main = model.subgraphs[0]
        for number, tensor in enumerate(main.tensors):
            tensor.name = b"t%d" % number
        main.operators[0], main.operators[2] = main.operators[2], main.operators[0]

    found = pair.diagnose(changed(pair.build("int8"), shuffle))
    assert not found.unmatched
    assert [one.place for one in found.operators if one.operator == "FULLY_CONNECTED"] == [2, 1, 0]
    assert all((one.alone_db or 99) > 30 for one in found.operators)


def test_a_file_of_other_weights_or_another_network_is_refused(classifier: Pair, tmp_path: Path) -> None:
    file = classifier.build("int8")
    other = networks.classifier(tmp_path / "other.tflite")
    model = graph.load(other)
    for operator in graph.describe(model)[0].operators:
        for tensor in operator.inputs[1:2]:
            values = graph.constant(model, 0, tensor)
            if values is not None and values.dtype == np.float32:
                edit.set_constant(model, tensor, networks.weights(*values.shape, seed=9))
    other.write_bytes(graph.pack(model))
    with pytest.raises(InputError, match="weights are not the source's"):
        classifier.diagnose(file, other)
    with pytest.raises(InputError, match="inputs are 1×8×8×3, the source's 1×12"):
        classifier.diagnose(file, networks.element_wise(tmp_path / "e.tflite", "RELU"))


def test_a_float_file_has_nothing_to_diagnose(classifier: Pair) -> None:
    with pytest.raises(InputError, match="nothing in it is rounded"):
        classifier.diagnose(classifier.path)


def test_a_file_compiled_for_an_accelerator_is_refused(classifier: Pair) -> None:
    def compile_(model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode, code.customCode = 32, b"edgetpu-custom-op"
        model.operatorCodes = [code]
        model.subgraphs[0].operators = model.subgraphs[0].operators[:1]
        model.subgraphs[0].operators[0].opcodeIndex = 0
        model.subgraphs[0].operators[0].builtinOptions = None

    with pytest.raises(Unsupported, match="edgetpu-custom-op"):
        classifier.diagnose(changed(classifier.build("int8"), compile_))


def spread(path: Path, kind: str, factor: float) -> Path:
    """Two layers, the first with channels of very different sizes, whose results the second brings to one size."""
    net = networks.Network()
    sizes = np.geomspace(1, factor, 16, dtype=np.float32)
    if kind == "FULLY_CONNECTED":
        x = net.input("x", (1, 12))
        first, second = networks.weights(16, 12), networks.weights(8, 16, seed=1)
        shapes: tuple[tuple[int, ...], ...] = ((1, 16), (1, 8))
        options: dict[str, Any] = {"kind": "FullyConnectedOptions"}
        scaled = first * sizes[:, None], second / sizes
    else:
        x = net.input("x", (1, 6, 6, 3))
        first, second = networks.weights(16, 3, 3, 3), networks.weights(8, 3, 3, 16, seed=1)
        shapes = ((1, 6, 6, 16), (1, 6, 6, 8))
        options = {"kind": "Conv2DOptions", "padding": networks.SAME, "strideH": 1, "strideW": 1}
        options |= {"dilationHFactor": 1, "dilationWFactor": 1}
        scaled = first * sizes[:, None, None, None], second / sizes
    for number, (weights, shape) in enumerate(zip(scaled, shapes, strict=True)):
        bias = net.constant(f"b{number}", np.float32(0.1) * (np.ones(8, np.float32) if number else sizes))
        held = [x, net.constant(f"k{number}", weights), bias]
        fused = {"fusedActivationFunction": networks.RELU} if not number else {}
        x = net.operator(kind, held, shape, name=f"made{number}", **options, **fused)
    return net.save(path, x)


@pytest.mark.parametrize("kind", ["FULLY_CONNECTED", "CONV_2D"])
def test_what_is_said_to_help_does_help(kind: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, spread(tmp_path / "waist.tflite", kind, 100.0), 8 * COUNT)

    def built(**settings: Any) -> Path:
        plain = {"per_channel": False, "weights": "nearest", "ranges": "minmax", "equalization": "off"}
        return pair.build("int8", settings=plain | settings)

    poor = pair.diagnose(built(), helps=2)
    first, last = (next(one for one in poor.operators if one.name == name) for name in ("made0", "made1"))
    assert first.blames[0].cause in {"weights", "steps"}
    told = {one.remedy: one for one in first.helps}["equalization"]
    assert told.setting == "equalization=on"
    assert told.after_db > told.before_db + 3
    equal = pair.diagnose(built(equalization="on"))
    assert (equal.output_db or 0) > (poor.output_db or 0) + 3
    told = {one.remedy: one for one in last.helps}["per channel"]
    assert told.setting == "per_channel=true"
    made = next(one for one in pair.diagnose(built(per_channel=True)).operators if one.name == "made1")
    assert made.alone_db == pytest.approx(told.after_db, abs=1.5)


def test_helps_are_tried_for_as_many_as_are_asked_for(classifier: Pair) -> None:
    def narrow(model: Any) -> None:
        made = next(o for o in graph.describe(model)[0].operators if o.name == "FULLY_CONNECTED").outputs[0]
        tensor = model.subgraphs[0].tensors[made]
        tensor.quantization.scale = [tensor.quantization.scale[0] / 4]

    file = changed(classifier.build("int8"), narrow)
    assert not any(one.helps for one in classifier.diagnose(file).operators)
    worst = classifier.diagnose(file, helps=1).worst(1)[0]
    assert (worst.operator, worst.blames[0].cause) == ("FULLY_CONNECTED", "clipping")
    best = worst.helps[0]
    assert best.remedy == "ranges"
    assert best.setting.startswith("ranges=")
    assert best.before_db == worst.alone_db
    whole = row(classifier.diagnose(classifier.build("int8")), "FULLY_CONNECTED")
    assert best.after_db == pytest.approx(whole.alone_db, abs=3.0)


@pytest.mark.parametrize("gate", ["LOGISTIC", "TANH", ""])
def test_what_does_not_help_the_outputs_is_not_told(gate: str, tmp_path: Path) -> None:
    """Ends of a range that a gate behind does not tell apart may be cut off."""
    net = networks.Network()
    held = [net.constant("k", 12 * networks.weights(6, 16)), net.constant("b", np.ones(6, np.float32))]
    x = net.operator("FULLY_CONNECTED", [net.input("x", (1, 16)), *held], (1, 6), kind="FullyConnectedOptions")
    pair = Pair(
        tmp_path, net.save(tmp_path / "waist.tflite", net.operator(gate, [x], (1, 6)) if gate else x), 8 * COUNT
    )

    def narrow(model: Any) -> None:
        main = graph.describe(model)[0]
        made = next(o for o in main.operators if o.name == "FULLY_CONNECTED").outputs[0]
        tensor = model.subgraphs[0].tensors[made]
        tensor.quantization.scale, tensor.quantization.zeroPoint = [12 / 255], [0]

    found = pair.diagnose(changed(pair.build("int8"), narrow), helps=9)
    clipped = row(found, "FULLY_CONNECTED")
    assert clipped.blames[0].cause == "clipping"
    remedies = {one.remedy for one in clipped.helps}
    assert ("ranges" in remedies) == (not gate)
    for one in (help_ for each in found.operators for help_ in each.helps):
        assert one.output_before_db is not None
        assert one.output_after_db is None or one.output_after_db >= one.output_before_db + LEAST_GAIN_DB


@pytest.mark.parametrize("kind", ["FULLY_CONNECTED", "CONV_2D"])
@pytest.mark.parametrize("factor", [2.0, 100.0])
def test_a_file_of_equalized_layers_is_held_against_the_network_with_its_channels_divided_alike(
    kind: str, factor: float, tmp_path: Path
) -> None:
    source = spread(tmp_path / "waist.tflite", kind, factor)
    equal = Pair(tmp_path, spread(tmp_path / "equal.tflite", kind, 1.0), 4 * COUNT)
    file = equal.build("int8")
    found, own = equal.diagnose(file, source), equal.diagnose(file)
    assert not found.unmatched
    for one, other in zip(found.operators, own.operators, strict=True):
        assert one.through == ()
        assert one.alone_db == pytest.approx(other.alone_db, abs=0.5)
        assert {blame.cause for blame in one.blames} == {blame.cause for blame in other.blames}


@pytest.mark.parametrize("kind", ["shuffles", "residual"])
def test_channels_that_were_divided_wherever_they_lie_are_blamed_on_no_layer(kind: str, tmp_path: Path) -> None:
    """Held against its source as against the network with divided channels, which the quantizer read."""
    source = branched(tmp_path / "waist.tflite", kind, 0)
    model = graph.load(source)
    trace = Trace(model)
    by = 10 ** np.random.default_rng(0).uniform(-1, 0, trace.count)
    by[0] = 1
    trace.divide(by, model)
    (tmp_path / "divided.tflite").write_bytes(graph.pack(model))
    divided = Pair(tmp_path, tmp_path / "divided.tflite")
    file = divided.build("int8", settings={"equalization": "off", "weights": "nearest"})
    found, own = divided.diagnose(file, source), divided.diagnose(file)
    assert not found.unmatched
    for one, other in zip(found.operators, own.operators, strict=True):
        assert one.alone_db == pytest.approx(other.alone_db, abs=0.5)
        assert {blame.cause for blame in one.blames} == {blame.cause for blame in other.blames}


def test_poor_weights_are_not_taken_for_divided_channels(tmp_path: Path) -> None:
    """One scale for all weights leaves some channels with no level but 0: that is their error, and is told."""
    pair = Pair(tmp_path, spread(tmp_path / "waist.tflite", "CONV_2D", 1000.0))
    plain = {"per_channel": False, "weights": "nearest", "equalization": "off"}
    first = next(one for one in pair.diagnose(pair.build("int8", settings=plain)).operators if one.name == "made0")
    assert "weights" in {blame.cause for blame in first.blames}
    assert (first.alone_db or 99) < 60


def padded(path: Path) -> Path:
    """A layer, a padding with the lowest float, and a pooling behind it."""
    net = networks.Network()
    x = net.input("x", (1, 6, 6, 3))
    held = [x, net.constant("k", networks.weights(8, 3, 3, 3)), net.constant("b", np.zeros(8, np.float32))]
    options: dict[str, Any] = {"padding": networks.SAME, "strideH": 1, "strideW": 1}
    dilation = {"dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": networks.RELU}
    x = net.operator("CONV_2D", held, (1, 6, 6, 8), kind="Conv2DOptions", **options, **dilation)
    around = net.constant("around", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    least = net.constant("least", np.array(-3e38, np.float32))
    x = net.operator("PADV2", [x, around, least], (1, 8, 8, 8), kind="PadV2Options")
    size = {"filterHeight": 2, "filterWidth": 2, "padding": networks.VALID, "strideH": 2, "strideW": 2}
    return net.save(path, net.operator("MAX_POOL_2D", [x], (1, 4, 4, 8), kind="Pool2DOptions", **size))


def test_what_follows_a_rewritten_stretch_is_not_blamed_for_what_came_before(tmp_path: Path) -> None:
    pair = Pair(tmp_path, padded(tmp_path / "waist.tflite"))
    found = pair.diagnose(pair.build("int8"))
    pool = row(found, "MAX_POOL_2D")
    assert pool.through == ("PADV2",)
    assert pool.share == pytest.approx(0.0, abs=0.02)
    assert (row(found, "CONV_2D").share or 0) > 0.3


@pytest.mark.shared
def test_another_converters_file_of_the_same_network(shared: Path, tmp_path: Path) -> None:
    """MLPerf Tiny's keyword spotting, in float and in the int8 of years before: all operators are matched."""
    folder = shared / "models" / "mlperf_tiny"
    waist = folder / "kws_ref_model_float32.tflite"
    with np.load(shared / "data" / "kws01.npz") as data:
        heard = (data["x"][:8].astype(np.float32) - 83) * np.float32(0.5847029)
    signature = networks.signature(waist)
    given = tmp_path / "samples.npz"
    np.savez(given, **{signature.inputs[0].source_name: heard.reshape(8, *signature.inputs[0].source_shape)})
    found = diagnose(folder / "kws_ref_model.tflite", [Waist(file=str(waist), signature=signature)], given)
    assert not found.unmatched
    assert found.output_db is not None
    assert found.output_db > 25
    assert sum(one.operator.endswith("CONV_2D") for one in found.operators) == 9
    assert all((one.alone_db or 99) > 20 for one in found.operators)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("ranges=minmax", "ranges=minmax"),
        ("float_operators=features/conv", "float_operators=features/conv"),
        ("float_operators=383", ""),  # a build would take it for a place
        ("float_operators=a,b", ""),
        ("no_such_key=on", ""),
    ],
)
def test_only_settings_that_a_build_reads_so_are_told(setting: str, told: str) -> None:
    assert helps.known_setting(setting) == told
