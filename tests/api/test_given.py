"""Objects of a program as files."""

import sys
import time
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.api import given, running
from edgekit.errors import InputError


def proto(name: str = "net/one") -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph(
        [node], name, [value("x", TensorProto.FLOAT, [1, 4])], [value("y", TensorProto.FLOAT, [1, 4])]
    )
    return helper.make_model(graph)


def test_an_onnx_model_is_written_under_its_name(tmp_path: Path) -> None:
    path = given.model_file(proto(), tmp_path)
    assert path.name == "net_one.onnx"
    assert onnx.load(path).graph.node[0].op_type == "Relu"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of Keras with numpy 2
def test_a_keras_model_gives_the_same_file_again(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)], name="tiny")
    first = given.model_file(model, tmp_path).read_bytes()
    time.sleep(2.1)  # an archive counts time in steps of two seconds
    path = given.model_file(model, tmp_path)
    assert path.name == "tiny.keras"
    assert path.read_bytes() == first
    x = np.ones((1, 4), np.float32)
    assert np.array_equal(keras.models.load_model(path).predict(x, verbose=0), model.predict(x, verbose=0))


def test_other_objects_are_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"builtins\.int is no model"):
        given.model_file(3, tmp_path)
    fake = types.ModuleType("torch.nn")
    fake.Module = type("Module", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.nn", fake)
    with pytest.raises(InputError) as error:
        given.model_file(fake.Module(), tmp_path)
    assert "torch.onnx.export" in error.value.fix
    with pytest.raises(InputError, match="There is no file"):
        given.model_file("nothing.onnx", tmp_path)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("--max-drop", "max_drop"),
        ("add --eval PATH --metric top1", "add eval PATH metric top1"),
        ("a well--known - word", "a well--known - word"),
        ("", ""),
    ],
)
def test_options_become_keywords(said: str, meant: str) -> None:
    error = running.in_python(InputError("No.", place=said, fix=said))
    assert (error.place, error.fix) == (meant, meant)


def test_a_command_keeps_its_options() -> None:
    fix = "edgekit devices add pi5 --host pi5.local"
    assert running.in_python(InputError("No.", fix=fix)).fix == fix
