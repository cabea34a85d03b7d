import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit import config
from edgekit.backends.edgetpu import EdgeTPUBackend, dense
from edgekit.backends.edgetpu.forecast import CPU, EDGE_TPU
from edgekit.engine.registry import leaf
from edgekit.errors import InputError, MissingTool, Unsupported
from edgekit.nouns.building import Built, Job
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import graph


def signature(path: Path) -> Signature:
    described = graph.read(path)[0]

    def spec(i: int) -> TensorSpec:
        tensor = described.tensors[i]
        return TensorSpec(
            name=tensor.name, shape=tensor.shape, dtype=tensor.dtype, scale=tensor.scales[0],
            zero_point=tensor.zero_points[0], source_name=f"source_{tensor.name}", source_shape=tensor.shape,
            source_dtype="float32",
        )  # fmt: skip

    return Signature(inputs=tuple(map(spec, described.inputs)), outputs=tuple(map(spec, described.outputs)))


def job(path: Path, **more: Any) -> Job:
    described = signature(path) if "signature" not in more else more.pop("signature")
    return Job(
        waist=str(path), source="model.onnx", source_format="onnx", signature=described, source_signature=described,
        **{"precision": "int8"} | more,
    )  # fmt: skip


@pytest.fixture
def base(write_chain: Any, tmp_path: Path) -> Path:
    return write_chain(tmp_path / "base.tflite", "RELU", "LOGISTIC", "LEAKY_RELU", "RELU")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def compiled_file(network: Any, tmp_path: Path) -> Path:
    """What a compiler makes of ``base``."""
    tensors = {name: network.tensor(name, (1, 4, 4, 8)) for name in ("t0", "t2", "t3", "t4")}
    network.operator("CUSTOM:edgetpu-custom-op", [tensors["t0"]], [tensors["t2"]])
    network.operator("LEAKY_RELU", [tensors["t2"]], [tensors["t3"]])
    network.operator("RELU", [tensors["t3"]], [tensors["t4"]])
    return network.write(tmp_path / "compiled.tflite", [tensors["t0"]], [tensors["t4"]])


@pytest.fixture
def log_of_base(tmp_path: Path) -> Path:
    """In the format of the recorded logs, with the counts of ``base``."""
    path = tmp_path / "said.log"
    path.write_text(
        "Edge TPU Compiler version 16.0.384591198\n"
        "On-chip memory used for caching model parameters: 0.00B\n"
        "Number of operations that will run on Edge TPU: 2\n"
        "Number of operations that will run on CPU: 2\n\n"
        "Operator                       Count      Status\n\n"
        "RELU                           1          Mapped to Edge TPU\n"
        "RELU                           1          More than one subgraph is not supported\n"
        "LOGISTIC                       1          Mapped to Edge TPU\n"
        "LEAKY_RELU                     1          Operation not supported\n"
    )
    return path


def test_the_registry_finds_it() -> None:
    assert isinstance(leaf("backends", "edgetpu"), EdgeTPUBackend)


def test_the_target_asks_for_what_it_builds() -> None:
    (variant,) = config.target("edgetpu").variants
    assert variant.backend == "edgetpu"
    assert variant.precision in EdgeTPUBackend.precisions


def test_without_a_compiler_the_file_is_ready_and_forecast(no_compiler: None, base: Path, out: Path) -> None:
    built = EdgeTPUBackend().build(job(base), "model_int8.tflite", out)
    assert built.files == ("model_int8.tflite",)
    assert [path.name for path in out.iterdir()] == ["model_int8.tflite"]
    assert (out / "model_int8.tflite").read_bytes() == base.read_bytes()
    assert "edgetpu_compiler is not installed" in built.unavailable["compiled"]
    assert "sudo apt-get install edgetpu-compiler" in built.unavailable["compiled"]
    assert [p.runs_on for p in built.placements] == [EDGE_TPU, EDGE_TPU, CPU, CPU]
    assert built.notes[0] == "Forecast: 2 of 4 operators run on the Edge TPU."
    assert built.tools == {}


def test_requiring_the_compiler_is_an_error_without_it(no_compiler: None, base: Path, out: Path) -> None:
    with pytest.raises(MissingTool, match="not installed") as caught:
        EdgeTPUBackend().build(job(base, settings={"require_compiled": True}), "model_int8.tflite", out)
    assert caught.value.exit_code == 3
    assert "apt-get install edgetpu-compiler" in caught.value.fix
    assert list(out.iterdir()) == []


def test_with_a_compiler_both_files_and_its_own_statuses(
    stand_in: Any, base: Path, out: Path, compiled_file: Path, log_of_base: Path
) -> None:
    record = stand_in(log_of_base, compiled_file)
    settings = {"require_compiled": True, "search_delegate": True, "timeout_s": 44}
    built = EdgeTPUBackend().build(job(base, settings=settings), "model_int8.tflite", out)
    assert built.files == ("model_int8.tflite", "model_int8_edgetpu.tflite")
    assert (out / "model_int8_edgetpu.tflite").read_bytes() == compiled_file.read_bytes()
    assert built.unavailable == {}
    assert built.tools == {"edgetpu_compiler": "16.0.384591198"}
    assert [(p.runs_on, p.status) for p in built.placements] == [
        (EDGE_TPU, "Mapped to Edge TPU"),
        (EDGE_TPU, "Mapped to Edge TPU"),
        (CPU, "Operation not supported"),
        (CPU, "More than one subgraph is not supported"),
    ]
    assert built.notes == (
        "Compiled: 2 of 4 operators run on the Edge TPU.",
        "The first on the CPU is operator 2, LEAKY_RELU (t3): Operation not supported.",
        "On-chip memory used for caching model parameters: 0.00B",
    )
    assert "44" in record.read_text().splitlines()
    assert "-d" in record.read_text().splitlines()


def test_a_count_that_does_not_fit_is_told(
    stand_in: Any, base: Path, out: Path, compiled_file: Path, log_of_base: Path
) -> None:
    log_of_base.write_text(log_of_base.read_text().replace("Edge TPU: 2", "Edge TPU: 3"))
    stand_in(log_of_base, compiled_file)
    built = EdgeTPUBackend().build(job(base), "model_int8.tflite", out)
    assert any("own count is 3" in note for note in built.notes)


def test_a_compiler_that_fails_is_an_error_with_a_remedy(stand_in: Any, base: Path, out: Path, logs: Path) -> None:
    stand_in(logs / "internal_error.log", code=1)
    with pytest.raises(Unsupported, match="internal error") as caught:
        EdgeTPUBackend().build(job(base), "model_int8.tflite", out)
    assert "run again" in caught.value.fix


def test_dense_layers_get_one_scale(no_compiler: None, network: Any, tmp_path: Path, out: Path) -> None:
    x, y = network.tensor("x", (1, 4)), network.tensor("y", (1, 2))
    w = network.tensor("w", (2, 4), values=np.arange(8), scales=(0.5, 0.25))
    network.operator("FULLY_CONNECTED", [x, w, -1], [y])
    built = EdgeTPUBackend().build(job(network.write(tmp_path / "base.tflite", [x], [y])), "model_int8.tflite", out)
    assert built.notes[0].startswith("Dense layers given one weight scale")
    assert built.placements[0].runs_on == EDGE_TPU
    assert dense.per_tensor(graph.load(out / "model_int8.tflite")) == 0


@pytest.mark.parametrize("boundary", [None, "int8", "uint8"])
def test_integer_boundaries_are_taken(no_compiler: None, base: Path, out: Path, boundary: Any) -> None:
    assert isinstance(EdgeTPUBackend().build(job(base, io=boundary), "model_int8.tflite", out), Built)


def test_a_float_boundary_is_refused(no_compiler: None, base: Path, out: Path) -> None:
    with pytest.raises(InputError, match="int8 or uint8, not float32"):
        EdgeTPUBackend().build(job(base, io="float32"), "model_int8.tflite", out)


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic-int8", "int16x8", "int4"])
def test_other_precisions_are_refused(no_compiler: None, base: Path, out: Path, precision: str) -> None:
    with pytest.raises(Unsupported, match=f"not in {precision}"):
        EdgeTPUBackend().build(job(base, precision=precision), "model_int8.tflite", out)


def test_it_runs_the_compile_ready_file(write_chain: Any, tmp_path: Path) -> None:
    artifact = write_chain(tmp_path / "n.tflite", "RELU", shape=(1, 3))
    np.savez(tmp_path / "in.npz", source_t0=np.array([[[-3.0, 0.5, 2.0]], [[1.0, -1.0, 9.0]]], np.float32))
    EdgeTPUBackend().run(artifact, signature(artifact), tmp_path / "in.npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as got:
        assert got["source_t1"].tolist() == [[[0.0, 0.5, 2.0]], [[1.0, 0.0, 9.0]]]


def test_the_compiled_file_needs_the_device(compiled_file: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs an Edge TPU"):
        EdgeTPUBackend().run(compiled_file, signature(compiled_file), tmp_path / "in.npz", tmp_path / "out.npz")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["posenet_mobilenet_v1_075_353_481_16_quant_decoder", "mobilenet_v1_0.25_128_quant"])
def test_googles_own_output_is_read(
    stand_in: Any, shared: Path, tmp_path: Path, out: Path, logs: Path, name: str
) -> None:
    """A real compiled file with its real source; only the program between them is a stand-in."""
    folder = shared / "models" / "edgetpu"
    stand_in(logs / "mnist.log", folder / f"{name}_edgetpu.tflite")
    request = job(folder / f"{name}.tflite", signature=Signature(inputs=(), outputs=()))
    built = EdgeTPUBackend().build(request, "model_int8.tflite", out)
    on_cpu = [p.operator for p in built.placements if p.runs_on == CPU]
    assert on_cpu == (["CUSTOM:PosenetDecoderOp"] if "posenet" in name else [])


def images(archive: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10-JPEG as float32 ``[count, 1, 32, 32, 3]`` in 0..255, with labels."""
    with np.load(archive) as data:
        starts = data["offsets"][: count + 1]
        blobs = [data["blob"][a:b].tobytes() for a, b in itertools.pairwise(starts)]
        pixels = [np.asarray(Image.open(io.BytesIO(blob)).convert("RGB"), np.float32) for blob in blobs]
        return np.stack(pixels)[:, None], data["y"][:count]


@pytest.mark.study
@pytest.mark.shared
@pytest.mark.slow
def test_resnet_from_float_to_the_compile_ready_file(
    worker: Any, shared: Path, tmp_path: Path, out: Path, no_compiler: None
) -> None:
    """Calibrated on 200 training images, judged on 500 test images (real labels); float has about 75 %."""
    train, _ = images(shared / "data" / "cifar10jpeg_train10k.npz", 200)
    test, labels = images(shared / "data" / "cifar10jpeg_test2k.npz", 500)
    float_file = shared / "models" / "mlperf_tiny" / "pretrainedResnet.tflite"
    described = graph.read(float_file)[0]

    def spec(i: int) -> TensorSpec:
        tensor = described.tensors[i]
        name = "image" if i in described.inputs else "scores"
        return TensorSpec(
            name=tensor.name, shape=tensor.shape, dtype="float32", source_name=name,
            source_shape=tensor.shape, source_dtype="float32",
        )  # fmt: skip

    source = Signature(inputs=tuple(map(spec, described.inputs)), outputs=tuple(map(spec, described.outputs)))
    np.savez(tmp_path / "calibration.npz", image=train)
    np.savez(tmp_path / "evaluation.npz", image=test)
    base = tmp_path / "base"
    base.mkdir()
    settings = {"full_integer": True}
    calibrated = job(
        float_file, signature=source, calibration=str(tmp_path / "calibration.npz"), io="int8", settings=settings
    )
    made = worker.call("backends", "tflite", "build", job=calibrated, file="model_int8.tflite", out=base)
    request = job(base / "model_int8.tflite", signature=made.signature, io="int8")
    built = worker.call("backends", "edgetpu", "build", job=request, file="model_int8.tflite", out=out)
    worker.call(
        "backends", "edgetpu", "run",
        artifact=out / "model_int8.tflite", signature=built.signature,
        inputs=tmp_path / "evaluation.npz", outputs=tmp_path / "scores.npz",
    )  # fmt: skip
    assert {p.runs_on for p in built.placements} == {EDGE_TPU}, built.notes
    assert built.notes[0].endswith("as the Edge TPU needs: 1.")
    with np.load(tmp_path / "scores.npz") as got:
        accuracy = float(np.mean(got["scores"].reshape(500, -1).argmax(1) == labels))
    assert accuracy >= 0.72, accuracy
