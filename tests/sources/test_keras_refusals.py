"""Keras files that edgekit must refuse, each with its reason and remedy, and those that only look broken."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError
from edgekit.nouns.model import Model, SourceOptions

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "docs" / "examples" / "digits" / "model.keras"
PLAIN = SourceOptions()


def describe(worker: Worker, path: Path, options: SourceOptions = PLAIN) -> Model:
    made = worker.call("sources", "keras", "describe", path=path, options=options)
    assert isinstance(made, Model)
    return made


def refused(worker: Worker, path: Path, options: SourceOptions = PLAIN) -> InputError:
    with pytest.raises(InputError) as caught:
        describe(worker, path, options)
    assert str(path) in caught.value.place or "--" in caught.value.place
    assert caught.value.fix
    return caught.value


def rewritten(path: Path, edit: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundled example with some members of its zip changed."""
    with zipfile.ZipFile(DIGITS) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_config(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """The bundled example with its configuration changed."""

    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        edit(config)
        members["config.json"] = json.dumps(config).encode()

    return rewritten(path, change)


def layer(config: dict[str, Any], class_name: str) -> dict[str, Any]:
    """The configuration of the first layer of a class."""
    found = next(item for item in config["config"]["layers"] if item["class_name"] == class_name)
    assert isinstance(found, dict)
    return found


def hdf5(path: Path, config: Any, version: str = "2.15.0") -> Path:
    """An HDF5 file with a model's configuration."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
    return path


def legacy(*stack: dict[str, Any]) -> dict[str, Any]:
    """A Sequential configuration as Keras 2 wrote it."""
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}}
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *stack]}}


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_an_empty_file(worker: Worker, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "empty" in refused(worker, tmp_path / name).problem


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_text(worker: Worker, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("layers: 3\n")
    assert "first bytes" in refused(worker, tmp_path / name).problem


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_zip(worker: Worker, tmp_path: Path, share: float) -> None:
    content = DIGITS.read_bytes()
    (tmp_path / "model.keras").write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refused(worker, tmp_path / "model.keras").problem


@pytest.mark.parametrize("size", [100, 600, 2000])
def test_a_truncated_hdf5_file(worker: Worker, tmp_path: Path, size: int) -> None:
    content = hdf5(tmp_path / "model.h5", legacy()).read_bytes()
    (tmp_path / "model.h5").write_bytes(content[:size])
    assert "damaged" in refused(worker, tmp_path / "model.h5").problem


def test_an_hdf5_file_through_whose_texts_libhdf5_would_walk_for_ever(worker: Worker, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "model.h5", legacy())
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    content[at : at + 16] = bytes(16)  # free space of size 0
    path.write_bytes(content)
    assert "size 0" in refused(worker, path).problem


def test_text_that_is_not_utf8(worker: Worker, tmp_path: Path) -> None:
    named = with_config(tmp_path / "model.keras", lambda config: config.update(name="half \ud83d"))
    written, old = hdf5(tmp_path / "written.h5", legacy()), hdf5(tmp_path / "old.h5", legacy())
    written.write_bytes(written.read_bytes().replace(b"2.15.0", b"2.15\xff0"))
    with h5py.File(old, "r+") as file:
        file.attrs["keras_version"] = np.bytes_(b"2.2\xff")  # as h5py 2 wrote it
    for path in (named, written, old):
        assert "not UTF-8" in refused(worker, path).problem


def test_a_weights_name_that_is_not_utf8(worker: Worker, tmp_path: Path) -> None:
    def rename(members: dict[str, bytes]) -> None:
        members["model.weights.h5"] = members["model.weights.h5"].replace(b"vars\0", b"v\xffrs\0")

    assert "not UTF-8" in refused(worker, rewritten(tmp_path / "model.keras", rename)).problem


def test_a_zip_that_is_no_model(worker: Worker, tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", w=np.zeros(3))
    error = refused(worker, tmp_path / "weights.npz")
    assert "no Keras model" in error.problem
    assert "model.save" in error.fix


def test_a_zip_with_weights_only(worker: Worker, tmp_path: Path) -> None:
    def drop(members: dict[str, bytes]) -> None:
        del members["config.json"]

    error = refused(worker, rewritten(tmp_path / "model.keras", drop))
    assert "weights only" in error.problem
    assert "load_weights" in error.fix


def test_hdf5_with_weights_only(worker: Worker, tmp_path: Path) -> None:
    with zipfile.ZipFile(DIGITS) as archive:
        (tmp_path / "model.weights.h5").write_bytes(archive.read("model.weights.h5"))
    error = refused(worker, tmp_path / "model.weights.h5")
    assert "weights only" in error.problem
    assert "load_weights" in error.fix


def test_hdf5_that_is_no_model(worker: Worker, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["measurements"] = np.zeros(3)
    assert "no Keras model" in refused(worker, tmp_path / "data.h5").problem


@pytest.mark.parametrize("config", ["{", "[1, 2]", '"text"', "[" * 100_000])
def test_a_configuration_that_is_none(worker: Worker, tmp_path: Path, config: str) -> None:
    def replace(members: dict[str, bytes]) -> None:
        members["config.json"] = config.encode()

    assert "damaged" in refused(worker, rewritten(tmp_path / "model.keras", replace)).problem
    if len(config) < 60_000:  # HDF5 keeps attributes below 64 KiB
        assert "damaged" in refused(worker, hdf5(tmp_path / "model.h5", config)).problem


def test_weights_that_are_no_numbers(worker: Worker, tmp_path: Path) -> None:
    def poison(members: dict[str, bytes]) -> None:
        held = io.BytesIO(members["model.weights.h5"])
        with h5py.File(held, "r+") as file:
            kernel = file["layers/dense/vars/0"]
            kernel[3, 1] = np.nan
        members["model.weights.h5"] = held.getvalue()

    error = refused(worker, rewritten(tmp_path / "model.keras", poison))
    assert "digit/kernel" in error.problem
    assert "1 of" in error.problem
    assert "NaN" in error.problem


def test_a_lambda_with_bytecode(worker: Worker, tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}

    def insert(config: dict[str, Any]) -> None:
        relu = layer(config, "ReLU")
        relu["class_name"] = "Lambda"
        relu["config"] = {"name": "sneaky", "function": code}

    error = refused(worker, with_config(tmp_path / "model.keras", insert))
    assert "sneaky" in error.problem
    assert "bytecode" in error.problem
    assert "--allow-unsafe" in error.fix


def test_a_lambda_of_keras_2_inside_a_wrapper(worker: Worker, tmp_path: Path) -> None:
    inner = {
        "class_name": "Lambda",
        "config": {"name": "sneaky", "function": ["4wEA", None, None], "function_type": "lambda"},
    }
    wrapper = {"class_name": "TimeDistributed", "config": {"name": "outer", "layer": inner}}
    error = refused(worker, hdf5(tmp_path / "model.h5", legacy(wrapper)))
    assert "sneaky" in error.problem
    assert "--allow-unsafe" in error.fix


def test_a_lambda_that_calls_a_function_by_name(worker: Worker, tmp_path: Path) -> None:
    download = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}

    def insert(config: dict[str, Any]) -> None:
        relu = layer(config, "ReLU")
        relu["class_name"] = "Lambda"
        relu["config"] = {"name": "sneaky", "function": download, "arguments": {"origin": "file:///etc/passwd"}}

    error = refused(worker, with_config(tmp_path / "model.keras", insert))
    assert "sneaky" in error.problem
    assert "get_file" in error.problem


@pytest.mark.parametrize("version", ["2.15.0", "3.15.1"])
def test_a_class_of_a_foreign_module_is_never_imported(worker: Worker, tmp_path: Path, version: str) -> None:
    """tf-keras would import any module that a configuration names, and call what it finds there."""
    (tmp_path / "imported_by_a_model.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w').close()")

    def insert(config: dict[str, Any]) -> None:
        relu = layer(config, "ReLU")
        relu.update(module="imported_by_a_model", class_name="Payload", registered_name="Payload")

    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        insert(config)
        members["config.json"] = json.dumps(config).encode()
        members["metadata.json"] = json.dumps({"keras_version": version}).encode()

    error = refused(worker, rewritten(tmp_path / "model.keras", change))
    assert "Payload" in error.problem
    assert "imported_by_a_model" in error.problem
    assert "--custom-objects" in error.fix
    assert not (tmp_path / "owned").exists()


def test_an_operation_that_writes_files(worker: Worker, tmp_path: Path) -> None:
    write = {"class_name": "TFOpLambda", "config": {"name": "tf.io.write_file", "function": "io.write_file"}}
    error = refused(worker, hdf5(tmp_path / "model.h5", legacy(write)))
    assert "tf.io.write_file" in error.problem


def test_a_layer_that_nobody_knows(worker: Worker, tmp_path: Path) -> None:
    foreign = {"class_name": "FancyAttention", "config": {"name": "fancy"}}
    error = refused(worker, hdf5(tmp_path / "model.h5", legacy(foreign)))
    assert "FancyAttention" in error.problem
    assert "--custom-objects" in error.fix


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("no_such_module_anywhere:objects", "ModuleNotFoundError"),
        ("json:no_such_function", "AttributeError"),
        ("json", "AttributeError"),
        (":objects", "ValueError"),
        ("os:getcwd", "no dict"),
    ],
)
def test_custom_objects_that_cannot_be_had(worker: Worker, reference: str, reason: str) -> None:
    error = refused(worker, DIGITS, SourceOptions(custom_objects=reference))
    assert reason in error.problem
    assert reference in error.place
    assert "module:function" in error.fix


def test_a_dimension_of_size_zero(worker: Worker, tmp_path: Path) -> None:
    def shrink(config: dict[str, Any]) -> None:
        layer(config, "InputLayer")["config"]["batch_shape"] = [None, 0, 8, 1]

    assert refused(worker, with_config(tmp_path / "model.keras", shrink)).problem


def test_a_folder_that_is_no_saved_model(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01 this is no graph")
    assert "cannot be read" in refused(worker, tmp_path).problem


def test_missing_samples_are_named(worker: Worker, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", picture=np.zeros((2, 1, 8, 8, 1), np.float32))
    with pytest.raises(InputError) as caught:
        worker.call(
            "sources", "keras", "run",
            path=DIGITS, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
        )  # fmt: skip
    assert "image" in caught.value.problem
    assert not (tmp_path / "out.npz").exists()


def test_samples_of_another_shape_are_explained_with_both_sides(worker: Worker, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.zeros((2, 8, 8, 1), np.float32))
    with pytest.raises(InputError) as caught:
        worker.call(
            "sources", "keras", "run",
            path=DIGITS, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
        )  # fmt: skip
    assert "[1, 8, 8, 1]" in caught.value.problem
    assert "[8, 8, 1]" in caught.value.problem


def test_paths_saved_on_windows_are_repaired_in_a_copy(worker: Worker, tmp_path: Path) -> None:
    def windows(members: dict[str, bytes]) -> None:
        held = io.BytesIO()
        with h5py.File(io.BytesIO(members["model.weights.h5"])) as old, h5py.File(held, "w") as new:

            def copy(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    group, _, leaf = name.rpartition("/vars/")
                    new[f"{group.replace('/', chr(92))}/vars/{leaf}"] = item[()]

            old.visititems(copy)
        members["model.weights.h5"] = held.getvalue()

    path = rewritten(tmp_path / "model.keras", windows)
    before = path.read_bytes()
    made = describe(worker, path)
    assert any("backslashes" in warning for warning in made.warnings)
    assert path.read_bytes() == before
    image = np.load(ROOT / "calibration_data" / "digits_test.npz")["image"][:20, None]
    np.savez(tmp_path / "in.npz", image=image)
    for model, out in ((path, "repaired.npz"), (DIGITS, "whole.npz")):
        worker.call(
            "sources", "keras", "run", path=model, options=PLAIN, inputs=tmp_path / "in.npz", outputs=tmp_path / out
        )
    np.testing.assert_array_equal(np.load(tmp_path / "repaired.npz")["digit"], np.load(tmp_path / "whole.npz")["digit"])


@pytest.mark.parametrize("name", ["network", "network.h5", "network.bin"])
def test_a_zip_under_any_name_is_read(worker: Worker, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(DIGITS, tmp_path / name))
    assert describe(worker, path).signature.inputs[0].name == "image"


@settings(max_examples=40)
@example(edits=[(0.7499414179399315, b"\0\0\0")])  # a link name that HDF5 refuses
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1))
def test_mutated_bytes_give_success_or_a_remedy(
    worker: Worker, tmp_path: Path, edits: list[tuple[float, bytes]]
) -> None:
    content = bytearray(DIGITS.read_bytes())
    for share, new in edits:
        at = int(share * (len(content) - len(new)))
        content[at : at + len(new)] = new
    path = tmp_path / "mutated.keras"
    path.write_bytes(content)
    try:
        describe(worker, path)
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - success is as good
        assert error.fix  # noqa: PT017


@pytest.fixture(scope="module")
def whole_hdf5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one layer as Keras 2 wrote it, with its weights."""
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "relu"}}
    path = hdf5(tmp_path_factory.mktemp("whole") / "model.h5", legacy(dense))
    with h5py.File(path, "r+") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"dense"]
        weights.attrs["backend"] = "tensorflow"
        layer = weights.create_group("dense")
        layer.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        layer["dense/kernel:0"] = np.ones((4, 2), np.float32)
        layer["dense/bias:0"] = np.ones(2, np.float32)
    return path


def test_the_hdf5_file_is_whole_before_bytes_change(worker: Worker, whole_hdf5: Path) -> None:
    assert describe(worker, whole_hdf5).signature.outputs[0].shape == (1, 2)


@example(edits=[(0.1636799034844718, b"\x02")])  # a text in an encoding that there is not
@settings(max_examples=60)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1))
def test_mutated_hdf5_gives_success_or_a_remedy(
    worker: Worker, whole_hdf5: Path, tmp_path: Path, edits: list[tuple[float, bytes]]
) -> None:
    content = bytearray(whole_hdf5.read_bytes())
    written = [at for at, byte in enumerate(content) if byte]  # most of an HDF5 file is empty
    for share, new in edits:
        at = written[int(share * len(written))]
        content[at : at + len(new)] = new
    path = tmp_path / "mutated.h5"
    path.write_bytes(content)
    try:
        describe(worker, path)
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - success is as good
        assert error.fix  # noqa: PT017


@settings(max_examples=40)
@given(
    key=st.sampled_from(["class_name", "module", "config", "registered_name", "build_config", "inbound_nodes", "name"]),
    value=st.none() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=3) | st.just({"a": {}}),
    index=st.integers(0, 9),
)
def test_mutated_configurations_give_success_or_a_remedy(
    worker: Worker, tmp_path: Path, key: str, value: Any, index: int
) -> None:
    def change(config: dict[str, Any]) -> None:
        layers = config["config"]["layers"]
        layers[index % len(layers)][key] = value

    path = with_config(tmp_path / "mutated.keras", change)
    try:
        describe(worker, path)
    except EdgekitError as error:
        assert error.problem  # noqa: PT017 - success is as good
        assert error.fix  # noqa: PT017
