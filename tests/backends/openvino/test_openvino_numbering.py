"""The same network gives the same files in any process, however many nodes OpenVINO has made there before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend, numbering
from edgekit.engine.worker import Worker
from edgekit.nouns.building import Job
from edgekit.nouns.description import Description, ImageInput
from edgekit.processing.described import complete
from tests import networks
from tests.backends.openvino import test_openvino_evening as of_onnx
from tests.backends.openvino.test_openvino_masks import attention
from tests.backends.openvino.test_openvino_recurrent import stacked
from tests.lazy import Lazy
from tests.stateful import delay, echo

libraries = Lazy("edgekit.backends.openvino.libraries")


def job(path: Path, precision: Any) -> Job:
    """Of a waist or of an ONNX file, with samples; the channels of one are evened, which adds nodes."""
    if path.suffix == ".tflite":
        given = networks.samples(networks.signature(path), 16) if precision == "int8" else None
        return networks.job(path, precision, calibration=given, settings={"equalization": "off"})
    signature, calibration = of_onnx.signature(path), path.with_suffix(".npz")
    np.savez(calibration, **networks.samples(signature, 16))
    return Job(
        waist=None, source=str(path), source_format="onnx", signature=signature, source_signature=signature,
        precision=precision, calibration=str(calibration),
        settings={"weights": "nearest", "equalization": "auto" if path.stem == "gate" else "off"},
    )  # fmt: skip


def masked(path: Path) -> Path:
    attention(path, -1e9, "chosen")
    return path


SIBLINGS: dict[str, tuple[str, Callable[[Path], Path], Any]] = {
    "classifier": ("tflite", networks.classifier, "int8"),
    "state": ("tflite", echo, "int8"),
    "states": ("tflite", delay, "float32"),
    "LSTMs": ("tflite", lambda path: stacked(path, 2), "float16"),
    "gate": ("onnx", lambda path: of_onnx.of_onnx(path, "gated"), "int8"),
    "shuffled": ("onnx", lambda path: of_onnx.of_onnx(path, "shuffled"), "float32"),
    "masks": ("onnx", masked, "int8"),
}


def files(folder: Path, names: list[str]) -> dict[str, list[bytes]]:
    """The files of siblings, built one after the other in a process of their own."""
    found = {}
    with Worker(folder / "log.txt") as worker:
        for name in names:
            suffix, write, precision = SIBLINGS[name]
            given, out = folder / f"{name}.{suffix}", folder / name
            out.mkdir()
            made = worker.call("backends", "openvino", "build", job=job(write(given), precision), file="m.xml", out=out)
            found[name] = [(out / file).read_bytes() for file in made.files]
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[bytes]], dict[str, list[bytes]]]:
    """In one process the first sibling comes first, in the other it comes last."""
    names = list(SIBLINGS)
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    return files(one, names), files(other, names[::-1])


@pytest.mark.parametrize("name", SIBLINGS)
def test_two_processes_write_the_same_files(both: tuple[dict[str, list[bytes]], ...], name: str) -> None:
    one, other = (found[name] for found in both)
    assert len(one) == 2
    assert one == other


def network(named: str) -> Any:
    """One node has a name, others have none; some are in the body of a loop."""
    ov, op = libraries.ov, libraries.operators
    held = op.parameter([1, 4], np.float32)
    made = op.sin(op.add(held, op.constant(np.float32(1))))
    loop = op.loop(op.constant(np.array(3, np.int64)), op.constant(np.array(True)))
    loop.set_function(ov.Model([op.result(op.constant(np.array(True))), op.result(made)], [held]))
    loop.set_special_body_ports([-1, 0])
    x = op.parameter([1, 4], np.float32)
    last = op.relu(op.relu(x))
    last.set_friendly_name(named)
    loop.set_merged_input(held, last.output(0), made.output(0))
    model = ov.Model([op.add(loop.get_iter_value(made.output(0), -1), last)], [x])
    return model.clone()  # what was no name before is one now


@pytest.mark.parametrize("named", ["Relu_7", "Relu:0", "/block/relu", "x"])
def test_own_names_stay_and_no_other_depends_on_the_process(named: str) -> None:
    first, second = (list(numbering.names(numbering.settled(lambda: network(named)))) for _ in range(2))
    assert set(first) == set(second)
    assert named in first
    assert len(first) == len(set(first)) >= 11
    assert not [name for name in first if numbering.NUMBERED.fullmatch(name) and name != named]


def test_what_is_added_later_is_named_and_nothing_else() -> None:
    models = [numbering.settled(lambda: network("Relu_7")) for _ in range(2)]
    before = [numbering.names(model) for model in models]
    for model, known in zip(models, before, strict=True):
        port = model.get_results()[0].input_value(0)
        model.get_results()[0].input(0).replace_source_output(libraries.operators.negative(port).output(0))
        numbering.settle(model, known)
    after = [numbering.names(model) for model in models]
    assert after[0] == after[1]
    assert len(after[0] - before[0]) == 1
    assert before[0] < after[0]


def test_preprocessing_put_before_a_network_has_names_as_well(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "m.tflite")
    made = OpenVINOBackend().build(networks.job(waist, "float32"), "m.xml", tmp_path)
    told = complete(Description(inputs=(ImageInput(channels="BGR", range=(-1.0, 1.0)),)), made.signature)
    contents = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        OpenVINOBackend().embed_preprocessing(tmp_path / "m.xml", told, made.signature, tmp_path / name)
        contents.add((tmp_path / name / "m.xml").read_text())
    assert len(contents) == 1
