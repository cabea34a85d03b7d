"""Networks with wrappers of the Model Optimization Toolkit: quantization-aware training, pruning, clustering."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.nouns.model import SourceOptions
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests.lazy import Lazy

keras: Any = Lazy("edgekit.sources.keras")
tf: Any = Lazy("tensorflow")
tf_keras: Any = Lazy("tf_keras")
tfmot: Any = Lazy("tensorflow_model_optimization")
layers: Any = Lazy("tf_keras.layers")

pytestmark = pytest.mark.filterwarnings("ignore")  # the toolkit's own

OPTIONS = SourceOptions()


def _image() -> Any:
    given = tf_keras.Input((8, 8, 3), name="image")
    value = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(given)
    value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
    value = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(value))
    value = layers.ReLU()(value)
    value = layers.Add()([value, layers.Conv2D(4, 1, activation="relu")(value)])
    value = layers.Dense(5)(layers.GlobalAveragePooling2D()(value))
    return tf_keras.Model(given, layers.Softmax()(value))


def _two_inputs() -> Any:
    first, second = tf_keras.Input((12,), name="a"), tf_keras.Input((7,), name="b")
    joined = layers.Concatenate()([layers.Dense(8, activation="relu")(first), layers.Dense(8)(second)])
    return tf_keras.Model([first, second], [layers.Dense(4)(joined), layers.Dense(2, activation="sigmoid")(joined)])


def _vectors() -> Any:
    given = tf_keras.Input((20,))
    value = layers.Dense(16, activation="relu")(given)
    return tf_keras.Model(given, layers.Dense(3, activation="softmax")(layers.Dense(8, activation="tanh")(value)))


def _transposed() -> Any:
    given = tf_keras.Input((6, 6, 2))
    value = layers.LeakyReLU()(layers.Conv2D(4, 3, padding="same")(given))
    return tf_keras.Model(given, layers.Conv2DTranspose(3, 3, strides=2, padding="same")(value))


NETWORKS: dict[str, Callable[[], Any]] = {
    "image": _image,
    "two inputs": _two_inputs,
    "vectors": _vectors,
    "transposed": _transposed,
}


def _seen(model: Any, seed: int) -> Any:
    """A wrapped model that has seen data, so that its ranges are some."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name.split("/")[-1].startswith(("gamma", "beta", "bias")):
            weight.assign(random.normal(size=weight.shape))
    samples = [random.normal(size=(32, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    model.compile("sgd", "mse")
    outputs = model.predict(samples, verbose=0)
    model.fit(samples, outputs, batch_size=16, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a network by its name; each is trained once, if it is asked for."""
    folder = tmp_path_factory.mktemp("quantized")

    @cache
    def save(name: str) -> Path:
        made = _seen(tfmot.quantization.keras.quantize_model(NETWORKS[name]()), list(NETWORKS).index(name))
        made.save(folder / f"{name}.h5")
        return folder / f"{name}.h5"

    return save


def _loaded(path: Path) -> Any:
    with tfmot.quantization.keras.quantize_scope():
        return tf_keras.models.load_model(path, compile=False)


def _answers(model: Any, file: Path, signature: Any) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """What Keras and a TFLite file give for the same samples."""
    random = np.random.default_rng(9)
    samples = [random.normal(size=(16, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    names = [spec.name for spec in signature.inputs]
    found = run.run(file, {name: values[:, None] for name, values in zip(names, samples, strict=True)})
    wanted = tf.nest.flatten(model(samples if len(samples) > 1 else samples[0], training=False))
    return [values.numpy() for values in wanted], [found[spec.name][:, 0] for spec in signature.outputs]


@pytest.mark.study
@pytest.mark.parametrize("name", NETWORKS)
def test_quantized_training_keeps_its_own_integers(saved: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    """Integers of the network's own ranges, as near to it as TensorFlow's own converter comes, no layer in floats."""
    source, path = keras.KerasSource(), saved(name)
    assert source.describe(path, OPTIONS).precision == "int8"
    made = source.as_it_is(path, OPTIONS, tmp_path)
    assert made is not None
    main = graph.read(tmp_path / made.file)[0]
    floats = {o.name for o in main.operators if all(main.tensors[t].dtype == "float32" for t in o.outputs)}
    assert floats == {"DEQUANTIZE"}
    model = _loaded(path)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (tmp_path / "own.tflite").write_bytes(converter.convert())
    theirs = graph.read(tmp_path / "own.tflite")[0]
    assert {t.scales for t in theirs.tensors if t.dtype == "int8" and t.constant_bytes} <= {
        t.scales for t in main.tensors
    }
    for wanted, found in zip(*_answers(model, tmp_path / made.file, made.signature), strict=True):
        assert sqnr_db(wanted, found) > 25


@pytest.mark.parametrize("name", ["image", "two inputs"])
def test_floats_of_quantized_training_repeat_its_roundings(
    saved: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    """The waist rounds as the network does, its weights are plain floats, and a warning says what that means."""
    made = keras.KerasSource().to_waist(saved(name), OPTIONS, tmp_path)
    main = graph.read(tmp_path / made.file)[0]
    assert not any(tensor.constant_bytes and tensor.dtype == "int8" for tensor in main.tensors)
    assert "quantized already" in " ".join(made.warnings)
    for wanted, found in zip(*_answers(_loaded(saved(name)), tmp_path / made.file, made.signature), strict=True):
        assert sqnr_db(wanted, found) > 30


def test_layers_that_were_not_annotated_stay_float(tmp_path: Path) -> None:
    quantization = tfmot.quantization.keras
    given = tf_keras.Input((8, 8, 2))
    value = layers.Conv2D(4, 3, padding="same")(given)
    value = quantization.quantize_annotate_layer(layers.Conv2D(6, 3, activation="relu"))(value)
    model = tf_keras.Model(given, quantization.quantize_annotate_layer(layers.Dense(3))(layers.Flatten()(value)))
    _seen(quantization.quantize_apply(model), 1).save(tmp_path / "part.h5")
    made = keras.KerasSource().as_it_is(tmp_path / "part.h5", OPTIONS, tmp_path)
    assert made is not None
    main = graph.read(tmp_path / made.file)[0]
    convolutions = [main.tensors[o.outputs[0]].dtype for o in main.operators if o.name == "CONV_2D"]
    assert convolutions == ["float32", "int8"]
    for wanted, found in zip(
        *_answers(_loaded(tmp_path / "part.h5"), tmp_path / made.file, made.signature), strict=True
    ):
        assert sqnr_db(wanted, found) > 25


def test_a_saved_model_of_quantized_training_keeps_its_integers(saved: Callable[[str], Path], tmp_path: Path) -> None:
    _loaded(saved("image")).export(tmp_path / "saved")
    source = keras.KerasSource()
    assert source.describe(tmp_path / "saved", OPTIONS).precision == "int8"
    assert source.as_it_is(tmp_path / "saved", OPTIONS, tmp_path) is not None


def test_wrappers_of_pruning_and_clustering_are_taken_off(tmp_path: Path) -> None:
    pruning, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
    wrapped = {
        "pruning": pruning.prune_low_magnitude(_vectors(), pruning_schedule=pruning.ConstantSparsity(0.5, 0)),
        "clustering": clustering.cluster_weights(
            _vectors(), 4, cluster_centroids_init=clustering.CentroidInitialization.LINEAR
        ),
    }
    bare = {"pruning": pruning.strip_pruning, "clustering": clustering.strip_clustering}
    for name, model in wrapped.items():
        model.save(tmp_path / f"{name}.h5")
        made = keras.KerasSource().to_waist(tmp_path / f"{name}.h5", OPTIONS, tmp_path)
        assert f"took off the wrappers of {name}" in made.notes
        assert keras.KerasSource().describe(tmp_path / f"{name}.h5", OPTIONS).precision == "float32"
        for wanted, found in zip(*_answers(bare[name](model), tmp_path / made.file, made.signature), strict=True):
            assert sqnr_db(wanted, found) > 100


@pytest.mark.parametrize("attributes", [["__class__"], ["_layers"], "kernel", [["kernel"]], [1]])
def test_attributes_that_no_toolkit_writes_are_refused(
    saved: Callable[[str], Path], attributes: Any, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.h5"
    path.write_bytes(saved("vectors").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][2]["config"]["quantize_config"]["config"]["weight_attrs"] = attributes
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="weight_attrs"):
        keras.KerasSource().describe(path, OPTIONS)
