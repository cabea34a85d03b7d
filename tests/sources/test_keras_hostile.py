"""Keras files that a stranger made to do something else: refused before any library sees them, by name."""

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, Unsupported
from edgekit.nouns.model import SourceOptions
from tests.sources.test_keras_refusals import describe, hdf5, layer, legacy, refused, rewritten, with_config
from tests.studies.hostile import bombs

UNSAFE = SourceOptions(allow_unsafe=True)


def operation(symbol: str, *arguments: Any, **named: Any) -> dict[str, Any]:
    """A functional model of Keras 2 whose one layer calls a function of TensorFlow with constants."""
    first = {"class_name": "InputLayer", "name": "x", "inbound_nodes": []}
    first["config"] = {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}
    called = {"class_name": "TFOpLambda", "name": "op", "config": {"name": "op", "function": symbol}}
    called["inbound_nodes"] = [["_CONSTANT_VALUE", -1, arguments[0] if arguments else 0, named]]
    added = {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 2}}
    added["inbound_nodes"] = [[["x", 0, 0, {}]]]
    config = {"name": "net", "layers": [first, called, added], "input_layers": [["x", 0, 0]]}
    return {"class_name": "Functional", "config": config | {"output_layers": [["d", 0, 0]]}}


@pytest.mark.parametrize(
    "symbol",
    [
        "io.write_file", "io.read_file", "raw_ops.WriteFile", "compat.v1.write_file", "keras.utils.get_file",
        "keras.models.load_model", "saved_model.load", "train.load_checkpoint", "print", "py_function", "map_fn",
        "load_op_library", "summary.create_file_writer", "data.TextLineDataset", "nn.fixed_unigram_candidate_sampler",
        "debugging.enable_check_numerics", "math.__class__", "io.gfile.rmtree", "", "reduce_sum.__init__",
    ],
)  # fmt: skip
def test_functions_that_do_not_only_compute_are_named(worker: Worker, tmp_path: Path, symbol: str) -> None:
    error = refused(worker, hdf5(tmp_path / "model.h5", operation(symbol, str(tmp_path / "mark"))))
    assert f"tf.{symbol}, which" in error.problem
    assert "--allow-unsafe" in error.fix


@pytest.mark.parametrize("symbol", ["math.add", "reshape", "nn.relu", "compat.v1.nn.conv2d", "__operators__.getitem"])
def test_functions_that_compute_pass(worker: Worker, tmp_path: Path, symbol: str) -> None:
    """What the library then says of a call that makes no sense is another matter."""
    assert "does nothing" not in refused(worker, hdf5(tmp_path / "model.h5", operation(symbol))).problem


def test_what_the_user_lets_through_can_still_not_write(worker: Worker, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "model.h5", operation("io.write_file", str(tmp_path / "mark"), contents="owned"))
    with pytest.raises(EdgekitError) as failed:
        describe(worker, path, UNSAFE)
    assert "--custom-objects" not in failed.value.fix  # which the other library's complaint would propose
    assert not (tmp_path / "mark").exists()


def replaced(tmp_path: Path, **changes: Any) -> Path:
    """The example with its ReLU made to something else."""
    return with_config(tmp_path / "model.keras", lambda config: layer(config, "ReLU").update(changes))


GET_FILE = {"class_name": "function", "module": "keras.utils", "config": "get_file", "registered_name": "get_file"}


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"name": "l", "filepath": "/tmp"}},
        {"module": "keras.src.export.tfsm_layer", "class_name": "TFSMLayer", "config": {"name": "l"}},
        {"module": "keras.layers", "class_name": "JaxLayer", "config": {"name": "l"}},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"name": "l", "module": "gASV"}},
        {"module": "keras.src.ops.core", "class_name": "Map", "config": {"name": "l"}},
        {"module": "keras.utils", "class_name": "FeatureSpace", "config": {"features": {}}},
        {"module": "keras.utils", "class_name": "get_file", "config": {"origin": "file:///etc/passwd"}},
        {"module": "keras.models", "class_name": "load_model", "config": {"filepath": "other.keras"}},
        {"module": "tensorflow", "class_name": "Module", "config": {}},
        {"class_name": "TensorFlowOpLayer", "config": {"name": "l", "node_def": {"op": "WriteFile"}}},
        {"class_name": "TensorFlowOpLayer", "config": {"name": "l", "node_def": json.dumps({"op": "Relu"})}},
        {"class_name": "Activation", "config": {"name": "l", "activation": GET_FILE}},
    ],
)  # fmt: skip
def test_parts_of_keras_that_do_not_only_compute_are_named(
    worker: Worker, tmp_path: Path, changes: dict[str, Any]
) -> None:
    error = refused(worker, replaced(tmp_path, **{"registered_name": None} | changes))
    assert "nothing but compute" in error.problem
    assert "--allow-unsafe" in error.fix


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "posix", "class_name": "Dense", "config": {}},
        {"class_name": "Activation", "config": {"name": "l", "activation": "get_file"}},
        {"class_name": "Dense", "config": {"name": "l", "units": 2, "kernel_initializer": "system"}},
        {"class_name": "Dense", "registered_name": "evil>Dense", "config": {"name": "l", "units": 2}},
        {"class_name": "Dense", "config": {"name": "l"}, "compile_config": {"loss": {"class_name": "x", "module": "os"}}},
    ],
)  # fmt: skip
def test_names_of_elsewhere_must_be_the_users(worker: Worker, tmp_path: Path, changes: dict[str, Any]) -> None:
    for options in (SourceOptions(), UNSAFE) if "module" in changes else (SourceOptions(),):
        assert "custom objects" in refused(worker, replaced(tmp_path, **changes), options).problem


def test_a_custom_name_does_not_open_the_door_to_another_module(worker: Worker, tmp_path: Path) -> None:
    """The libraries look among the user's own objects by the registered name, and import the module otherwise."""
    (tmp_path / "objects_of_mine.py").write_text("def objects():\n    return {'Mine': dict}\n")
    (tmp_path / "of_a_stranger.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    path = replaced(tmp_path, module="of_a_stranger", class_name="Mine", registered_name="of>Somebody")
    refused(worker, path, SourceOptions(custom_objects="objects_of_mine:objects"))
    assert not (tmp_path / "mark").exists()


def test_a_lambdas_shape_may_be_code_too(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "functions_of_mine.py").write_text("def objects():\n    return {'mine': abs}\n")
    config = {"name": "l", "function": "mine", "function_type": "function"}
    hidden = config | {"output_shape": ["4wEA", None, None], "output_shape_type": "lambda"}
    path = hdf5(tmp_path / "model.h5", legacy({"class_name": "Lambda", "config": hidden}))
    assert "bytecode" in refused(worker, path, SourceOptions(custom_objects="functions_of_mine:objects")).problem


@pytest.mark.parametrize("kind", ["lambda", "function"])
@pytest.mark.parametrize(("wrapper", "setting"), [("ResidualWrapper", "residual_fn"), ("DropoutWrapper", "dropout_fn")])
def test_a_function_of_a_cells_wrapper_may_be_code_too(
    worker: Worker, tmp_path: Path, wrapper: str, setting: str, kind: str
) -> None:
    """In HDF5 the library runs it unasked: there its safe mode does not hold."""
    cell = {"class_name": "SimpleRNNCell", "config": {"name": "cell", "units": 4}}
    code = {setting: ["4wEA", None, None] if kind == "lambda" else "system", f"{setting}_type": kind}
    wrapped = {"class_name": wrapper, "config": {"name": "w", "cell": cell, f"{setting}_module": "os", **code}}
    path = hdf5(tmp_path / "model.h5", legacy({"class_name": "RNN", "config": {"name": "r", "cell": wrapped}}))
    told = {"lambda": "holds Python bytecode", "function": "calls the function system"}[kind]
    assert f"The {wrapper} layer w of model.h5 {told}" in refused(worker, path).problem


def test_an_operator_of_a_graph_that_computes_passes(worker: Worker, tmp_path: Path) -> None:
    config = {"name": "l", "node_def": {"name": "l", "op": "Relu"}}
    path = hdf5(tmp_path / "model.h5", legacy({"class_name": "TensorFlowOpLayer", "config": config}))
    assert "does nothing" not in refused(worker, path).problem


def test_the_users_own_code_is_walled_in_too(worker: Worker, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "writing_of_mine.py").write_text(f"def objects():\n    open({str(mark)!r}, 'w')\n    return {{}}\n")
    path = rewritten(tmp_path / "model.keras", lambda _: None)
    assert "PermissionError" in refused(worker, path, SourceOptions(custom_objects="writing_of_mine:objects")).problem
    assert not mark.exists()


@pytest.mark.parametrize("key", ["module", "registered_name"])
def test_names_that_are_no_text_are_refused(worker: Worker, tmp_path: Path, key: str) -> None:
    assert "no text" in refused(worker, replaced(tmp_path, **{key: [1]})).problem


def test_a_vocabulary_that_is_a_file_is_refused(worker: Worker, tmp_path: Path) -> None:
    lookup = {"name": "l", "vocabulary": "/etc/passwd"}
    path = replaced(tmp_path, module="keras.layers", class_name="StringLookup", config=lookup, registered_name=None)
    assert "/etc/passwd" in refused(worker, path).problem


def test_how_a_model_was_compiled_does_not_matter(worker: Worker, tmp_path: Path) -> None:
    def compiled(config: dict[str, Any]) -> None:
        config["compile_config"] = {"loss": {"class_name": "function", "config": "mine", "module": "mine"}}

    assert describe(worker, with_config(tmp_path / "model.keras", compiled)).format == "keras"


def test_a_layer_larger_than_the_files_weights_is_refused(worker: Worker, tmp_path: Path) -> None:
    def grow(config: dict[str, Any]) -> None:
        layer(config, "Dense")["config"]["units"] = 500_000_000

    assert "500,000,000" in refused(worker, with_config(tmp_path / "units.keras", grow)).problem

    def widen(config: dict[str, Any]) -> None:
        layer(config, "InputLayer")["config"]["batch_shape"] = [None, 100_000, 100_000, 1]

    assert "no target can hold" in refused(worker, with_config(tmp_path / "shape.keras", widen)).problem


def soft(file: h5py.File, _: Path) -> None:
    file["model_weights"] = h5py.SoftLink("/elsewhere")


def external(file: h5py.File, folder: Path) -> None:
    file["model_weights"] = h5py.ExternalLink(str(folder / "other.h5"), "/")


def storage(file: h5py.File, folder: Path) -> None:
    file.create_dataset("model_weights/w", (4,), "f4", external=[(str(folder / "secret"), 0, 16)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "w", (4,))
    file.create_virtual_dataset("model_weights/w", layout)


def empty(file: h5py.File, _: Path) -> None:
    file.create_dataset("model_weights/w", (10**6, 10**6), "f4", chunks=(1000, 1000))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (soft, "a link at"),
        (external, "a link at"),
        (storage, "other files"),
        (virtual, "other files"),
        (empty, "does not hold"),
    ],
)
def test_hdf5_that_leads_elsewhere_or_holds_less_than_it_says(
    worker: Worker, tmp_path: Path, make: Callable[[h5py.File, Path], None], told: str
) -> None:
    path = hdf5(tmp_path / "model.h5", legacy({"class_name": "Flatten", "config": {"name": "f"}}))
    with h5py.File(path, "r+") as file:
        make(file, tmp_path)
    assert told in refused(worker, path).problem


def test_a_group_that_holds_itself_is_walked_once(worker: Worker, tmp_path: Path) -> None:
    def tie(members: dict[str, bytes]) -> None:
        held = io.BytesIO(members["model.weights.h5"])
        with h5py.File(held, "r+") as file:
            file["layers/again"] = file["layers"]
        members["model.weights.h5"] = held.getvalue()

    assert describe(worker, rewritten(tmp_path / "model.keras", tie)).format == "keras"


def test_weights_inside_a_zip_lead_nowhere_either(worker: Worker, tmp_path: Path) -> None:
    def lead(members: dict[str, bytes]) -> None:
        held = io.BytesIO(members["model.weights.h5"])
        with h5py.File(held, "r+") as file:
            del file["layers"]
            file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
        members["model.weights.h5"] = held.getvalue()

    assert "a link at" in refused(worker, rewritten(tmp_path / "model.keras", lead)).problem


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../mark", "leads out"),
        ("/mark", "leads out"),
        ("assets\\..\\..\\mark", "leads out"),
        ("C:\\mark", "leads out"),
        ("config.json", "more than once"),
        ("assets/link", "a link"),
        ("assets/bomb", "does not hold"),
    ],
)
def test_zips_that_lead_elsewhere_or_hold_less_than_they_say(
    worker: Worker, tmp_path: Path, name: str, told: str
) -> None:
    path = rewritten(tmp_path / "model.keras", lambda _: None)
    member = zipfile.ZipInfo(name)
    if told == "a link":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name that is there already
        archive.writestr(member, "/etc/passwd")
    if told == "does not hold":
        content = path.read_bytes()
        at = content.rindex(b"PK\x01\x02")
        path.write_bytes(content[: at + 24] + (2**31).to_bytes(4, "little") + content[at + 28 :])
    assert told in refused(worker, path).problem
    assert not (tmp_path.parent / "mark").exists()


@pytest.mark.parametrize("kind", ["UpSampling1D", "RepeatVector", "ZeroPadding2D"])
def test_layers_that_make_gigabytes_are_refused_before_they_run(kind: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"bomb.*GiB"):
        describe(worker, bombs.keras(tmp_path / "bomb.keras", kind))
