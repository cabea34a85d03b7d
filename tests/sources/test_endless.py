"""Networks whose loops never end, or end long after anybody waits: each is refused in seconds, by its loop."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit import cli
from edgekit.engine.worker import Worker
from edgekit.errors import EndlessError
from edgekit.nouns.model import Model, SourceOptions
from edgekit.waist import effort
from edgekit.waist.tensors import write_npz
from tests import networks
from tests.lazy import Lazy
from tests.sources.onnx.onnx_cases import build

tf: Any = Lazy("tensorflow")
keras_effort: Any = Lazy("edgekit.sources.keras.effort")

WEIGHTS = np.eye(8, dtype=np.float32)

Loop = Callable[[Any], Any]


def _counted(times: int, body: Loop) -> Loop:
    return lambda x: tf.while_loop(lambda i, _: i < times, lambda i, y: (i + 1, body(y)), (tf.constant(0), x))[1]


def _until(more: Callable[[Any, Any], Any]) -> Loop:
    return lambda x: tf.while_loop(more, lambda i, y: (i + 1, tf.sin(y)), (tf.constant(0), x))[1]


ENDLESS: dict[str, Loop] = {
    "always": _until(lambda i, _: tf.equal(i, i)),
    "by_values": _until(lambda _, y: tf.reduce_max(y) < 2.0),
    "billion": _counted(10**9, lambda y: y + 1.0),
    "products": _counted(10**9, lambda y: tf.matmul(y, WEIGHTS)),
    "nested": _counted(10**6, _counted(10**6, lambda y: tf.matmul(y, WEIGHTS))),
    "in_a_branch": lambda x: tf.cond(tf.reduce_sum(x) < 1e9, lambda: _counted(10**9, tf.sin)(x), lambda: x),
}


def _traced(function: Loop) -> Any:
    return tf.function(function).get_concrete_function(tf.TensorSpec((1, 8), tf.float32, name="x"))


def _tflite(path: Path, function: Loop) -> Path:
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([_traced(function)]).convert())
    return path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("samples") / "x.npz", {"x": np.zeros((2, 1, 8), np.float32)})


def _run(path: Path, leaf: str, samples: Path, out: Path, *, seconds: float = 1.0) -> None:
    with Worker(out / "log.txt", seconds=seconds) as worker:
        worker.call(
            "sources",
            leaf,
            "run",
            path=path,
            options=SourceOptions(),
            inputs=samples,
            outputs=out / "y.npz",
            limit_s=60,
        )


MORE = ("billion", "products", "nested")
"""Loops of the kinds that others have too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.study] if name in MORE else []) for name in ENDLESS]
)
def test_a_tflite_loop_is_named(name: str, samples: Path, tmp_path: Path) -> None:
    path = _tflite(tmp_path / f"{name}.tflite", ENDLESS[name])
    with pytest.raises(EndlessError, match=r"loop.*WHILE") as refused:
        _run(path, "tflite", samples, tmp_path, seconds=0.5)
    assert refused.value.place.startswith(f"{path}: WHILE")
    assert "--max-seconds" in refused.value.fix


def test_a_loop_that_ends_is_run(samples: Path, tmp_path: Path) -> None:
    path = _tflite(tmp_path / "ends.tflite", _counted(1000, lambda y: tf.matmul(y, WEIGHTS)))
    _run(path, "tflite", samples, tmp_path)
    assert (tmp_path / "y.npz").is_file()


def test_only_trips_that_somebody_waits_for_earn_time(tmp_path: Path) -> None:
    found = {
        name: effort.of(_tflite(tmp_path / f"{name}.tflite", ENDLESS[name])).seconds
        for name in ("always", "billion", "products", "nested")
    }
    assert max(found.values()) < 1
    honest = effort.of(_tflite(tmp_path / "honest.tflite", _counted(1000, lambda y: tf.matmul(y, WEIGHTS))))
    assert honest.macs == 1000 * 64


def test_a_sequence_of_images_earns_time_for_each_pixel() -> None:
    weights = tf.Variable(np.zeros((3, 3, 2, 2), np.float32))

    def body(i: Any, held: Any) -> Any:
        return i + 1, held + tf.nn.conv2d(held, weights, 1, "SAME")

    def call(x: Any) -> Any:
        return tf.while_loop(lambda i, _: i < 5, body, (tf.constant(0), x[:, 0]))[1]

    made = tf.function(call).get_concrete_function(tf.TensorSpec((1, 5, 16, 16, 2)))
    assert keras_effort.of(made).macs == 5 * 16 * 16 * 36


FOREVER = """
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[1,4] v) => (bool more, float[1,4] w) {
        more = Identity(c) w = Sin(v)
    }>
"""

CONSTANT = """
    z = Loop(n, t, one) <body = b (int64 i, bool c, float[1,4] v) => (bool more, float[1,4] w) {
        more = Identity(c) w = Sin(v)
    }>
    y = Add(x, z)
"""

NESTED = """
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[1,4] v) => (bool more, float[1,4] w) {
        more = Identity(c)
        w = Loop(n, t, v) <body = d (int64 j, bool e, float[1,4] p) => (bool on, float[1,4] q) { on = Identity(e) q = Sin(p) }>
    }>
"""


def _describe(path: Path, leaf: str, folder: Path, *, seconds: float) -> Model:
    with Worker(folder / "log.txt", seconds=seconds) as worker:
        worker.call("sources", leaf, "")
        found: Model = worker.call("sources", leaf, "describe", path=path, options=SourceOptions(), limit_s=90)
        return found


@pytest.mark.parametrize(
    ("name", "body"),
    [("forever", FOREVER), ("constant", CONSTANT), pytest.param("nested", NESTED, marks=pytest.mark.study)],
)
def test_an_onnx_loop_is_named(name: str, body: str, tmp_path: Path) -> None:
    one = np.ones((1, 4), np.float32)
    model = build("float[1,4] x", body, n=np.array(2**62), t=np.array(True), **({"one": one} if "one" in body else {}))
    path = tmp_path / f"{name}.onnx"
    onnx.save(model, path)
    with pytest.raises(EndlessError, match=r"loop.*Loop") as refused:
        _describe(path, "onnx", tmp_path, seconds=1.0)
    assert refused.value.place.startswith(f"{path}: Loop")


@pytest.mark.study
@pytest.mark.slow
def test_a_keras_loop_is_named(samples: Path, tmp_path: Path) -> None:
    module = tf.Module()
    module.f = tf.function(ENDLESS["by_values"], input_signature=[tf.TensorSpec((1, 8), tf.float32, name="x")])
    tf.saved_model.save(module, tmp_path / "saved", signatures=module.f.get_concrete_function())
    with pytest.raises(EndlessError, match=r"loop.*While") as refused:
        _run(tmp_path / "saved", "keras", samples, tmp_path, seconds=3.0)
    assert "--max-seconds" in refused.value.fix


@pytest.mark.study
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_that_is_unrolled_for_ever_is_refused(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    net = keras.Sequential([keras.layers.Input((4, 2)), keras.layers.SimpleRNN(2, unroll=True)])
    net.save(tmp_path / "short.keras")
    import zipfile  # noqa: PLC0415  only here

    with zipfile.ZipFile(tmp_path / "short.keras") as short, zipfile.ZipFile(tmp_path / "long.keras", "w") as made:
        for name in short.namelist():
            made.writestr(name, short.read(name).replace(b"[null, 4, 2]", b"[null, 1000000, 2]"))
    with pytest.raises(EndlessError, match=r"Reading long\.keras took longer"):
        _describe(tmp_path / "long.keras", "keras", tmp_path, seconds=3.0)


def _ir(path: Path, times: int, **options: float) -> Path:
    from tests.backends.openvino.looped_ir import looped, saved  # noqa: PLC0415  heavy

    return saved(looped(times, **options), path)


@pytest.mark.parametrize(
    ("verb", "made", "loop"),
    [
        ("profile", lambda folder: _tflite(folder / "always.tflite", ENDLESS["always"]), "WHILE"),
        ("compare", lambda folder: _ir(folder / "values.xml", 10**9, while_below=2.0), "Loop again"),
    ],
)
def test_a_file_that_is_measured_is_run_first(
    verb: str,
    made: Callable[[Path], Path],
    loop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    path = made(tmp_path)
    assert cli.run([verb, *[str(path)] * (1 + (verb == "compare")), "--quick", "--max-seconds", "1"]) == 4
    assert f"its loop {loop}" in capfd.readouterr().err


def test_an_ir_that_is_measured_is_run_on_the_users_samples_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Random inputs end its loop at once, and the user's never do."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    path = _ir(tmp_path / "values.xml", 10**9, products=True, while_below=-0.9)
    np.savez(tmp_path / "low.npz", x=np.full((4, 1, 4), -1, np.float32))
    given = ["--input", str(tmp_path / "low.npz")]
    assert cli.run(["profile", str(path), "--quick", "--max-seconds", "1", *given]) == 4
    assert "its loop Loop again" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("what", "code", "said"), [("pipe", 2, "is no regular file"), ("huge", 4, "Parameter makes 'x'")]
)
def test_an_ir_is_looked_at_before_it_is_opened(
    what: str,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    path = _ir(tmp_path / "net.xml", 3)
    if what == "pipe":
        path.with_suffix(".bin").unlink()
        os.mkfifo(path.with_suffix(".bin"))
    else:
        path.write_text(path.read_text().replace("<dim>4</dim>", "<dim>4000000000</dim>"))
    assert cli.run(["profile", str(path), "--quick"]) == code
    assert said in capfd.readouterr().err


def test_calibration_by_nncf_ends(tmp_path: Path) -> None:
    waist = _tflite(tmp_path / "by_values.tflite", ENDLESS["by_values"])
    (name,) = (spec.source_name for spec in networks.signature(waist).inputs)
    job = networks.job(waist, "int8", calibration={name: np.zeros((2, 1, 8), np.float32)})
    with Worker(tmp_path / "log.txt", seconds=1.0) as worker, pytest.raises(EndlessError, match="its loop Loop"):
        worker.call("backends", "openvino", "build", job=job, file="net.xml", out=tmp_path, limit_s=60)
