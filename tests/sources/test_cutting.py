"""Bound inputs and cut networks: what is left computes what the whole does there, for every kind of source."""

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import SourceOptions, TensorRow
from edgekit.waist import graph
from edgekit.waist.tensors import Array
from tests.sources.onnx.onnx_cases import build, f32, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, computed, convert, describe, expected, sqnr_db

IMAGE = "float[N,3,8,8] x"
W = {"w": (4, 3, 3, 3)}
WHOLE = build(IMAGE, "a = Conv(x, w) b = Relu(a) p = GlobalAveragePool(b) f = Flatten(p) y = Softmax(f)", **W)
STEERED = {
    "If": build(
        f"{IMAGE}, int64 sr",
        "a = Conv(x, w) c = Equal(sr, k) y = If(c) <then_branch = t () => (o) { o = Relu(a) }, "
        "else_branch = e () => (o) { g = GlobalAveragePool(a) o = Identity(g) }>",
        k=np.int64(16000), **W,
    ),
    "Reshape": build(f"{IMAGE}, int64[2] sr", "a = Conv(x, w) y = Reshape(a, sr)", **W),
    "Slice": build(f"{IMAGE}, int64[K] sr", "a = Conv(x, w) y = Slice(a, z, sr, k)", z=i64(0), k=i64(2), **W),
    "Range": build("float[1,6] x, int64 sr", "r = Range(z, sr, o) c = Cast<to=1>(r) y = Add(x, c)", z=np.int64(0), o=np.int64(1)),
    "Tile": build("float[1,6] x, int64[2] sr", "y = Tile(x, sr)"),
}  # fmt: skip
VALUES = {"If": (16000,), "Reshape": (1, 144), "Slice": (4,), "Range": (6,), "Tile": (2, 3)}


@pytest.mark.parametrize("name", STEERED)
def test_an_input_that_steers_is_bound(name: str, worker: Worker, tmp_path: Path) -> None:
    options = SourceOptions(constants={"sr": VALUES[name]})
    waist = assert_faithful(worker, save(tmp_path, STEERED[name]), tmp_path, options)
    assert [spec.source_name for spec in waist.signature.inputs] == ["x"]


def test_a_bound_input_takes_the_other_branch(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, STEERED["If"])
    shapes = [
        describe(worker, path, SourceOptions(constants={"sr": (rate,)})).signature.outputs[0].shape
        for rate in (16000, 8000)
    ]
    assert shapes == [(1, 4, 6, 6), (1, 4, 1, 1)]


@pytest.mark.parametrize("name", ["Reshape", "Tile", "Slice"])
def test_the_refusal_names_the_input_and_the_option(name: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises((Unsupported, InputError)) as refused:
        convert(worker, save(tmp_path, STEERED[name]), tmp_path / "waist")
    assert "--constant sr=" in refused.value.fix


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [((), ("b",)), (("b",), ()), (("a",), ("p",)), ((), ("a", "y")), (("a",), ("y", "b"))],
)
def test_a_part_of_an_onnx_model(
    inputs: tuple[str, ...], outputs: tuple[str, ...], worker: Worker, tmp_path: Path
) -> None:
    path = save(tmp_path, WHOLE)
    waist = assert_faithful(worker, path, tmp_path, SourceOptions(inputs=inputs, outputs=outputs))
    assert tuple(s.source_name for s in waist.signature.inputs) == (inputs or ("x",))
    assert tuple(s.source_name for s in waist.signature.outputs) == (outputs or ("y",))


def test_parts_in_a_row_compute_what_the_whole_does(worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, WHOLE)
    x: dict[str, Array] = {"x": np.random.default_rng(1).standard_normal((2, 1, 3, 8, 8)).astype(np.float32)}
    whole = expected(worker, path, tmp_path, x)["y"]
    first = expected(worker, path, tmp_path, x, SourceOptions(outputs=("b",)))
    second = expected(worker, path, tmp_path, first, SourceOptions(inputs=("b",)))["y"]
    np.testing.assert_allclose(second, whole, rtol=1e-5)


def _custom(where: str) -> onnx.ModelProto:
    model = build("float[1,3,8,8] x", "a = Conv(x, w) y = Relu(a)", "float[1,4,6,6] y", **W)
    graph_ = model.graph
    if where == "end":
        del graph_.output[:]
        graph_.node.append(helper.make_node("Decode", ["y"], ["boxes", "scores"], domain="vendor"))
        graph_.output.extend([onnx.ValueInfoProto(name="boxes"), onnx.ValueInfoProto(name="scores")])
    else:
        del graph_.input[:]
        graph_.input.append(helper.make_tensor_value_info("bytes", onnx.TensorProto.UINT8, ["n"]))
        graph_.node.insert(0, helper.make_node("DecodeImage", ["bytes"], ["x"], domain="com.microsoft.extensions"))
    model.opset_import.append(helper.make_opsetid("vendor" if where == "end" else "com.microsoft.extensions", 1))
    return model


def proposed(fix: str) -> SourceOptions:
    """The options of the command in a fix, as the command line reads them."""
    from edgekit.cli import options  # noqa: PLC0415  only here

    words = fix.split("`")[1].split()
    said = dict(pairwise(words))
    shapes = [said["--shape"]] if "--shape" in said else []
    return SourceOptions(
        inputs=options.listed(None, None, said.get("--inputs")),  # type: ignore[arg-type]
        outputs=options.listed(None, None, said.get("--outputs")),  # type: ignore[arg-type]
        shapes=options.shape(None, None, tuple(shapes)),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_the_refusal_of_custom_operators_proposes_a_cut_that_works(where: str, worker: Worker, tmp_path: Path) -> None:
    path = save(tmp_path, _custom(where))
    with pytest.raises(Unsupported) as refused:
        convert(worker, path, tmp_path / "refused")
    options = proposed(refused.value.fix)
    if options.inputs and not options.shapes:
        options = SourceOptions(inputs=options.inputs, outputs=options.outputs, shapes={"x": (1, 3, 8, 8)})
    assert_faithful(worker, path, tmp_path, options)


def test_detections_that_are_selected_are_cut_off(worker: Worker, tmp_path: Path) -> None:
    model = build(
        "float[1,3,8,8] x",
        "a = Conv(x, w) b = Reshape(a, bs) c = Transpose<perm=[0,2,1]>(b) s = ReduceMax<axes=[1], keepdims=1>(b) "
        "y = NonMaxSuppression(c, s, m, t)",
        "int64[n,3] y", bs=i64(1, 4, 36), m=i64(5), t=f32(0.5), **W,
    )  # fmt: skip
    path = save(tmp_path, model)
    with pytest.raises(Unsupported) as refused:
        convert(worker, path, tmp_path / "refused")
    waist = assert_faithful(worker, path, tmp_path, proposed(refused.value.fix))
    assert {s.source_name for s in waist.signature.outputs} == {"c", "s"}


@pytest.mark.parametrize("name", ["nothing", "w"])
def test_a_name_that_is_no_tensor_is_refused(name: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        describe(worker, save(tmp_path, WHOLE), SourceOptions(outputs=(name,)))


def _rows(worker: Worker, leaf: str, path: Path) -> dict[str, TensorRow]:
    rows = worker.call("sources", leaf, "tensors", path=path, options=SourceOptions())
    return {row.name: row for row in rows}


def test_tensors_are_listed(worker: Worker, tmp_path: Path) -> None:
    rows = _rows(worker, "onnx", save(tmp_path, WHOLE))
    assert list(rows) == ["x", "a", "b", "p", "f", "y"]
    assert rows["a"] == TensorRow(name="a", shape=(1, 4, 6, 6), dtype="float32", operator="Conv")
    assert rows["y"].output
    assert _rows(worker, "onnx", save(tmp_path, _custom("end")))["boxes"].shape is None


def test_a_part_of_a_tflite_file(worker: Worker, tmp_path: Path) -> None:
    waist = convert(worker, save(tmp_path, WHOLE), tmp_path / "whole")
    path = tmp_path / "whole" / waist.file
    rows = _rows(worker, "tflite", path)
    middle = next(name for name, row in rows.items() if row.operator == "MEAN")
    samples = {"x": np.random.default_rng(0).standard_normal((2, 1, 8, 8, 3)).astype(np.float32)}
    whole = _run(worker, "tflite", path, tmp_path, samples, SourceOptions())["y"]
    first = _run(worker, "tflite", path, tmp_path, samples, SourceOptions(outputs=(middle,)))
    second = _run(worker, "tflite", path, tmp_path, first, SourceOptions(inputs=(middle,)))["y"]
    assert sqnr_db(whole, second) > 100
    out = tmp_path / "part"
    out.mkdir()
    part = worker.call("sources", "tflite", "to_waist", path=path, options=SourceOptions(inputs=(middle,)), out=out)
    assert "CONV_2D" not in [o.name for o in graph.read(out / part.file)[0].operators]
    assert (out / part.file).stat().st_size < path.stat().st_size


def test_a_bound_input_of_a_tflite_file(worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,4] x, float[1,4] z", "y = Mul(x, z)")
    waist = convert(worker, save(tmp_path, model), tmp_path / "whole")
    path = tmp_path / "whole" / waist.file
    x = {"x": np.ones((2, 1, 4), np.float32)}
    made = _run(worker, "tflite", path, tmp_path, x, SourceOptions(constants={"z": (1, 2, 3, 4)}))
    np.testing.assert_allclose(made["y"][0, 0], [1, 2, 3, 4])


def _run(
    worker: Worker, leaf: str, path: Path, folder: Path, samples: dict[str, Array], options: SourceOptions
) -> dict[str, Array]:
    np.savez(folder / "in.npz", **samples)  # type: ignore[arg-type]
    worker.call("sources", leaf, "run", path=path, options=options, inputs=folder / "in.npz", outputs=folder / "o.npz")
    with np.load(folder / "o.npz") as held:
        return {name: held[name] for name in held.files}


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A .keras file with a flag as its second input, and the same as a SavedModel."""
    import keras  # noqa: PLC0415  slow
    import tensorflow as tf  # noqa: PLC0415  slow

    folder = tmp_path_factory.mktemp("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.utils.set_random_seed(0)
        image, gain = keras.Input((8, 8, 3), name="image"), keras.Input((1,), name="gain")
        features = keras.layers.Conv2D(4, 3, name="features")(image)
        pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features)
        scaled = keras.layers.Multiply(name="scaled")([pooled, gain])
        model = keras.Model([image, gain], keras.layers.Dense(2, name="scores")(scaled))
        model.save(folder / "m.keras")
        tf.saved_model.save(model, str(folder / "saved"))
    return folder / "m.keras", folder / "saved"


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_parts_of_keras_networks(which: int, keras_files: tuple[Path, Path], worker: Worker, tmp_path: Path) -> None:
    path = keras_files[which]
    image = np.random.default_rng(0).random((2, 1, 8, 8, 3)).astype(np.float32)
    gain = np.full((2, 1, 1), 3, np.float32)
    names = [
        s.name for s in worker.call("sources", "keras", "describe", path=path, options=SourceOptions()).signature.inputs
    ]
    into, factor = sorted(names, key=lambda name: "gain" in name)
    whole = next(iter(_run(worker, "keras", path, tmp_path, {into: image, factor: gain}, SourceOptions()).values()))
    bound = SourceOptions(constants={factor: (3,)})
    np.testing.assert_allclose(
        next(iter(_run(worker, "keras", path, tmp_path, {into: image}, bound).values())), whole, rtol=1e-4
    )
    rows = _rows(worker, "keras", path)
    middle = (
        "pooled"
        if which == 0
        else next(name for name, row in rows.items() if row.shape == (1, 4) and row.operator == "Mean")
    )
    first = _run(worker, "keras", path, tmp_path, {into: image}, SourceOptions(outputs=(middle,)))
    rest = SourceOptions(inputs=(middle,), constants={factor: (3,)})
    second = next(iter(_run(worker, "keras", path, tmp_path, first, rest).values()))
    np.testing.assert_allclose(second, whole, rtol=1e-4)
    out = tmp_path / "waist"
    out.mkdir()
    waist = worker.call("sources", "keras", "to_waist", path=path, options=rest, out=out)
    assert sqnr_db(whole, next(iter(computed(waist, out, first).values()))) > 60
