"""Keras 2, Keras 3 and SavedModel as a source, on networks that each library saved itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Divergence, Model, SourceOptions, Waist
from edgekit.waist import graph, run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db

pytestmark = pytest.mark.slow
LIBRARIES = ["k3", "legacy"]
PLAIN = SourceOptions()
IN_ONE = pytest.mark.parametrize(
    "models", ["k3", pytest.param("legacy", marks=[pytest.mark.study, pytest.mark.long])], indirect=True, scope="module"
)
"""For what does not depend on the library: of Keras 2 a study tries it."""


@pytest.fixture(scope="module", params=LIBRARIES)
def models(request: pytest.FixtureRequest, keras_files: Callable[[str], Path]) -> Path:
    """A folder of models that one of the libraries wrote, and the user's own layers beside them."""
    folder = keras_files(f"models/{request.param}")
    library = "keras" if request.param == "k3" else "tf_keras"
    (folder / f"{library}_layers.py").write_text(
        f"""
import {library} as keras
import tensorflow as tf

class Scale(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 3.0

class Shift(keras.layers.Layer):
    def call(self, inputs):
        return inputs + 1.0

class Centred(keras.layers.Layer):
    def call(self, inputs):
        return inputs - tf.reduce_mean(inputs, axis=0, keepdims=True) + 1.0

class Own(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)

def objects():
    return {{"Scale": Scale, "Shift": Shift, "Centred": Centred, "Own": Own}}

def no_dict():
    return [Scale]
"""
    )
    return folder


@pytest.fixture(scope="module")
def own(models: Path) -> SourceOptions:
    """Options that hand over the user's layers."""
    module = next(models.glob("*_layers.py")).stem
    return SourceOptions(custom_objects=f"{module}:objects")


def describe(worker: Worker, path: Path, options: SourceOptions = PLAIN) -> Model:
    made = worker.call("sources", "keras", "describe", path=path, options=options)
    assert isinstance(made, Model)
    return made


def both(
    worker: Worker, path: Path, out: Path, options: SourceOptions = PLAIN, samples: int = 4, limit: int = 20
) -> tuple[Waist, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The waist, the source's outputs and the waist's, over random samples."""
    waist = worker.call("sources", "keras", "to_waist", path=path, options=options, out=out)
    random = np.random.default_rng(3)
    values = {
        spec.source_name: random.integers(0, limit, (samples, *spec.source_shape)).astype(spec.source_dtype)
        if spec.source_dtype.startswith("int")
        else random.standard_normal((samples, *spec.source_shape)).astype(spec.source_dtype)
        for spec in waist.signature.inputs
    }
    np.savez(out / "in.npz", **values)  # type: ignore[arg-type]
    worker.call(
        "sources", "keras", "run", path=path, options=options, inputs=out / "in.npz", outputs=out / "reference.npz"
    )
    stored = run.run(out / waist.file, inputs_to_file(waist.signature, values))
    return waist, dict(np.load(out / "reference.npz")), outputs_to_source(waist.signature, stored)


def agree(reference: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> bool:
    return set(reference) == set(found) and all(
        np.array_equal(reference[name], found[name]) or sqnr_db(reference[name], found[name]) >= 60 for name in found
    )


GOOD = {
    "multi": (["b", "a"], ["mixed", "left", "right", "a"]),
    "nested": (["a", "b"], ["one", "two"]),
    "integers": (["words", "size"], ["class"]),
    "attention": (["tokens"], ["out"]),
    "states": (["signal"], ["lstm", "lstm_1", "lstm_2"]),
    "masked": (["signal"], None),
    "conv1d": (["signal"], None),
    "upsampling": (["signal"], None),
}
"""Networks but recurrent ones (`test_keras_recurrent`): the names of their inputs, and of their outputs if they matter."""


@pytest.mark.parametrize("name", GOOD)
def test_the_waist_computes_what_keras_computes(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    """Keras 3 from its own kind of file, Keras 2 from HDF5."""
    inputs, outputs = GOOD[name]
    suffix = ".keras" if (models / "keras_layers.py").exists() else ".h5"
    made = describe(worker, models / f"{name}{suffix}")
    assert [spec.name for spec in made.signature.inputs] == inputs
    assert outputs is None or [spec.name for spec in made.signature.outputs] == outputs
    assert all(spec.shape[0] == 1 for spec in (*made.signature.inputs, *made.signature.outputs))
    waist, reference, found = both(worker, models / f"{name}{suffix}", tmp_path)
    assert agree(reference, found)
    assert [spec.source_name for spec in waist.signature.outputs] == [spec.name for spec in made.signature.outputs]
    assert any("on random samples" in note for note in waist.notes)


@pytest.mark.parametrize(
    "name",
    [
        "multi",
        "integers",
        pytest.param("bidirectional", marks=pytest.mark.study),
        *(pytest.param(name, marks=[pytest.mark.study, pytest.mark.long]) for name in ("masked", "convlstm")),
    ],
)
def test_both_kinds_of_file_hold_one_network(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    results = []
    for suffix in (".keras", ".h5"):
        path = models / f"{name}{suffix}"
        made, out = describe(worker, path), tmp_path / f"out{suffix}"
        samples = {s.name: np.full((2, *s.shape), 0.5).astype(s.dtype) for s in made.signature.inputs}
        np.savez(tmp_path / "in.npz", **samples)  # type: ignore[arg-type]
        worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=tmp_path / "in.npz", outputs=out)
        results.append((made.signature, dict(np.load(out))))
    (signature, wanted), (other, found) = results
    assert signature == other
    assert wanted.keys() == found.keys()
    assert all(np.array_equal(wanted[output], found[output]) for output in wanted)


def test_the_producer_is_the_library_that_wrote_the_file(worker: Worker, models: Path) -> None:
    major = describe(worker, models / "lstm.keras").producer
    assert major is not None
    assert major.startswith("Keras 3." if (models / "keras_layers.py").exists() else "Keras 2.")


def test_converting_leaves_the_reference_as_it_was(worker: Worker, models: Path, tmp_path: Path) -> None:
    """Fusing swaps a layer's loop for a while; the network must come out of it unchanged."""
    path = models / "bidirectional.keras"
    describe(worker, path)
    samples = tmp_path / "in.npz"
    np.savez(samples, signal=np.random.default_rng(1).random((4, 1, 10, 4)).astype(np.float32))
    results = []
    for step in ("before", "after"):
        if step == "after":
            worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=tmp_path / "waist")
        out = tmp_path / f"{step}.npz"
        worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=samples, outputs=out)
        results.append(dict(np.load(out)))
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


@IN_ONE
def test_samples_of_a_network_that_mixes_its_batch_are_run_alone(
    worker: Worker, models: Path, tmp_path: Path, own: SourceOptions
) -> None:
    _, reference, found = both(worker, models / "centred.keras", tmp_path, own)
    assert agree(reference, found)
    assert all(np.allclose(values, 1.0) for values in reference.values())


@IN_ONE
@pytest.mark.parametrize("samples", [1, 2, 130])
def test_every_number_of_samples_is_run(worker: Worker, models: Path, tmp_path: Path, samples: int) -> None:
    _, reference, found = both(worker, models / "multi.keras", tmp_path, samples=samples)
    assert {values.shape[:2] for values in reference.values()} == {(samples, 1)}
    assert agree(reference, found)


def test_open_dimensions_need_a_shape(worker: Worker, models: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, models / "open.keras")
    assert "signal is [?, ?, ?, 3]" in caught.value.problem
    assert "--shape signal=1,?,?,3" in caught.value.fix
    options = SourceOptions(shapes={"signal": (1, 20, 16, 3)})
    waist, reference, found = both(worker, models / "open.keras", tmp_path, options)
    assert waist.signature.inputs[0].shape == (1, 20, 16, 3)
    assert agree(reference, found)


@IN_ONE
@pytest.mark.parametrize("shape", [(1, 20, 16), (1, 20, 16, 4), (1, 0, 16, 3), (1, 2, 2, 3)])
def test_shapes_that_do_not_fit_are_explained(worker: Worker, models: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, models / "open.keras", SourceOptions(shapes={"signal": shape}))
    assert str(list(shape)) in caught.value.problem
    assert "--shape" in caught.value.fix


@IN_ONE
def test_a_larger_batch_is_possible(worker: Worker, models: Path, tmp_path: Path) -> None:
    options = SourceOptions(shapes={"signal": (3, 20, 4)})
    waist, reference, found = both(worker, models / "conv1d.keras", tmp_path, options)
    assert waist.signature.inputs[0].shape == (3, 20, 4)
    assert waist.signature.outputs[0].shape == (3, 8)
    assert agree(reference, found)


@pytest.mark.parametrize("name", ["custom.keras", "custom.h5", "registered.keras", "registered.h5", "subclassed.keras"])
def test_the_users_own_layers_are_taken_from_beside_the_model(
    worker: Worker, models: Path, tmp_path: Path, own: SourceOptions, name: str
) -> None:
    _, reference, found = both(worker, models / name, tmp_path, own)
    assert agree(reference, found)


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5"])
def test_a_lambda_runs_only_when_allowed(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, models / name)
    assert "twice" in caught.value.problem
    assert "bytecode" in caught.value.problem
    assert "--allow-unsafe" in caught.value.fix
    _, reference, found = both(worker, models / name, tmp_path, SourceOptions(allow_unsafe=True))
    assert agree(reference, found)


def test_a_saved_model_of_keras_is_read_by_its_signature(worker: Worker, models: Path, tmp_path: Path) -> None:
    waist, reference, found = both(worker, models / "exported", tmp_path)
    assert [spec.source_name for spec in waist.signature.inputs] == ["signal"]
    assert agree(reference, found)
    assert describe(worker, models / "exported").format == "savedmodel"


@IN_ONE
@pytest.mark.parametrize("name", ["plain", "other_name"])
def test_a_saved_model_of_tensorflow_keeps_its_names(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        describe(worker, models / name)
    assert "x is [?, ?, 3]" in caught.value.problem
    options = SourceOptions(shapes={"x": (1, 5, 3)})
    waist, reference, found = both(worker, models / name, tmp_path, options)
    assert [spec.source_name for spec in waist.signature.inputs] == ["x", "y"]
    assert {spec.source_name: spec.shape for spec in waist.signature.outputs} == {"alpha": (1, 2), "zeta": (1, 5, 2)}
    assert agree(reference, found)


@IN_ONE
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_saved_model_is_refused(worker: Worker, models: Path, tmp_path: Path, share: float) -> None:
    cut = shutil.copytree(models / "plain", tmp_path / "cut")
    content = (cut / "saved_model.pb").read_bytes()
    (cut / "saved_model.pb").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="SavedModel cut cannot be read"):
        describe(worker, cut)


def test_a_saved_model_without_its_weights_is_refused(worker: Worker, models: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(models / "plain", tmp_path / "cut")
    shutil.rmtree(cut / "variables")
    with pytest.raises(InputError, match="SavedModel cut cannot be read") as caught:
        describe(worker, cut)
    assert "variables" in caught.value.fix


@IN_ONE
def test_a_changed_file_is_read_again(worker: Worker, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes((models / "lstm.keras").read_bytes())
    assert [spec.shape for spec in describe(worker, path).signature.inputs] == [(1, 10, 4)]
    path.write_bytes((models / "conv1d.keras").read_bytes())
    assert [spec.shape for spec in describe(worker, path).signature.inputs] == [(1, 20, 4)]


@IN_ONE
def test_the_first_layer_that_differs_is_named(worker: Worker, models: Path, tmp_path: Path) -> None:
    """The waist of one network against another that differs from one layer on."""
    waist, _, _ = both(worker, models / "attention.keras", tmp_path)
    tree = graph.load(tmp_path / waist.file)
    weights = max((buffer for buffer in tree.buffers if buffer.data is not None), key=lambda buffer: len(buffer.data))
    content = bytearray((tmp_path / waist.file).read_bytes())
    stored = bytes(weights.data)
    at = content.index(stored)
    content[at : at + len(stored)] = (np.frombuffer(stored, np.float32) * 1.5).tobytes()
    (tmp_path / "wrong.tflite").write_bytes(content)
    absolute = Waist(file=str(tmp_path / "wrong.tflite"), signature=waist.signature)
    found = worker.call(
        "sources", "keras", "first_divergence",
        path=models / "attention.keras", options=PLAIN, waist=absolute, inputs=tmp_path / "in.npz", threshold_db=60.0,
    )  # fmt: skip
    assert isinstance(found, Divergence)
    assert found.sqnr_db < 60
    assert found.operator in {"MultiHeadAttention", "Add", "LayerNormalization", "Dense"}


def refused(worker: Worker, path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        describe(worker, path)
    return caught.value


@pytest.mark.parametrize(("name", "missing"), [("custom", "Scale"), ("registered", "Shift"), ("subclassed", "Own")])
def test_code_that_is_missing_is_named(worker: Worker, models: Path, name: str, missing: str) -> None:
    error = refused(worker, models / f"{name}.keras")
    assert missing in error.problem
    assert f"{{'{missing}': {missing}}}" in error.fix


def test_what_a_library_saves_but_nobody_can_build_from(worker: Worker, models: Path) -> None:
    assert "weights only" in refused(worker, models / "only.weights.h5").problem
    assert "second" in refused(worker, models / "nan.h5").problem
    assert "first, second" in refused(worker, models / "two_names").problem
    assert "none at all" in refused(worker, models / "unsigned").problem
    with pytest.raises(Unsupported, match="string"):
        describe(worker, models / "strings")


@IN_ONE
def test_operators_that_tflite_lacks_are_named(worker: Worker, models: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="Svd"):
        worker.call("sources", "keras", "to_waist", path=models / "svd", options=PLAIN, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@IN_ONE
def test_custom_objects_must_be_a_dict(worker: Worker, models: Path, own: SourceOptions) -> None:
    reference = str(own.custom_objects).replace(":objects", ":no_dict")
    with pytest.raises(InputError, match="no dict"):
        describe(worker, models / "custom.keras", SourceOptions(custom_objects=reference))
