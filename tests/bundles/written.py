"""Bundles of networks that need not exist: a description, a signature, and outputs that something made up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import config
from edgekit.bundles import given, golden, rendering, tolerances
from edgekit.bundles.facts import BundleFacts
from edgekit.bundles.facts import of as facts_of
from edgekit.nouns.description import Description
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.model import Cost, Model, Signature, SourceOptions
from edgekit.nouns.target import BuildOptions
from edgekit.processing.described import complete
from edgekit.waist.tensors import to_source


def written(
    out: Path,
    kind: str,
    signature: Signature,
    description: Description,
    run: Callable[[list[Any]], list[Any]],
    *,
    name: str = "wren",
    file: str = "model.tflite",
    target: str = "linux-arm64",
    cost: Cost | None = None,
) -> BundleFacts:
    """Write a bundle with its golden vectors; ``run`` computes the file's outputs of the file's inputs."""
    manifest = _manifest(signature, description, name=name, file=file, target=target, cost=cost)
    facts = facts_of(manifest, manifest.artifacts[0])
    random = np.random.default_rng(0)
    drawn = {
        spec.source_name: np.stack([_drawn(random, spec.source_dtype, spec.source_shape) for _ in range(4)])
        for spec in signature.inputs
    }
    prepared = golden.prepare(facts, signature, manifest.description, given.samples(facts, manifest.description, drawn))
    stored = [run([sample.fed[spec.source_name] for spec in signature.inputs]) for sample in prepared]
    by_name = {spec.source_name: np.stack([row[i] for row in stored]) for i, spec in enumerate(signature.outputs)}
    source = {spec.source_name: to_source(spec, by_name[spec.source_name]) for spec in signature.outputs}
    ran = golden.RanSamples(source, by_name)
    vectors = golden.write(out / golden.FOLDER, facts, manifest.description, prepared, ran)
    context = vectors._asdict() | {
        "tolerances": tolerances.of(facts, by_name, {}, 0), "edgekit": "0", "runtime": "",
        "target": target, "coordinates": _coordinates(target), "bundle": facts, "model": facts.model, "sample_app": False,
    }  # fmt: skip
    rendering.render(kind, context, out)
    rendering.render(f"{kind}_sample", context, out / "sample-app")
    return facts


def told(signature: Signature, description: Description) -> BundleFacts:
    """What templates are told of a network."""
    manifest = _manifest(signature, description)
    return facts_of(manifest, manifest.artifacts[0])


def _manifest(
    signature: Signature,
    description: Description,
    *,
    name: str = "wren",
    file: str = "model.tflite",
    target: str = "linux-arm64",
    cost: Cost | None = None,
) -> Manifest:
    artifact = ArtifactFile(
        file=file, precision="int8", backend="tflite", use="", delegate=None, io=None, files={}, signature=signature,
        cost=cost, verification=None,
    )  # fmt: skip
    return Manifest(
        edgekit="0", tools={}, created_utc="", target=target, artifacts=(artifact,),
        source=Model(name=name, file="net.h5", sha256="", format="keras", bytes=0, signature=signature),
        recipe=BuildOptions(), source_options=SourceOptions(), description=complete(description, signature),
    )  # fmt: skip


def _coordinates(target: str) -> dict[str, str]:
    integration = config.target(target).integration
    return {} if integration is None else {name: one.value for name, one in integration.coordinates.items()}


def _drawn(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Any:
    if dtype.startswith("float"):
        return random.random(shape).astype(dtype)
    return random.integers(0, 2 if dtype == "bool" else 9, shape).astype(dtype)
