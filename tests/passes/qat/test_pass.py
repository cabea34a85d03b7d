"""Quantization-aware training: what it leaves is what it computed."""

import importlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine import registry
from edgekit.errors import InputError
from edgekit.nouns.passing import Passed, Task
from edgekit.nouns.recipe import Qat
from edgekit.waist import edit, graph, run, stored
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.channels.generated import Layers
from tests.lazy import Lazy
from tests.passes.qat.integers import quantized, simulated, with_integer_weights

tf = Lazy("tensorflow")
qat, lifting = Lazy("edgekit.passes.qat"), Lazy("edgekit.trainable.lifting")
held = Lazy("edgekit.passes.qat.held")
mending = Lazy("edgekit.passes.qat.mending")
specification = Lazy("edgekit.passes.qat.specification")

COUNT = 96


def small(path: Path, *, logits: float = 1.0) -> Path:
    """Image [1, 8, 8, 3] → dense → softmax [1, 5], for what is the same in every layer: half as much is traced."""
    net = networks.Network()
    x, shape = net.input("image", (1, 8, 8, 3)), net.constant("shape", np.array([1, 192], np.int32))
    x = net.operator("RESHAPE", [x, shape], (1, 192), kind="ReshapeOptions", newShape=[1, 192])
    dense, bias = (
        net.constant("k", networks.weights(5, 192) * logits),
        net.constant("b", networks.weights(5, 1).ravel()),
    )
    x = net.operator("FULLY_CONNECTED", [x, dense, bias], (1, 5), kind="FullyConnectedOptions")
    x = net.operator("SOFTMAX", [x], (1, 5), name="probabilities", kind="SoftmaxOptions", beta=1.0)
    return net.save(path, x)


def task(path: Path, teacher: Path | None = None, **settings: Any) -> Task:
    """A task of few samples, trained at one rate; the specification is what LiteRT's quantizer makes of the file."""
    folder = path.parent
    signature = networks.signature(path)
    np.savez(folder / "samples.npz", **networks.samples(signature, COUNT))
    (folder / "specification.tflite").write_bytes(quantized(path)[0])
    (folder / "checkpoints").mkdir(exist_ok=True)
    return Task(
        waist=str(path),
        signature=signature,
        teacher=str(teacher or path),
        teacher_signature=signature,
        samples=str(folder / "samples.npz"),
        specification=str(folder / "specification.tflite"),
        settings=Qat(**({"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "rates": 1} | settings)),
        checkpoints=str(folder / "checkpoints"),
    )


def applied(given: Task, out: Path) -> Passed:
    out.mkdir()
    made: Passed = registry.leaf("passes", "qat").apply(given, out)
    return made


def integers(path: Path) -> dict[str, Any]:
    """Constants of eight bits, by name."""
    tree = graph.load(path)
    found = {}
    for tensor in graph.describe(tree)[0].tensors:
        if tensor.dtype == "int8" and tensor.constant_bytes:
            found[tensor.name] = graph.constant(tree, 0, tensor.index), np.array(tensor.scales)
    return found


def changed(path: Path, change: Any) -> Path:
    """The file with other kernels."""
    tree = graph.load(path)
    for operator in graph.describe(tree)[0].operators:
        if operator.name in {"CONV_2D", "FULLY_CONNECTED"}:
            values = graph.constant(tree, 0, operator.inputs[1])
            edit.set_constant(tree, operator.inputs[1], change(values).astype(np.float32))
    made = path.with_name("changed.tflite")
    made.write_bytes(graph.pack(tree))
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Passed]:
    """A folder with ``specification.tflite`` and ``out``, and what came out: trained by a teacher, at the best rate."""
    folder = tmp_path_factory.mktemp("trained")
    teacher = networks.classifier(folder / "teacher.tflite", logits=2.0)
    asked = task(networks.classifier(folder / "float.tflite"), teacher, rates=Qat().rates)
    return folder, applied(asked, folder / "out")


def test_the_file_that_is_built_is_the_one_that_was_trained(trained: tuple[Path, Passed], tmp_path: Path) -> None:
    folder, made = trained
    assert made.figures["equal_integers_of_the_worst_operator"] == 1
    assert made.figures["equal_output_values"] == 1
    assert made.learned is not None
    job = networks.job(folder / "out" / made.file, "int8", learned=str(folder / "out" / made.learned))
    registry.leaf("backends", "tflite").build(job, "model.tflite", tmp_path)
    built, learned = integers(tmp_path / "model.tflite"), integers(folder / "out" / made.learned)
    assert built.keys() == learned.keys()
    assert all(np.array_equal(built[name][0], values) for name, (values, _) in learned.items())
    before = integers(folder / "specification.tflite")
    assert any(not np.array_equal(before[name][0], values) for name, (values, _) in learned.items())


def test_the_float_file_has_the_learned_integers_times_their_scale(trained: tuple[Path, Passed]) -> None:
    folder, made = trained
    tree = graph.load(folder / "out" / made.file)
    floats = {tensor.name: graph.constant(tree, 0, tensor.index) for tensor in graph.describe(tree)[0].tensors}
    learned = integers(folder / "out" / str(made.learned))
    assert learned
    for name, (values, scales) in learned.items():
        shape = [1] * values.ndim
        shape[0 if values.shape[0] == len(scales) else -1] = len(scales)
        assert np.array_equal(floats[name], values.astype(np.float32) * scales.astype(np.float32).reshape(shape))


def test_it_is_never_worse_than_what_it_started_from(tmp_path: Path) -> None:
    path = small(tmp_path / "float.tflite")
    made = applied(task(path, learning_rate=10.0, clip_norm=0), tmp_path / "out")
    assert made.learned is None
    assert any("the weights are as before" in note for note in made.notes)
    assert (tmp_path / "out" / made.file).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "operator",
    ["TANH", "ABS", "GELU", *(pytest.param(other, marks=pytest.mark.study) for other in ("LOGISTIC", "ELU"))],
)
def test_a_training_that_diverges_in_front_of_a_table_is_told(operator: str, tmp_path: Path) -> None:
    """Tables have no entry for what is no number."""
    layers = Layers(1, 4, 4, 3)
    x = layers.one(operator, layers.conv(layers.x, 4, activation=0), **TABLES.get(operator, {}))
    path = layers.save(tmp_path / "float.tflite", layers.dense(layers.reshape(x, 1, 64), 3))
    teacher = small_teacher(tmp_path / "teacher.tflite")
    asked = task(path, teacher, learning_rate=1e38, clip_norm=0, optimizer="sgd", holdout=0.0)
    with pytest.raises(InputError, match="infinite or no number"):
        applied(asked, tmp_path / "out")


@pytest.mark.parametrize("scale", [4e-23, 1e-16])
def test_what_is_zero_throughout_has_no_range_to_learn(scale: float, tmp_path: Path) -> None:
    """As the forgotten state in the first step of an LSTM: the quantizer makes its scale next to nothing."""
    layers = Layers(1, 4, 4, 3)
    x, other = layers.conv(layers.x, 4), layers.conv(layers.x, 4)
    path = layers.save(tmp_path / "float.tflite", layers.dense(layers.two("ADD", x, other), 3))
    tree = graph.parse(quantized(path)[0], path)
    (adding,) = (o for o in graph.describe(tree)[0].operators if o.name == "ADD")
    nothing, other = adding.inputs
    assert {nothing, other} <= simulated(graph.pack(tree)).scales.keys()
    tree.subgraphs[0].tensors[nothing].quantization.scale = np.array([scale], np.float32)
    learned = simulated(graph.pack(tree)).scales
    assert other in learned
    assert nothing not in learned


TABLES: dict[str, Any] = {"GELU": {"kind": "GeluOptions", "approximate": False}}


def small_teacher(path: Path) -> Path:
    layers = Layers(1, 4, 4, 3)
    return layers.save(path, layers.dense(layers.reshape(layers.conv(layers.x, 4), 1, 64), 3))


def test_zeros_stay_zero(tmp_path: Path) -> None:
    path = changed(small(tmp_path / "float.tflite"), lambda w: np.where(np.abs(w) < np.median(np.abs(w)), 0, w))
    made = applied(task(path, small(tmp_path / "teacher.tflite", logits=2.0)), tmp_path / "out")
    assert made.learned is not None
    tree = graph.load(path)
    for tensor in graph.describe(tree)[0].tensors:
        learned = integers(tmp_path / "out" / str(made.learned)).get(tensor.name)
        if learned is not None:
            values = graph.constant(tree, 0, tensor.index)
            assert values is not None
            assert (values == 0).any() or tensor.name != "k"
            assert not learned[0][values == 0].any()


def test_zeros_that_were_rounded_away_from_zero_are_trained_all_the_same(tmp_path: Path) -> None:
    path = changed(networks.classifier(tmp_path / "float.tflite"), lambda w: np.where(w < np.median(w), 0, w))
    given = task(path, rates=Qat().rates)
    tree = graph.load(Path(str(given.specification)))
    for operator in graph.describe(tree)[0].operators:
        if operator.name == "CONV_2D":
            values = graph.constant(tree, 0, operator.inputs[1])
            assert values is not None
            edit.set_constant(tree, operator.inputs[1], np.where(values == 0, 1, values).astype(np.int8))
    Path(str(given.specification)).write_bytes(graph.pack(tree))
    made = applied(given, tmp_path / "out")
    assert not any("computed by LiteRT" in note for note in made.notes)
    assert (integers(tmp_path / "out" / str(made.learned))["k1"][0] == 0).mean() >= 0.4


def half_float(path: Path, change: Any) -> Path:
    """Video [1, 2, 4, 4, 2] → a convolution that the quantizer leaves float → dense → softmax; changed kernels."""
    net = networks.Network()
    x = net.input("video", (1, 2, 4, 4, 2))
    steps = {"strideD": 1, "strideW": 1, "strideH": 1, "dilationDFactor": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    kernel = net.constant("volume", change(networks.weights(2, 3, 3, 2, 8, seed=1)))
    x = net.operator(
        "CONV_3D", [x, kernel, net.constant("bias", np.zeros(8, np.float32))], (1, 2, 4, 4, 8),
        kind="Conv3DOptions", padding=networks.SAME, **steps,
    )  # fmt: skip
    shape = net.constant("shape", np.array([1, 256], np.int32))
    x = net.operator("RESHAPE", [x, shape], (1, 256), kind="ReshapeOptions", newShape=[1, 256])
    x = net.operator(
        "FULLY_CONNECTED", [x, net.constant("k", networks.weights(5, 256) * 4), net.constant("b", np.zeros(5, np.float32))],
        (1, 5), kind="FullyConnectedOptions",
    )  # fmt: skip
    return net.save(path, net.operator("SOFTMAX", [x], (1, 5), name="p", kind="SoftmaxOptions", beta=1.0))


@pytest.mark.parametrize(
    "kind", ["both", "neither", *(pytest.param(alone, marks=pytest.mark.study) for alone in ("pruned", "clustered"))]
)
def test_weights_that_stay_floats_keep_what_passes_made(kind: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "pruned": lambda w: np.where(np.abs(w) < np.median(np.abs(w)), 0, w),
        "clustered": lambda w: (np.floor(w / np.abs(w).max() * 3) + 0.5) / 3,
        "both": lambda w: np.rint(w / np.abs(w).max() * 3) / 3,
        "neither": lambda w: w,
    }
    path = half_float(tmp_path / "float.tflite", lambda w: changes[kind](w).astype(np.float32))
    teacher = half_float(tmp_path / "teacher.tflite", lambda w: 2 * w)
    made = applied(task(path, teacher, holdout=0.0, learning_rate=1e-2), tmp_path / "out")
    before, after = (_constants(file)["volume"] for file in (path, tmp_path / "out" / made.file))
    learned = _constants(tmp_path / "out" / str(made.learned))["volume"]
    assert np.array_equal(learned, after)
    assert not np.array_equal(before, after)
    assert not after[before == 0].any()
    if kind in {"clustered", "both"}:
        assert len(np.unique(after)) <= len(np.unique(before)) < 10


@pytest.mark.parametrize("values", [2, 16, 60])
@pytest.mark.parametrize("size", [24, 48, 144])
@pytest.mark.parametrize("gone", [0.0, 0.05, 0.5, 0.9])
def test_shared_values_are_seen_in_kernels_of_any_size(values: int, size: int, gone: float) -> None:
    """Zeros are not what is shared: a pruned kernel has a scale for each channel, and all of its own values."""
    random = np.random.default_rng(size)
    left = (random.permutation(size) >= round(gone * size)).astype(np.float32)
    own = random.standard_normal(size).astype(np.float32)
    assert held.clusters(own * left) is None
    shared = random.standard_normal(values).astype(np.float32)[np.arange(size) % values] * left
    found = held.clusters(shared)
    if len(set(shared[shared != 0])) <= 0.75 * np.count_nonzero(shared):
        assert found is not None
        assert np.array_equal(found[0][found[1]], shared)
    else:
        assert found is None  # nothing tells it from weights that were not clustered
    assert held.pruned(own * left) == bool(gone)


def test_scales_and_shifts_are_trained_one_by_one(tmp_path: Path) -> None:
    """Equal ones, and those that are 0, are nothing that a pass made: it works on kernels alone."""
    layers = Layers(1, 4, 4, 3)
    x = layers.two("MUL", layers.conv(layers.x, 8), layers.net.constant("scales", np.repeat(np.float32([1, 2]), 4)))
    x = layers.two("ADD", x, layers.net.constant("shifts", np.arange(8, dtype=np.float32) // 2))
    path = layers.save(tmp_path / "float.tflite", layers.dense(layers.reshape(x, 1, 128), 3))
    content, given = quantized(path)
    proven = importlib.import_module("edgekit.passes.qat").proven
    found = proven(content, lifting.lift(path), given, Qat())
    trained = {found.spec.main.tensors[tensor].name: kernel for tensor, kernel in found.kernels.items()}
    for name in ("scales", "shifts"):
        assert (trained[name].assignment, trained[name].mask) == (None, None)
        assert trained[name].variable.shape[-1] == 8


@pytest.mark.parametrize("kind", ["few zeros", "half", "clustered"])
def test_what_training_does_not_better_keeps_zeros_and_shared_values(kind: str, tmp_path: Path) -> None:
    """Quantized anew, learned rounding would give zeros another integer, and each channel its own values."""
    changes: dict[str, Any] = {
        "few zeros": lambda w: np.where(np.abs(w) < np.quantile(np.abs(w), 0.03), 0, w),
        "half": lambda w: np.where(np.abs(w) < np.median(np.abs(w)), 0, w),
        "clustered": lambda w: (np.floor(w / np.abs(w).max() * 3) + 0.5) / 3,
    }
    path = changed(small(tmp_path / "float.tflite"), changes[kind])
    (kernel,) = (v for v in _constants(path).values() if v is not None and v.dtype == np.float32 and v.ndim > 1)
    made = applied(task(path, learning_rate=10.0, clip_norm=0, rates=1), tmp_path / "out")
    assert (tmp_path / "out" / made.file).read_bytes() == path.read_bytes()
    assert qat.AS_BEGUN in made.notes
    ((learned, _),) = integers(tmp_path / "out" / str(made.learned)).values()
    assert not learned[kernel == 0].any()
    if kind == "clustered":
        assert len(np.unique(learned)) <= len(np.unique(kernel))


def test_floats_without_a_form_in_tensorflow_are_left_to_litert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a loop whose body has weights of integers."""
    computing = importlib.import_module("edgekit.trainable.computing")

    def compute(call: Any, **how: Any) -> Any:
        if call.operator.name == "CONV_3D":
            raise computing.NotLiftedError("none")
        return computing.compute(call, **how)

    path = half_float(tmp_path / "float.tflite", lambda w: w)
    monkeypatch.setattr("edgekit.passes.qat.simulation.compute", compute)
    monkeypatch.setattr("edgekit.passes.qat.litert.compute", compute)
    made = applied(task(path, half_float(tmp_path / "teacher.tflite", lambda w: 2 * w), holdout=0.0), tmp_path / "out")
    assert made.figures == {"equal_integers_of_the_worst_operator": 1, "equal_output_values": 1}
    assert any("computed by LiteRT" in note and "CONV_3D" in note for note in made.notes)
    assert np.array_equal(*(_constants(file)["volume"] for file in (path, tmp_path / "out" / made.file)))


def _constants(path: Path) -> dict[str, Any]:
    tree = graph.load(path)
    return {t.name: graph.constant(tree, 0, t.index) for t in graph.describe(tree)[0].tensors}


LAYERS: dict[str, Any] = {
    "conv": lambda net, x: net.conv(x, 8),
    "depthwise": lambda net, x: net.depthwise(x, 8),
    "dense": lambda net, x: net.dense(x, 8),
    "transposed": lambda net, x: net.transposed(x, 8),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_biases_mean_the_same_once_channels_share_a_scale(kind: str, activations: str, tmp_path: Path) -> None:
    """Clustered weights whose channels have ranges of their own, and biases on these scales."""
    layers = Layers(1, 6, 6, 4)
    path = layers.save(tmp_path / "float.tflite", LAYERS[kind](layers, layers.x))
    tree = graph.load(path)
    (operator,) = graph.describe(tree)[0].operators
    values = graph.constant(tree, 0, operator.inputs[1])
    assert values is not None
    shape = (-1, *[1] * (values.ndim - 1)) if kind != "depthwise" else (1, 1, 1, -1)
    ranges = np.resize([1.0, 0.25, 0.0625], max(values.shape[0], values.shape[-1] * (kind == "depthwise")))
    shared = np.rint(values / np.abs(values).max() * 2) / 2 * ranges.reshape(shape)
    edit.set_constant(tree, operator.inputs[1], shared.astype(np.float32))
    path.write_bytes(graph.pack(tree))
    content, given = quantized(path, activations)
    spec, kernel = specification.Specification.read(content), graph.describe(tree)[0].tensors[operator.inputs[1]].name
    real = {t.index: shared for t in spec.main.tensors if t.name == kernel and t.constant_bytes}
    even, _ = mending.mended(spec, real, [])
    assert even is not spec
    found = []
    for name, made in (("spec", spec.content), ("even", even.content)):
        (tmp_path / name).write_bytes(made)
        (right,), (seen,) = (list(run.run(file, given).values()) for file in (path, tmp_path / name))
        found.append(sqnr_db(right, seen))
    assert found[1] > min(found[0], 40) - 4


def test_why_weights_are_not_trained_is_told_of_each(tmp_path: Path) -> None:
    """A table stands on the scale of what is looked up in it, whoever computes the other operators."""
    found = simulated(quantized(small(tmp_path / "float.tflite"))[0], as_it_is=[2])
    (dense,) = (o for o in found.spec.main.operators if o.index == 2)
    read = {found.spec.main.tensors[tensor].name for tensor in dense.inputs if tensor >= 0}
    assert found.read_by_litert == read
    other = next(tensor.name for tensor in found.spec.main.tensors if tensor.name not in read)
    told = importlib.import_module("edgekit.passes.qat")._notes(found, [*sorted(read), other, "nowhere"], "")
    notes = [note for note in told if "not trained" in note]
    assert notes == [
        f"not trained, since LiteRT computes their operators: {', '.join(sorted(read))}",
        f"not trained, since they stand on the scale of activations: {other}",
    ]


def test_clustered_weights_go_on_sharing_values(tmp_path: Path) -> None:
    path = changed(networks.classifier(tmp_path / "float.tflite"), lambda w: np.rint(w / np.abs(w).max() * 3) * 0.1)
    made = applied(task(path, networks.classifier(tmp_path / "teacher.tflite")), tmp_path / "out")
    learned = integers(tmp_path / "out" / str(made.learned))
    for values, scales in (learned["k1"], learned["k3"]):
        assert len(set(scales)) == 1
        assert len(np.unique(values)) <= 7


@pytest.mark.parametrize("precision", ["int4", pytest.param("int16x8", marks=pytest.mark.study)])
def test_other_precisions_are_trained_and_shipped(precision: str, tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "float.tflite")
    given = task(path, networks.classifier(tmp_path / "teacher.tflite", logits=2.0), precision=precision)
    made_of = quantized(path, "int16") if precision == "int16x8" else with_integer_weights(path, 4)
    Path(str(given.specification)).write_bytes(made_of[0])
    made = applied(given, tmp_path / "out")
    assert made.figures["equal_integers_of_the_worst_operator"] == 1
    assert made.learned is not None
    learned = tmp_path / "out" / made.learned
    job = networks.job(tmp_path / "out" / made.file, precision, learned=str(learned))
    (tmp_path / "built").mkdir()
    registry.leaf("backends", "tflite").build(job, "model.tflite", tmp_path / "built")
    before, after, built = (
        weights_of(file) for file in (Path(str(given.specification)), learned, tmp_path / "built/model.tflite")
    )
    assert before.keys() == after.keys() == built.keys()
    assert all(np.array_equal(built[name], values) for name, values in after.items())
    assert any(not np.array_equal(before[name], values) for name, values in after.items())


def weights_of(path: Path) -> dict[str, Any]:
    """Constants with a scale for each channel, by name."""
    tree = graph.load(path)
    main = graph.describe(tree)[0]
    kept = [tensor for tensor in main.tensors if tensor.constant_bytes and tensor.dtype in {"int4", "int8"}]
    return {tensor.name: stored.integers(tree, 0, tensor) for tensor in kept}


@pytest.mark.parametrize(("name", "value"), [("dropout", 0.1), ("weight_decay", 1e-4), ("normalization", "on")])
def test_settings_for_floats_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        applied(task(networks.classifier(tmp_path / "float.tflite"), **{name: value}), tmp_path / "out")


def unrolled(path: Path, change: Any, order: tuple[int, ...] = (0, 1, 2)) -> Path:
    """Vectors [1, 6] → the same dense layer again and again, as constants of their own, → [1, 4].

    ``order`` is that of the steps whose constants stand one after the other.
    """
    net = networks.Network()
    x = net.input("x", (1, 6))
    held = {
        step: (
            net.constant(f"k{step}", change(networks.weights(6, 6, seed=1)).astype(np.float32)),
            net.constant(f"b{step}", networks.weights(6, 1, seed=2).ravel()),
        )
        for step in order
    }
    for step in sorted(held):
        x = net.operator("FULLY_CONNECTED", [x, *held[step]], (1, 6), kind="FullyConnectedOptions")
        x = net.operator("TANH", [x], (1, 6))
    last = [x, net.constant("k", networks.weights(4, 6, seed=3)), net.constant("b", np.zeros(4, np.float32))]
    return net.save(path, net.operator("FULLY_CONNECTED", last, (1, 4), kind="FullyConnectedOptions"))


KINDS_OF_COPIES = ("plain", "pruned", "clustered")
QUICK_COPIES = {("pruned", "int8"), ("clustered", "int4")}


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        pytest.param(kind, precision, marks=() if (kind, precision) in QUICK_COPIES else pytest.mark.study)
        for precision in ("int8", "int16x8", "int4", "dynamic-int8")
        for kind in KINDS_OF_COPIES
    ],
)
def test_the_steps_of_an_unrolled_loop_keep_their_weights_in_common(kind: str, precision: str, tmp_path: Path) -> None:
    """Also if the quantizer rounded them differently, as learned rounding does."""
    changes: dict[str, Any] = {
        "plain": lambda w: w,
        "pruned": lambda w: np.where(np.abs(w) < np.median(np.abs(w)), 0, w),
        "clustered": lambda w: np.rint(w / np.abs(w).max() * 2) / 4,
    }
    path = unrolled(tmp_path / "float.tflite", changes[kind])
    teacher = unrolled(tmp_path / "teacher.tflite", lambda w: 1.5 * w)
    given = task(path, teacher, precision=precision, holdout=0.0, learning_rate=3e-3)
    bits = {"int4": 4, "dynamic-int8": 8}
    content = (
        with_integer_weights(path, bits[precision])[0]
        if precision in bits
        else quantized(path, "int16" if precision == "int16x8" else "int8")[0]
    )
    tree = graph.parse(content, path)
    second = next(t for t in graph.describe(tree)[0].tensors if t.name == "k1" and t.constant_bytes)
    edit.set_constant(tree, second.index, np.clip(stored.integers(tree, 0, second) + 1, -7, 7).astype(np.int8))
    Path(str(given.specification)).write_bytes(graph.pack(tree))
    made = applied(given, tmp_path / "out")
    assert made.figures == {"equal_integers_of_the_worst_operator": 1, "equal_output_values": 1}
    learned, floats = weights_of(tmp_path / "out" / str(made.learned)), _constants(tmp_path / "out" / made.file)
    described = {t.name: t for t in graph.read(tmp_path / "out" / str(made.learned))[0].tensors}
    before = {t.name: t for t in graph.read(Path(str(given.specification)))[0].tensors}
    assert described["k0"].scales != before["k0"].scales
    for step in range(1, 3):
        assert np.array_equal(learned[f"k{step}"], learned["k0"])
        assert np.array_equal(floats[f"k{step}"], floats["k0"])
        assert np.allclose(floats[f"b{step}"], floats["b0"])
    zeros = _constants(path)["k0"] == 0
    assert not learned["k2"][zeros].any() or kind == "plain"
    if kind == "clustered":
        assert len(np.unique(learned["k2"])) <= 5
    assert described["k1"].scales == described["k0"].scales


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("precision", ["int8", "dynamic-int8", "float32"])
def test_copies_are_trained_as_one_in_whatever_order_they_stand(
    precision: str, order: tuple[int, ...], tmp_path: Path
) -> None:
    path = unrolled(tmp_path / "float.tflite", lambda w: w, order)
    content = {
        "int8": lambda: quantized(path, "int8")[0],
        "dynamic-int8": lambda: with_integer_weights(path, 8)[0],
        "float32": path.read_bytes,
    }[precision]()
    found = qat.proven(content, lifting.lift(path), {"x": networks.weights(8, 1, 6, seed=9)}, Qat())
    by_name = {t.name: t.index for t in found.spec.main.tensors if t.constant_bytes}
    numbers = [by_name[f"k{step}"] for step in order]
    assert numbers == sorted(numbers)
    for held, kind in itertools.product((found.kernels, found.biases, found.floats, found.scales), "kb"):
        variables = {id(held[t].variable) for step in order if (t := by_name[f"{kind}{step}"]) in held}
        assert len(variables) <= 1
    assert by_name["k0"] in (found.floats if precision == "float32" else found.scales)
    assert by_name["b0"] in (found.biases if precision == "int8" else found.floats)
