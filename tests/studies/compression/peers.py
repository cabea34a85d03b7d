"""A case that is not edgekit's: what another tool makes of the network, measured as everything else."""

import tempfile
import time
from pathlib import Path

import numpy as np

import edgekit
from tests.studies.accuracy import running
from tests.studies.compression import tfmot
from tests.studies.compression.cases import Case
from tests.studies.compression.data import Sets
from tests.studies.compression.trial import TARGET, Trial, machine


def tried(case: Case, seed: int, sets: Sets, model: Path) -> Trial:
    """Quantization-aware training by TFMOT."""
    with tempfile.TemporaryDirectory() as folder:
        plain = edgekit.build(
            model, str(TARGET), precision="float32", eval=(sets.judged_x, sets.judged_y), metric="top1",
            output=Path(folder) / "plain",
        )["study"]  # fmt: skip
        since = time.monotonic()
        content = tfmot.trained(model, sets, seed, labels=case.labels)
        seconds = time.monotonic() - since
        made = Path(folder) / "model_int8.tflite"
        made.write_bytes(content)
        (weighed,) = plain.manifest.artifacts
        source, own = running.loaded(plain["float32"].path), running.loaded(made)
        source(np.zeros(source.shape, np.float32))
        chosen = [int(own(row[None])[0].argmax()) for row in sets.judged_x]
        best_ms, ratio = running.latencies(source, own)
    return Trial(
        source=weighed.verification.metric.artifact,
        float32=None,
        int8=float(np.mean(np.array(chosen) == sets.judged_y)),
        samples=len(chosen),
        parameters=weighed.cost.parameters,
        macs=weighed.cost.macs,
        bytes=(weighed.size_bytes, weighed.size_bytes, len(content)),
        latency_ms=(None, best_ms),
        ratio=(None, ratio),
        seconds=seconds,
        machine=machine(),
    )
