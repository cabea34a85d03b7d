"""Folders as a build and `edgekit profile` leave them, with figures that a test chooses."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.measure import statistics
from edgekit.nouns.base import FileDigest
from edgekit.nouns.manifest import FILE_NAME, ArtifactFile, DataSet, Manifest
from edgekit.nouns.model import Model, Signature, SourceOptions, TensorSpec
from edgekit.nouns.profile import Block, Device, Distribution, Energy, Estimate, Memory, Profile, Protocol, Run
from edgekit.nouns.target import BuildOptions
from edgekit.nouns.verification import Agreement, Coverage, TaskMetric, Verification

PI = Device(id="pi5", kind="ssh", title="Raspberry Pi 5", cpu="Cortex-A76", os="Linux", runs=(".tflite",))


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(
        name=name, shape=shape, dtype="float32", source_name=name, source_shape=shape, source_dtype="float32"
    )


def artifact(content: bytes = b"network", name: str = "model_int8.tflite", **more: Any) -> ArtifactFile:
    """A file; ``more`` are figures of its verification."""
    known: dict[str, Any] = {"drop": 0.004, "value": 0.91, "agreement": 0.98, "sqnr_db": 31.0, "samples": 1000} | more
    verification = Verification(
        samples=known["samples"], samples_origin="test.npz", samples_use="evaluation", threshold_db=15.0, verdict="pass",
        outputs=(
            Agreement(
                output="y", identical=False, sqnr_db=known["sqnr_db"], max_abs_error=0.1, cosine=0.99,
                top1_agreement=known["agreement"],
            ),
        ),
        sqnr_db=known["sqnr_db"],
        metric=TaskMetric(
            name=known.get("metric", "top1"), samples=known["samples"], source=known["value"] + known["drop"],
            artifact=known["value"], drop=known["drop"],
        ),
        coverage=Coverage(device="EdgeTPU", operators=0.9, macs=known["mapped"]) if "mapped" in known else None,
    )  # fmt: skip
    return ArtifactFile(
        file=name, precision="int8", backend="tflite", use="always", delegate="xnnpack", io=None, cost=None,
        files={name: FileDigest(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))},
        signature=Signature(inputs=(spec("x", 1, 4),), outputs=(spec("y", 1, 3),)), verification=verification,
    )  # fmt: skip


def profile(
    file: ArtifactFile, latency_ms: Sequence[float], *, device: Device = PI, at: str = "2026-01-01T00:00:00+00:00",
    energy_mj: Sequence[float] = (), peak_bytes: int | None = None, **more: Any,
) -> Profile:  # fmt: skip
    """What was measured of it, with a median for each block."""
    latency_ms, energy_mj = list(map(float, latency_ms)), list(map(float, energy_mj))  # whatever numbers they are
    blocks = tuple(
        Block(
            index=i,
            latency=Distribution(runs=100, mean_ms=ms, min_ms=ms, max_ms=ms, median_ms=ms),
            memory=Memory(peak_bytes=peak_bytes),
        )
        for i, ms in enumerate(latency_ms)
    )
    spent = statistics.estimate_mean(energy_mj)
    energy = Energy(
        provenance="external_meter", meter="joulescope", rails=(), gross_mj=spent, net_mj=Estimate(value=None),
        average_power_w=None, idle_power_w=None, blocks_mj=tuple(energy_mj),
    )  # fmt: skip
    known: dict[str, Any] = {"run": Run(), "protocol": Protocol(name="full", blocks=len(blocks)), "session": at} | more
    return Profile(
        edgekit="0", created_utc=at, artifact=file.file, artifact_sha256=file.sha256, device=device, runtime="litert 2",
        blocks=blocks, memory=Memory(peak_bytes=peak_bytes), energy=energy if energy_mj else None,
        latency=statistics.latency([np.array([ms]) for ms in latency_ms], [None], [None]), **known,
    )  # fmt: skip


def manifest(
    *files: ArtifactFile, profiles: Sequence[Profile] = (), target: str = "linux-arm64", model: str = "net"
) -> Manifest:
    """All that is known of a folder."""
    signature = Signature(inputs=(spec("x", 1, 4),), outputs=(spec("y", 1, 3),))
    source = Model(name=model, file=f"{model}.onnx", sha256="0", format="onnx", bytes=1, signature=signature)
    return Manifest(
        edgekit="0", tools={}, created_utc="2026-01-01T00:00:00+00:00", source=source, recipe=BuildOptions(),
        source_options=SourceOptions(), target=target, artifacts=files, profiles=tuple(profiles),
        evaluation=DataSet(origin="test.npz", sha256="data", samples=1000, used=1000),
    )  # fmt: skip


def folder(place: Path, described: Manifest, content: bytes = b"network") -> Path:
    """The folder itself, with ``content`` in each of its files."""
    place.mkdir(parents=True, exist_ok=True)
    (place / FILE_NAME).write_bytes(msgspec.json.encode(described))
    for file in described.artifacts:
        for name in file.files:
            (place / name).write_bytes(content)
    return place
