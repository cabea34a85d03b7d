"""What every source must do, whatever it reads. A new leaf adds a builder to `MODELS` and must pass."""

import ast
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

from edgekit import sources
from edgekit.engine import registry
from edgekit.engine.store import tree_digest
from edgekit.engine.worker import Worker
from edgekit.errors import EdgekitError, InputError
from edgekit.nouns.model import Model, SourceOptions, Waist
from edgekit.waist import graph, run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "docs" / "examples" / "digits" / "model.keras"
PLAIN = SourceOptions()


def _keras(folder: Path, worker: Worker) -> Path:
    return Path(shutil.copy(DIGITS, folder / "network.keras"))


def _tflite(folder: Path, worker: Worker) -> Path:
    worker.call("sources", "keras", "to_waist", path=DIGITS, options=PLAIN, out=folder)
    return (folder / "waist.tflite").rename(folder / "network.tflite")


def _onnx(folder: Path, worker: Worker) -> Path:
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in {"kernel": (4, 3, 3, 3), "bias": (4,)}.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["features"]),
    ]
    made = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 6])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4, 8, 6])],
        weights,
    )
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "network.onnx"
    )
    return folder / "network.onnx"


MODELS: dict[str, Callable[[Path, Worker], Path]] = {"keras": _keras, "onnx": _onnx, "tflite": _tflite}
BUILT_IN = sorted(set(sources.FORMATS.values()))


def leaves() -> list[str]:
    """Every source that the registry knows."""
    return list(registry.names("sources"))


def test_every_leaf_has_a_model_to_prove_itself_on() -> None:
    assert set(leaves()) == set(MODELS)
    assert set(BUILT_IN) == set(MODELS)


@pytest.fixture(scope="module", params=leaves())
def leaf(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(leaf: str, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODELS[leaf](tmp_path_factory.mktemp(leaf), worker)


@pytest.fixture(scope="module")
def described(leaf: str, model: Path, worker: Worker) -> Model:
    made = worker.call("sources", leaf, "describe", path=model, options=PLAIN)
    assert isinstance(made, Model)
    return made


@pytest.fixture(scope="module")
def waist(leaf: str, model: Path, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Waist, Path]:
    out = tmp_path_factory.mktemp("waist")
    return worker.call("sources", leaf, "to_waist", path=model, options=PLAIN, out=out), out


@pytest.fixture(scope="module")
def samples(described: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("samples") / "samples.npz"
    values = {
        spec.source_name: random.random((5, *spec.source_shape)).astype(spec.source_dtype)
        for spec in described.signature.inputs
    }
    np.savez(path, **values)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def outputs(leaf: str, model: Path, samples: Path, worker: Worker) -> dict[str, np.ndarray]:
    path = samples.with_name("outputs.npz")
    worker.call("sources", leaf, "run", path=model, options=PLAIN, inputs=samples, outputs=path)
    return dict(np.load(path))


def test_description_is_that_of_the_file(leaf: str, model: Path, described: Model) -> None:
    assert described.format in sources.FORMATS
    assert sources.FORMATS[described.format] == leaf
    assert described.format == sources.sniff(model)
    assert described.file == model.name
    assert described.sha256 == tree_digest(model).sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert described.bytes == model.stat().st_size


def test_signature_is_fixed_and_its_two_sides_are_the_same(described: Model) -> None:
    for spec in (*described.signature.inputs, *described.signature.outputs):
        assert all(size >= 1 for size in spec.shape), spec
        assert (spec.name, spec.shape, spec.dtype) == (spec.source_name, spec.source_shape, spec.source_dtype)
        assert spec.permutation is None
        assert np.dtype(spec.dtype)
    names = [spec.name for spec in described.signature.inputs]
    assert len(set(names)) == len(names) > 0


def test_waist_is_one_float_file_that_litert_loads(waist: tuple[Waist, Path]) -> None:
    made, out = waist
    assert [file.name for file in out.iterdir()] == [made.file] == ["waist.tflite"]
    Interpreter(model_path=str(out / made.file)).allocate_tensors()
    main = graph.read(out / made.file)[0]
    assert not any(tensor.scales for tensor in main.tensors)
    assert not any(-1 in main.tensors[index].signature_shape for index in (*main.inputs, *main.outputs))


def test_waist_signature_maps_the_file_to_the_source(waist: tuple[Waist, Path], described: Model) -> None:
    made, out = waist
    main = graph.read(out / made.file)[0]
    for specs, indices, wanted in (
        (made.signature.inputs, main.inputs, described.signature.inputs),
        (made.signature.outputs, main.outputs, described.signature.outputs),
    ):
        assert [(spec.name, spec.shape, spec.dtype) for spec in specs] == [
            (main.tensors[index].name, main.tensors[index].shape, main.tensors[index].dtype) for index in indices
        ]
        assert {(s.source_name, s.source_shape, s.source_dtype) for s in specs} == {
            (s.name, s.shape, s.dtype) for s in wanted
        }
        for spec in specs:
            axes = spec.permutation or tuple(range(len(spec.shape)))
            assert spec.shape == tuple(spec.source_shape[axis] for axis in axes)


def test_run_gives_every_output_for_every_sample(outputs: dict[str, np.ndarray], described: Model) -> None:
    assert set(outputs) == {spec.name for spec in described.signature.outputs}
    for spec in described.signature.outputs:
        assert outputs[spec.name].shape == (5, *spec.shape)
        assert outputs[spec.name].dtype == np.dtype(spec.dtype)


def test_samples_do_not_influence_one_another(
    leaf: str, model: Path, samples: Path, outputs: dict[str, np.ndarray], worker: Worker, tmp_path: Path
) -> None:
    alone = {name: values[3:4] for name, values in np.load(samples).items()}
    np.savez(tmp_path / "one.npz", **alone)  # type: ignore[arg-type]
    worker.call(
        "sources", leaf, "run", path=model, options=PLAIN, inputs=tmp_path / "one.npz", outputs=tmp_path / "out.npz"
    )
    for name, values in np.load(tmp_path / "out.npz").items():
        np.testing.assert_allclose(values[0], outputs[name][3], rtol=1e-4, atol=1e-6)


def test_waist_computes_what_the_source_computes(
    waist: tuple[Waist, Path], samples: Path, outputs: dict[str, np.ndarray]
) -> None:
    made, out = waist
    stored = run.run(out / made.file, inputs_to_file(made.signature, dict(np.load(samples))))
    for name, values in outputs_to_source(made.signature, stored).items():
        assert np.array_equal(values, outputs[name]) or sqnr_db(outputs[name], values) >= 60, name


def test_converting_twice_gives_the_same_bytes(
    leaf: str, model: Path, waist: tuple[Waist, Path], worker: Worker, tmp_path: Path
) -> None:
    again = worker.call("sources", leaf, "to_waist", path=model, options=PLAIN, out=tmp_path)
    assert again == waist[0]
    assert (tmp_path / again.file).read_bytes() == (waist[1] / waist[0].file).read_bytes()


def test_nothing_diverges_in_a_faithful_waist(
    leaf: str, model: Path, waist: tuple[Waist, Path], samples: Path, worker: Worker
) -> None:
    made, out = waist
    absolute = Waist(file=str(out / made.file), signature=made.signature, notes=made.notes)
    found = worker.call(
        "sources", leaf, "first_divergence",
        path=model, options=PLAIN, waist=absolute, inputs=samples, threshold_db=60.0,
    )  # fmt: skip
    assert found is None


def test_the_file_of_the_user_is_untouched(
    model: Path, described: Model, waist: tuple[Waist, Path], outputs: dict[str, np.ndarray]
) -> None:
    assert waist
    assert outputs
    assert hashlib.sha256(model.read_bytes()).hexdigest() == described.sha256
    others = {"samples.npz", "outputs.npz"}
    assert [file.name for file in model.parent.iterdir() if file.name not in others] == [model.name]


def test_unknown_names_in_shapes_are_explained(leaf: str, model: Path, described: Model, worker: Worker) -> None:
    options = SourceOptions(shapes={"no_such_input": (1, 2)})
    with pytest.raises(InputError) as caught:
        worker.call("sources", leaf, "describe", path=model, options=options)
    assert "no_such_input" in caught.value.problem
    assert described.signature.inputs[0].name in caught.value.fix


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused_and_leaves_nothing(
    leaf: str, model: Path, share: float, worker: Worker, tmp_path: Path
) -> None:
    content = model.read_bytes()
    cut = tmp_path / model.name
    cut.write_bytes(content[: int(len(content) * share)])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(EdgekitError) as caught:
        worker.call("sources", leaf, "to_waist", path=cut, options=PLAIN, out=out)
    assert caught.value.problem
    assert caught.value.place
    assert caught.value.fix
    assert list(out.iterdir()) == []


def test_text_under_a_models_name_is_refused(leaf: str, model: Path, worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / model.name
    path.write_text("This is not a network, whatever its name says.\n" * 20)
    with pytest.raises(EdgekitError) as caught:
        worker.call("sources", leaf, "describe", path=path, options=PLAIN)
    assert path.name in caught.value.problem
    assert caught.value.fix


@pytest.mark.parametrize("leaf", leaves())
def test_leaves_import_no_other_leaf(leaf: str) -> None:
    room = ROOT / "edgekit" / "sources"
    files = [room / f"{leaf}.py"] if (room / f"{leaf}.py").is_file() else sorted((room / leaf).rglob("*.py"))
    assert files
    others = {f"edgekit.sources.{other}" for other in leaves() if other != leaf} | {"edgekit.backends"}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name == other or name.startswith(f"{other}.") for name in named for other in others), file
