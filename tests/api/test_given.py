"""Objects of a program as files."""

import subprocess
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
from edgekit.nouns.model import Signature, TensorSpec


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
        ("add --max-drop X with a metric", "add max_drop=X with a metric"),
        ("add --eval PATH --metric top1", 'add eval=PATH metric="top1"'),
        ("or --precision dynamic-int8", 'or precision="dynamic-int8"'),
        ("leave out --io for this target", "leave out io for this target"),
        ("add -t with one of: android", "add targets with one of: android"),
        ("--shape names nope", "shapes names nope"),
        ("edgekit inspect m --tensors lists them", "edgekit inspect m --tensors lists them"),
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


BOUNDED = """
import resource, sys
import numpy as np
from pathlib import Path
from edgekit import samples
from edgekit.api import given
from edgekit.samples import functions
from edgekit.nouns.model import Signature, TensorSpec
shape = (1, 64, 64, 3)
spec = TensorSpec(name="x", shape=shape, dtype="float32", source_name="x", source_shape=shape, source_dtype="float32")
signature, folder = Signature(inputs=(spec,), outputs=()), Path(sys.argv[1])
before = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (before + (32 << 20), -1))
if sys.argv[2] == "generator":
    data = ({"x": np.full(shape, i, np.float32), "y": i} for i in range(2000))
else:
    data = {"x": np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (2000, *shape)), "y": np.arange(2000)}
    data["x"][:, 0, 0, 0, 0] = data["y"]
made = given.samples_file(data, signature, folder, "calibration")
found = samples.load(str(made), signature, place=samples.Place(folder))
print(len(found), found.inputs["x"][:, 0, 0, 0, 0].tolist() == found.labels.ravel().tolist() == list(range(2000)))
"""
"""Hands over 94 MiB of samples with 32 MiB of private memory beyond what its libraries took."""


@pytest.mark.parametrize("kind", ["generator", "mapped"])
def test_what_a_program_hands_over_may_be_larger_than_memory(kind: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BOUNDED, tmp_path, kind], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2000", "True"], done.stderr
    assert not (tmp_path / "calibration.npz").exists()


def test_objects_are_no_samples(tmp_path: Path) -> None:
    shape = (1, 4)
    spec = TensorSpec(
        name="x", shape=shape, dtype="float32", source_name="x", source_shape=shape, source_dtype="float32"
    )
    signature = Signature(inputs=(spec,), outputs=())
    for data in (np.array([None, 3]), {"x": [object()]}, [object()], 3):
        with pytest.raises(InputError) as refused:
            given.samples_file(data, signature, tmp_path, "eval")
        assert refused.value.place.startswith("eval")
