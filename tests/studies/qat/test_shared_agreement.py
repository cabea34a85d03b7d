"""Integer files of every shared model, computed in TensorFlow and by LiteRT on XNNPACK: each operator, and the outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine import registry
from edgekit.engine.session import Session
from edgekit.errors import EdgekitError
from edgekit.nouns.building import Job
from edgekit.waist import tensors
from tests.lazy import Lazy
from tests.studies.coverage.cases import Case, inputs
from tests.studies.waists import CASES, converted, file_of

agreement: Any = Lazy("edgekit.passes.qat.agreement")
simulation: Any = Lazy("edgekit.passes.qat.simulation")
specification: Any = Lazy("edgekit.passes.qat.specification")

pytestmark = pytest.mark.long

SAMPLES = 4

LEAST = {"phone/efficientnet_lite0.onnx": 0.8, "onnx_ops/ArgMax_17.onnx": 0.87}
"""The share of outputs of networks whose float operators differ: of the former, which stand between those of integers, in
the last bits; the latter takes logarithms of negative numbers, and none of these NaN is the largest."""


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_integers_of_a_model_are_those_of_litert(
    case: Case, session: Session, tmp_path: Path, record_property: Any
) -> None:
    subject = converted(session, case)
    if isinstance(subject, str):
        pytest.skip(f"it has no waist: {subject}")
    assert subject.waist is not None
    waist = file_of(subject)
    try:
        values = inputs(case, subject.network.model.signature)
        np.savez(tmp_path / "calibration.npz", **values)
        signature = subject.waist.result.signature
        job = Job(
            waist=str(waist), source=str(waist), source_format="tflite", signature=signature, source_signature=signature,
            precision="int8", io="float32", calibration=str(tmp_path / "calibration.npz"),
            settings={"ranges": "minmax", "weights": "nearest"},
        )  # fmt: skip
        registry.leaf("backends", "tflite").build(job, "model.tflite", tmp_path)
    except EdgekitError as error:
        pytest.skip(f"it has no int8 file: {error.problem}")
    content = (tmp_path / "model.tflite").read_bytes()
    samples = {name: np.asarray(v[:SAMPLES]) for name, v in tensors.inputs_to_file(signature, values).items()}
    seen, spec = agreement.observed(content, samples), specification.Specification.read(content)
    shares = [share for share in agreement.alone(simulation.Simulation(spec), seen) if share.integers]
    apart = [share for share in shares if share.equal < 1]
    for share in apart:
        record_property(
            f"{share.name} {share.operator}", f"{share.equal:.4%} equal, others to {share.furthest:g} apart"
        )
    proven = simulation.Simulation(spec, as_it_is={share.operator for share in apart})
    outputs = agreement.whole(proven, seen)
    record_property("by LiteRT", sorted(proven.by_litert))
    record_property("outputs", outputs)
    assert min(outputs.values()) >= LEAST.get(case.name, 1)
