"""Where an OpenVINO file loses its signal: planted faults are found, and what does not belong together is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend
from edgekit.backends.openvino.diagnosis import diagnose
from edgekit.backends.openvino.diagnosis.stretches import IrNetwork, Quantizer
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Signature, Waist
from edgekit.waist.tensors import arrays, sqnr_db
from tests import networks
from tests.backends.openvino.test_openvino_variables import echo
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")


class Files:
    """A network's files by precision, its samples, and what its float32 IR is called."""

    def __init__(self, folder: Path, waist: Path, *precisions: str) -> None:
        self.folder, self.waist = folder, waist
        self.samples = folder / "samples.npz"
        given = networks.samples(networks.signature(waist), 24)
        np.savez(self.samples, **given)
        for precision in precisions:
            settings = {"weights": "nearest", "ranges": "minmax"} if precision == "int8" else {}
            job = networks.job(waist, precision, calibration=given, settings=settings)  # type: ignore[arg-type]
            made = OpenVINOBackend().build(job, f"{precision}.xml", folder)
            if precision == "float32":
                self.signature: Signature = made.signature

    def diagnosed(self, path: Path, helps: int = 0) -> Diagnosis:
        floats = Waist(file=str(self.folder / "float32.xml"), signature=self.signature)
        return diagnose(path, floats, self.samples, helps)

    def outputs(self, path: Path) -> Any:
        OpenVINOBackend().run(path, self.signature, self.samples, self.folder / "out.npz")
        (found,) = arrays(self.folder / "out.npz").values()
        return np.array(found)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("openvino")
    return Files(folder, networks.classifier(folder / "waist.tflite", logits=3), "float32", "int8")


def test_each_stretch_has_its_figures_and_they_add_up(files: Files) -> None:
    found = files.diagnosed(files.folder / "int8.xml", helps=2)
    wanted, got = (files.outputs(files.folder / f"{name}.xml") for name in ("float32", "int8"))
    assert found.output_db == pytest.approx(sqnr_db(wanted, got), abs=0.1)
    assert found.operators[-1].accumulated_db == pytest.approx(sqnr_db(wanted, got), abs=0.1)
    assert [row.operator for row in found.operators] == [
        "input",
        "Convolution",
        "GroupConvolution",
        "AvgPool",
        "MatMul",
    ]
    assert not found.unmatched
    assert sum(row.share or 0 for row in found.operators) == pytest.approx(1)
    assert all(row.alone_db is not None and row.alone_db > 25 for row in found.operators)
    assert all(sum(blame.share for blame in row.blames) > 0.9 for row in found.operators)
    assert [row.dtype for row in found.operators] == ["uint8"] * 4 + ["float32"]
    causes = {blame.cause for blame in found.operators[1].blames}
    assert {"inputs", "weights", "steps"} <= causes


def edited(files: Files, kind: str, change: Any) -> Path:
    """The int8 file with a change to the quantizer behind the first operator of a kind."""
    model = libraries.CORE.read_model(files.folder / "int8.xml")
    network = IrNetwork(model)
    name = next(n for n in network.layers if network.nodes[n].get_type_name() == kind)
    point = next(p for p in network.points if network.places[p[0]] >= network.places[name] and network.quantizer(p))
    (quantizer,) = (
        target.get_node()
        for target in network.port(point).get_target_inputs()
        if target.get_node().get_type_name() == "FakeQuantize"
    )
    for place in range(1, 5):
        value = np.asarray(quantizer.input_value(place).get_node().data, np.float32)
        constant = libraries.ov.op.Constant(np.asarray(change(place, value), np.float32))
        quantizer.input(place).replace_source_output(constant.output(0))
    path = files.folder / f"{kind}.xml"
    libraries.ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize(
    ("kind", "factor", "cause"), [("Convolution", 0.2, "clipping"), ("GroupConvolution", 30.0, "steps")]
)
def test_a_planted_fault_is_blamed(files: Files, kind: str, factor: float, cause: str) -> None:
    found = files.diagnosed(edited(files, kind, lambda _, value: value * factor), helps=1)
    (worst,) = found.worst(1)
    assert worst.operator == kind
    assert worst.blames[0].cause == cause
    assert worst.helps[0].remedy == "ranges"
    assert worst.helps[0].after_db > worst.helps[0].before_db + 10
    behind = found.operators[found.operators.index(worst) + 1]
    assert behind.blames[0].cause == "inputs"


def test_coarse_weights_are_blamed(files: Files) -> None:
    model = libraries.CORE.read_model(files.folder / "int8.xml")
    network = IrNetwork(model)
    name = next(n for n in network.layers if network.nodes[n].get_type_name() == "MatMul")
    weights = network.weights[name]
    assert weights is not None
    step = np.float32(np.abs(weights).max() / 8)
    constant = libraries.ov.op.Constant(np.rint(weights / step) * step)
    network.nodes[name].input(1).replace_source_output(constant.output(0))
    libraries.ov.save_model(model, files.folder / "coarse.xml", compress_to_fp16=False)
    (worst,) = files.diagnosed(files.folder / "coarse.xml").worst(1)
    assert (worst.operator, worst.blames[0].cause) == ("MatMul", "weights")
    assert worst.blames[0].share > 0.9


def wide(path: Path) -> Path:
    """A layer whose weights are worth storing as float16."""
    net = networks.Network()
    x = net.input("x", (1, 64))
    weights = net.constant("w", networks.weights(64, 64))
    return net.save(path, net.operator("FULLY_CONNECTED", [x, weights, -1], (1, 64), kind="FullyConnectedOptions"))


def test_float16_loses_by_its_weights_alone(tmp_path: Path) -> None:
    files = Files(tmp_path, wide(tmp_path / "waist.tflite"), "float32", "float16")
    found = files.diagnosed(tmp_path / "float16.xml", helps=1)
    (row,) = found.operators
    assert (row.operator, [blame.cause for blame in row.blames]) == ("MatMul", ["weights"])
    assert row.alone_db == pytest.approx(found.output_db)
    assert not row.helps[0].setting


def test_what_does_not_belong_together_is_refused(files: Files, tmp_path: Path) -> None:
    other = Files(tmp_path, wide(tmp_path / "waist.tflite"), "float32")
    with pytest.raises(InputError, match=r"Only \d of \d tensors") as refused:
        other.diagnosed(files.folder / "int8.xml")
    assert "--against" in refused.value.fix
    with pytest.raises(InputError, match="nothing in it is rounded"):
        files.diagnosed(files.folder / "float32.xml")
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(InputError, match=r"OpenVINO cannot read model\.xml"):
        files.diagnosed(tmp_path / "model.xml")


def test_another_training_is_refused(files: Files, tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "waist.tflite")
    model = networks.graph.load(path)
    random = np.random.default_rng(5)
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            buffer.data = random.permutation(np.asarray(buffer.data).view(np.float32)).view(np.uint8)
    path.write_bytes(networks.graph.pack(model))
    with pytest.raises(InputError, match="another training"):
        Files(tmp_path, path, "float32").diagnosed(files.folder / "int8.xml")


def test_a_file_with_a_state_is_refused(tmp_path: Path) -> None:
    files = Files(tmp_path, echo(tmp_path / "waist.tflite"), "float32", "int8")
    with pytest.raises(Unsupported, match="keeps a state"):
        files.diagnosed(tmp_path / "int8.xml")


@pytest.mark.parametrize(("low", "high", "dtype"), [(0, 2.55, "uint8"), (-1.28, 1.27, "int8"), (-0.5, 2.05, "uint8")])
def test_a_quantizer_rounds_as_openvino_does(low: float, high: float, dtype: str) -> None:
    op, ov = libraries.operators, libraries.ov
    x = op.parameter([1, 50], np.float32)
    ends = [op.constant(np.float32(end)) for end in (low, high, low, high)]
    node = op.fake_quantize(x, *ends, levels=256)
    values = np.random.default_rng(0).uniform(-3, 3, (1, 50)).astype(np.float32)
    wanted = libraries.CORE.compile_model(ov.Model([node], [x]), "CPU", libraries.EXACT)(values)[0]
    made = Quantizer.of(node)
    np.testing.assert_allclose(made(values), wanted, atol=1e-6)
    assert (made.dtype, made.step) == (dtype, pytest.approx(0.01))
