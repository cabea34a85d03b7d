"""Weights and biases fitted layer by layer: the matrix form of layers, the grid, the walk, and what the file holds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.backends.tflite import attempts
from edgekit.backends.tflite.engines import ENGINES
from edgekit.backends.tflite.judge import Judge
from edgekit.backends.tflite.layerwise import fitting, grid
from edgekit.backends.tflite.layerwise.grid import Scheme
from edgekit.backends.tflite.layerwise.holdout import Holdout
from edgekit.backends.tflite.layerwise.reconstruction import reconstruct
from edgekit.backends.tflite.ranges import choose
from edgekit.equalization import layers
from edgekit.equalization.observing import observe
from edgekit.errors import Unsupported
from edgekit.waist import graph, run, trial
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal


def products(path: Path, random: np.random.Generator) -> Path:
    """A BATCH_MATMUL by one constant, or by several, on either side, transposed or not."""
    net = networks.Network()
    rows, taps, columns = (int(n) for n in random.integers(2, 6, 3))
    groups, count, slot, adjoint = int(random.integers(1, 4)), 3, int(random.integers(2)), random.integers(2, size=2)
    shapes = [(taps, rows) if adjoint[0] else (rows, taps), (columns, taps) if adjoint[1] else (taps, columns)]
    constant = networks.weights(*((groups if groups == count else 1,) if random.integers(2) else ()), *shapes[slot])
    x = net.input("x", (count, *shapes[1 - slot]))
    both = [x, net.constant("k", constant)][:: -1 if slot == 0 else 1]
    options: dict[str, Any] = {"adjX": bool(adjoint[0]), "adjY": bool(adjoint[1]), "kind": "BatchMatMulOptions"}
    return net.save(path, net.operator("BATCH_MATMUL", both, (count, rows, columns), **options))


def one_layer(path: Path, kind: str, random: np.random.Generator) -> Path:
    """A network of one layer with random sizes, strides, dilations and padding."""
    if kind == "BATCH_MATMUL":
        return products(path, random)
    net = networks.Network()
    channels, outputs = int(random.integers(1, 5)), int(random.integers(1, 5))
    height, width = (int(n) for n in random.integers(5, 9, 2))
    kernel = tuple(int(n) for n in random.integers(1, 4, 2))
    stride = tuple(int(n) for n in random.integers(1, 3, 2))
    dilation = (1, 1) if max(stride) > 1 else tuple(int(n) for n in random.integers(1, 3, 2))
    padding = networks.SAME if random.integers(2) else networks.VALID
    options: dict[str, Any] = {"strideH": stride[0], "strideW": stride[1], "padding": padding}
    if kind == "FULLY_CONNECTED":
        x = net.input("x", (3, channels))
        constants = [net.constant("k", networks.weights(outputs, channels)), net.constant("b", np.ones(outputs, "f"))]
        return net.save(path, net.operator(kind, [x, *constants], (3, outputs), kind="FullyConnectedOptions"))
    groups = 2 if kind == "CONV_2D" and random.integers(2) else 1
    x = net.input("x", (1, height, width, channels * groups))
    bias = net.constant("b", random.standard_normal(outputs * groups).astype(np.float32))
    if kind == "TRANSPOSE_CONV":
        after = [
            n * s if padding == networks.SAME else (n - 1) * s + k
            for n, s, k in zip((height, width), stride, kernel, strict=True)
        ]
        shape = net.constant("shape", np.array([1, *after, outputs], np.int32))
        weights = net.constant("k", networks.weights(outputs, *kernel, channels))
        made = net.operator(
            kind, [shape, weights, x, bias], (1, *after, outputs), kind="TransposeConvOptions", **options
        )
        return net.save(path, made)
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    after = [
        -(-n // s) if padding == networks.SAME else (n - r) // s + 1
        for n, s, r in zip((height, width), stride, reach, strict=True)
    ]
    if kind == "DEPTHWISE_CONV_2D":
        made = channels * outputs
        weights = net.constant("k", networks.weights(1, *kernel, made))
        bias = net.constant("c", random.standard_normal(made).astype(np.float32))
        options |= {"depthMultiplier": outputs, "kind": "DepthwiseConv2DOptions"}
        return net.save(path, net.operator(kind, [x, weights, bias], (1, *after, made), **options))
    weights = net.constant("k", networks.weights(outputs * groups, *kernel, channels))
    options |= {"kind": "Conv2DOptions"}
    return net.save(path, net.operator(kind, [x, weights, bias], (1, *after, outputs * groups), **options))


@pytest.mark.parametrize("kind", sorted(layers.KINDS))
@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_a_layer_is_its_weights_times_its_patches(
    kind: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    path = one_layer(tmp_path_factory.mktemp("layer") / "layer.tflite", kind, random)
    model, main = graph.load(path), graph.read(path)[0]
    operator = main.operators[0]
    found = layers.layer(model, main, operator)
    assert found is not None
    values = random.standard_normal(main.tensors[found.source].shape).astype(np.float32)
    # XNNPACK errs in "same" convolutions whose kernel has size 1 on an axis with stride 2, LiteRT's own kernel in
    # products whose factors are both transposed, one of them for all places alike.
    reference = run.interpreter(path, kernels="" if kind == "BATCH_MATMUL" else "builtin")
    reference.set_tensor(reference.get_input_details()[0]["index"], values)
    reference.invoke()
    wanted = reference.get_tensor(reference.get_output_details()[0]["index"])
    form = "rgo"
    if kind == "BATCH_MATMUL":
        form = "gor" if operator.inputs[0] == found.kernel else "gro"
    made = np.einsum(f"grt,got->{form}", found.patches(values[None], 1 << 20), found.matrices())
    if form == "gor" and found.groups == 1:  # the places of all tables stand in one row
        made = made.reshape(wanted.shape[1], wanted.shape[0], -1).swapaxes(0, 1)
    bias = 0.0 if found.bias < 0 else graph.constant(model, 0, found.bias)
    assert made.reshape(wanted.shape) + bias == pytest.approx(wanted, abs=1e-4, rel=1e-4)
    assert np.array_equal(found.as_weights(found.matrices().astype(np.float64)), found.weights)


def correlated(random: np.random.Generator, groups: int, taps: int) -> Any:
    mixed = random.standard_normal((groups, 4 * taps, taps)) @ random.standard_normal((groups, taps, taps))
    return mixed.transpose(0, 2, 1) @ mixed / (4 * taps)


@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(2, 80),
    st.sampled_from([4, 8]),
    st.sampled_from(["channel", "column", "tensor"]),
)
@settings(deadline=None, max_examples=60)
def test_learned_weights_lie_on_the_grid_and_their_output_errs_no_more(
    seed: int, groups: int, outputs: int, taps: int, bits: int, granularity: grid.Granularity
) -> None:
    random = np.random.default_rng(seed)
    weights = random.standard_normal((groups, outputs, taps)) * random.uniform(0.01, 10, (groups, outputs, 1))
    gram, scheme = correlated(random, groups, taps), Scheme(bits, granularity)
    scale = grid.scales(weights, scheme, np.einsum("gtt->gt", gram))
    learned = grid.learned(weights, gram, scale, scheme.top)
    levels = learned / scale
    assert np.abs(levels - np.rint(levels)).max() < 1e-6
    assert grid.scales(learned, scheme) == pytest.approx(scale)  # a quantizer finds the same
    assert np.abs(levels).max() <= scheme.top + 1e-6

    def error(found: Any) -> float:
        lost = weights - found
        return float(np.einsum("got,gtu,gou->", lost, gram, lost))

    assert error(learned) <= 1.0001 * error(grid.nearest(weights, scale, scheme.top))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("gone", [0.1, 0.5, 0.9])
def test_zeros_stay_zeros(bits: int, gone: float) -> None:
    """Those that a network was pruned to: to take up the errors of other weights would undo it."""
    random = np.random.default_rng(bits)
    weights = random.standard_normal((2, 8, 36)) * (random.random((2, 8, 36)) >= gone)
    gram = correlated(random, 2, 36)
    scale = grid.scales(weights, Scheme(bits))
    learned = grid.learned(weights, gram, scale, Scheme(bits).top)
    assert not learned[weights == 0].any()
    nearest = grid.nearest(weights, scale, Scheme(bits).top)  # of few weights it may be as good
    assert gone > 0.5 or not np.array_equal(learned, nearest)


def test_learning_pays_off_if_inputs_depend_on_one_another() -> None:
    random = np.random.default_rng(0)
    weights, gram = random.standard_normal((1, 32, 64)), correlated(random, 1, 64)

    def error(found: Any) -> float:
        lost = weights - found
        return float(np.einsum("got,gtu,gou->", lost, gram, lost))

    scale = grid.scales(weights, Scheme(4))
    assert error(grid.learned(weights, gram, scale, 7)) < error(grid.plain(weights, Scheme(4))) / 2


def test_no_sample_checks_what_was_fitted_to_it() -> None:
    for count in (1, 4, 7, 8, 20, 144, 200, 1000):
        scored = np.unique(np.linspace(0, count - 1, min(count, 128)).round().astype(int))
        fold = fitting.split(scored, np.arange(count), kept=False)
        assert not set(fold.check) & set(fold.fit)
        assert set(fold.check) <= set(scored)
        assert len(fold.check) >= min(count, 4) / 2
        assert len(fold.fit) >= 4 or count < 8
        assert len(fitting.split(scored, np.arange(count), kept=True).fit) == 0


@pytest.mark.parametrize(
    ("engine", "per_channel"), [("LiteRT", True), ("ai-edge-quantizer", True), ("ai-edge-quantizer", False)]
)
@pytest.mark.parametrize("learned", [True, False])
def test_a_quantizer_writes_the_integers_that_were_chosen(
    engine: str, per_channel: bool, learned: bool, tmp_path: Path
) -> None:
    waist = networks.classifier(tmp_path / "model.tflite")
    inputs = {"image": normal(waist, 24)["source_image"]}
    main = graph.read(waist)[0]
    ranges = choose(main, observe(waist, main, inputs, np.arange(4), 0).activations, "minmax")
    scheme = Scheme(granularity="channel" if per_channel else "tensor", learned=learned)
    model, left = reconstruct(waist, inputs, {o.index: scheme for o in main.operators}, ranges)
    assert left == ()
    fitted = tmp_path / "fitted.tflite"
    fitted.write_bytes(graph.pack(model))
    content = ENGINES[engine](fitted, ranges, frozenset(), "int8", per_channel)
    written, made = graph.parse(content, fitted), graph.describe(graph.parse(content, fitted))[0]
    wanted = {t.name: graph.constant(model, 0, t.index) for t in main.tensors if t.name in {"k1", "k2", "k3"}}
    for tensor in made.tensors:
        if tensor.name in wanted:
            integers = graph.constant(written, 0, tensor.index)
            assert integers is not None
            assert integers.dtype == np.int8
            shape = [1] * integers.ndim
            shape[tensor.axis] = len(tensor.scales)
            real = integers * np.array(tensor.scales, np.float64).reshape(shape)
            assert real == pytest.approx(wanted.pop(tensor.name), rel=1e-5, abs=1e-12)
    assert not wanted


def test_fitted_files_agree_better_on_inputs_that_nobody_saw(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "model.tflite", logits=4.0)
    fresh = normal(waist, 64, seed=7)
    plain, fitted = (
        Quantized(waist, normal(waist, 160), tmp_path / way, settings={"weights": way, "ranges": "minmax"})
        for way in ("nearest", "learned")
    )
    assert min(fitted.sqnr_db(fresh).values()) > min(plain.sqnr_db(fresh).values()) + 0.5
    assert "learned rounding" in fitted.made.notes[0]


def test_the_best_of_fitted_and_unfitted_files_is_kept(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "model.tflite", logits=4.0)
    fresh = {}
    for way in ("nearest", "bias-correction", "learned", "auto"):
        made = Quantized(waist, normal(waist, 160), tmp_path / way, settings={"weights": way, "ranges": "minmax"})
        fresh[way] = min(made.sqnr_db(normal(waist, 256, seed=7)).values())
    assert fresh["auto"] >= max(fresh.values()) - 0.3


def test_a_file_that_gives_nan_on_what_was_held_out_is_never_the_best() -> None:
    class Nowhere:
        def on(self, _: object) -> "Nowhere":
            return self

        def noise(self, content: bytes) -> Any:
            if content == b"nan":
                raise Unsupported("NaN", place="", fix="")
            return np.full(4, 1e-4 if content == b"good" else 1e-3)

    held = Holdout(cast("Any", Nowhere()), {"x": np.zeros((4, 2), np.float32)}, 4)
    files = [SimpleNamespace(content=content) for content in (b"nan", b"poor", b"good")]
    levels = [held.expected_db(cast("Any", one)) for one in files]
    assert levels[0] == -np.inf
    assert levels[1:] == pytest.approx([23.98, 33.98], abs=0.01)


def test_what_drives_the_float_network_to_nan_scores_nothing(tmp_path: Path) -> None:
    """All of it may: the mixtures of samples are inputs that nobody has seen."""
    path = networks.classifier(tmp_path / "model.tflite")
    main = graph.read(path)[0]
    samples = {
        main.tensors[index].name: values for index, values in zip(main.inputs, normal(path, 8).values(), strict=True)
    }
    with trial.Trial() as runs:
        judge = Judge(runs, path, samples, runs.run(path.read_bytes(), samples))
        nowhere = {name: np.full_like(values, np.nan) for name, values in samples.items()}
        held = Holdout(judge, nowhere, 4)
        assert len(judge.on(nowhere).noise(path.read_bytes())) == 0
        assert held.expected_db(cast("Any", SimpleNamespace(content=path.read_bytes()))) == 0


def test_too_few_samples_for_what_was_asked_are_told(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "model.tflite")
    for count, way, told in ((5, "learned", True), (8, "bias-correction", False), (5, "auto", False)):
        made = Quantized(waist, normal(waist, count), tmp_path / way, settings={"weights": way, "ranges": "minmax"})
        assert any("to fit them takes 8 samples" in note for note in made.made.notes) == told


def test_weights_that_two_layers_share_stay_as_they_are(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    shared, bias = net.constant("k", networks.weights(8, 8)), net.constant("b", np.zeros(8, np.float32))
    for _ in range(2):
        x = net.operator("FULLY_CONNECTED", [x, shared, bias], (1, 8), kind="FullyConnectedOptions")
    path = net.save(tmp_path / "model.tflite", x)
    inputs = {"x": np.random.default_rng(0).standard_normal((16, 1, 8)).astype(np.float32)}
    model, left = reconstruct(path, inputs, dict.fromkeys(range(2), Scheme()), {})
    assert np.array_equal(graph.constant(model, 0, 1), networks.weights(8, 8))
    assert left == ()


def test_a_layer_whose_samples_are_not_finite_is_left_alone(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    y = net.operator("LOG", [x], (1, 4))
    constants = [net.constant("k", networks.weights(3, 4)), net.constant("b", np.zeros(3, np.float32))]
    y = net.operator("FULLY_CONNECTED", [y, *constants], (1, 3), name="dense", kind="FullyConnectedOptions")
    path = net.save(tmp_path / "model.tflite", y)
    inputs = {"x": np.zeros((8, 1, 4), np.float32)}  # log 0
    model, left = reconstruct(path, inputs, dict.fromkeys(range(2), Scheme()), {})
    assert left == ("dense",)
    assert np.array_equal(graph.constant(model, 0, constants[0]), networks.weights(3, 4))


def test_a_walk_computes_what_the_network_computes(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "model.tflite")
    samples = normal(waist, 6)
    stepwise = Stepwise(graph.load(waist))
    values = {stepwise.graph.inputs[0]: samples["source_image"]}
    for operator in stepwise.graph.operators:
        values |= stepwise.run(operator, values)
    whole = Quantized(waist, normal(waist), tmp_path / "made").wanted(samples)
    assert sqnr_db(next(iter(whole.values())), values[stepwise.graph.outputs[0]]) > 100


def test_fitted_weights_leave_no_float_ones_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ai-edge-quantizer keeps buffers that no tensor has any more."""
    monkeypatch.setattr(attempts, "ENGINES", {"ai-edge-quantizer": ENGINES["ai-edge-quantizer"]})
    monkeypatch.setattr(attempts, "FIRST", "ai-edge-quantizer")
    waist = networks.classifier(tmp_path / "net.tflite")
    made = Quantized(waist, normal(waist), tmp_path / "out", settings={"weights": "learned"})
    model = graph.load(made.artifact)
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    left = [buffer for k, buffer in enumerate(model.buffers) if buffer.data is not None and k not in used]
    assert not left
