"""A state that an engine does not carry from one run to the next: a bundle's own test fails, and names the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.description import Description
from edgekit.nouns.model import Signature
from edgekit.waist import run
from tests import networks
from tests.bundles.test_python_bundles import tried
from tests.bundles.written import written
from tests.stateful import delay, echo, summing


def on_litert(file: Path) -> Callable[[list[Any]], list[Any]]:
    """Runs a file that goes on from call to call."""
    interpreter = run.interpreter(file)

    def call(inputs: list[Any]) -> list[Any]:
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    return call


def on_openvino(file: Path, signature: Signature) -> Callable[[list[Any]], list[Any]]:
    """The same of an IR."""
    from edgekit.backends.openvino.libraries import CORE  # noqa: PLC0415  large

    request = CORE.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()

    def call(inputs: list[Any]) -> list[Any]:
        found = request.infer(dict(zip((spec.name for spec in signature.inputs), inputs, strict=True)))
        return [found[spec.name].copy() for spec in signature.outputs]

    return call


def forgotten(code: Path) -> None:
    """Plant the fault: each inference has an engine of its own."""
    text = code.read_text("utf8")
    for before, after in (
        ("self.engine = Engine(path, *options)", "self.engine, self.made = Engine(path, *options), (path, *options)"),
        ("found = self.engine.run(", "found = Engine(*self.made).run("),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    code.write_text(text, "utf8")


def names_the_model_alone(folder: Path) -> None:
    """The bundle's own test fails in the network's stage, from the second sample on, and nowhere before."""
    ran = tried(folder)
    assert ran.returncode == 1
    stages = [part.split("'")[0] for part in ran.stderr.split("(stage='")[1:]]
    assert set(stages) - {"whole path"} == {"model"}, ran.stderr
    samples = {part.split("'")[0] for part in ran.stderr.split("(stage='model', sample='")[1:]}
    assert "01" in samples
    assert "00" not in samples, "the first sample finds no state"


@pytest.mark.parametrize("network", [echo, delay, summing])
def test_on_litert(network: Callable[[Path], Path], tmp_path: Path) -> None:
    path = network(tmp_path / "model.tflite")
    facts = written(tmp_path, "edgetpu", networks.signature(path), Description(), on_litert(path))
    (tmp_path / "model").mkdir()
    path.rename(tmp_path / "model" / facts.variant.asset)
    agreed = tried(tmp_path / "python")
    assert agreed.returncode == 0, agreed.stderr
    forgotten(tmp_path / "python" / facts.model.snake / "model.py")
    names_the_model_alone(tmp_path / "python")


def test_on_openvino(worker: Worker, tmp_path: Path) -> None:
    path, out = echo(tmp_path / "waist.tflite"), tmp_path / "ir"
    out.mkdir()
    job = networks.job(path, "float32")
    made = worker.call("backends", "openvino", "build", job=job, file="model.xml", out=out)
    (tmp_path / "model").mkdir()
    facts = written(
        tmp_path, "openvino", made.signature, Description(), on_openvino(out / "model.xml", made.signature), file="model.xml"
    )  # fmt: skip
    for part in out.iterdir():
        part.rename(tmp_path / "model" / Path(facts.variant.asset).with_suffix(part.suffix))
    agreed = tried(tmp_path / "python")
    assert agreed.returncode == 0, agreed.stderr
    forgotten(tmp_path / "python" / facts.model.snake / "model.py")
    names_the_model_alone(tmp_path / "python")
