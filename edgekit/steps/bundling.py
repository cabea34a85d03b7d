"""Code for apps, made of the files of a target and of what is known about them."""

import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import __version__ as edgekit_version
from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer, digest_of
from edgekit.errors import Unsupported
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import INTEGRATION, ArtifactFile, Bundle, Manifest
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import Integration, Target
from edgekit.steps.sampling import SAMPLES, content

if TYPE_CHECKING:
    from edgekit.bundles.facts import BundleFacts
    from edgekit.bundles.golden import Prepared
    from edgekit.waist.tensors import Array

SECONDS = 0.5
"""How long other families of kernels are run for the tolerances, each."""


MOST_VALUES = 1 << 23
"""Numbers that a sample's inputs and outputs may have: golden vectors hold eight samples in several forms each."""


class BundleCode(Noun, frozen=True, kw_only=True):
    """A bundle in the cache, all but the network itself: ``models`` are the names that its parts get."""

    name: str
    models: dict[str, str]


class BundleOf(msgspec.Struct, frozen=True):
    """A bundle for a target: which file it carries, with the answers that hold its code and this file."""

    integration: Integration
    artifact: ArtifactFile
    code: Answer[BundleCode]
    model: Answer[Built]

    def write(self, out: Path) -> Bundle:
        """Put it into a folder of results; what the manifest says of it."""
        files = {}
        for name, digest in self.code.files.items():
            files[f"{INTEGRATION}/{name}"] = digest
            _copy(self.code.folder / name, out / INTEGRATION / name)
        for part, name in self.code.result.models.items():
            files[f"{INTEGRATION}/{name}"] = self.model.files[part]
            _copy(self.model.folder / part, out / INTEGRATION / name)
        return Bundle(
            kind=self.integration.kind,
            name=self.code.result.name,
            artifact=self.artifact.file,
            files=dict(sorted(files.items())),
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def bundle(
    session: Session, target: Target, described: Manifest, answers: list[Answer[Built]], samples: Answer[Kept]
) -> BundleOf | None:
    """Code that takes a target's files into an app; None if there are no templates for it.

    Args:
        session: of the run.
        target: whose ``integration`` says which code.
        described: the manifest of what was built for it.
        answers: the files, in its order.
        samples: of the build, of which golden vectors are made.

    Raises:
        Unsupported: this host does not run the file, or it has tensors that no code is written for, or very large ones.
    """
    from edgekit.bundles import facts as told  # noqa: PLC0415  numpy is only needed on a cold path
    from edgekit.bundles import rendering  # noqa: PLC0415

    if target.integration is None or not rendering.has(target.integration.kind):
        return None
    integration, file = target.integration, told.chosen(described)
    signature = described.source.signature
    if (count := sum(math.prod(spec.source_shape) for spec in (*signature.inputs, *signature.outputs))) > MOST_VALUES:
        raise Unsupported(
            f"No code for apps: its golden vectors would hold {count:,} numbers for each sample, over {MOST_VALUES:,}.",
            place=file.file,
            fix="cut the network where its tensors are smaller: --inputs and --outputs",
        )
    model = answers[described.artifacts.index(file)]
    subject = _Subject(integration, described, file, told.of(described, file), model)

    def write(out: Path) -> BundleCode:
        return _write(session, subject, samples, out)

    return BundleOf(integration, file, session.ask(_question(subject, samples), BundleCode, write), model)


class _Subject(msgspec.Struct, frozen=True):
    """What a bundle is about."""

    integration: Integration
    manifest: Manifest
    file: ArtifactFile
    facts: "BundleFacts"
    model: Answer[Built]


def _question(subject: _Subject, samples: Answer[Kept]) -> Question:
    """What decides the code: the file, what is known about it, and the samples that golden vectors are made of."""
    manifest, file = subject.manifest, subject.file
    return Question(
        what="bundle",
        leaf=f"backends/{file.backend}",
        modules=("edgekit.bundles", "edgekit.bundles.rendering", "edgekit.bundles.tolerances", __name__),
        settings={
            "target": manifest.target,
            "integration": msgspec.to_builtins(subject.integration),
            "sample_app": manifest.recipe.sample_app,
            "file": file.file,
        },
        inputs={
            "file": subject.model,
            "facts": Known(digest_of([repr(subject.facts), manifest.description])),
            "samples": content(samples),
        },
        doing=f"writing code for {manifest.target}",
    )


def _write(session: Session, subject: _Subject, samples: Answer[Kept], out: Path) -> BundleCode:
    from edgekit.bundles import given, golden, tolerances  # noqa: PLC0415  numpy, on a cold path
    from edgekit.waist.tensors import arrays  # noqa: PLC0415

    facts, file, description = subject.facts, subject.file, subject.manifest.description
    drawn = arrays(samples.folder / SAMPLES)
    prepared = golden.prepare(facts, file.signature, description, given.samples(facts, description, drawn))
    made, others = _outputs(session, subject, prepared)
    ran = golden.RanSamples(made, golden.raw(file.signature, made))
    allowed = tolerances.of(
        facts,
        ran.stored,
        {family: golden.raw(file.signature, found) for family, found in others.items()},
        operators=0 if file.cost is None else sum(file.cost.operators.values()),
    )
    told = golden.write(out / golden.FOLDER, facts, description, prepared, ran)
    (out / golden.FOLDER / golden.DOCUMENT).write_bytes(golden.document(facts, told, allowed, file.sha256))
    return _render(subject, told._asdict() | {"tolerances": allowed}, out)


def _render(subject: _Subject, golden: dict[str, Any], out: Path) -> BundleCode:
    """Write the code; what it is told of golden vectors is ``golden``."""
    from edgekit.bundles import rendering  # noqa: PLC0415  on a cold path

    facts, manifest, kind = subject.facts, subject.manifest, subject.integration.kind
    told = golden | {
        "edgekit": edgekit_version,
        "runtime": manifest.tools.get("ai-edge-litert", ""),
        "target": manifest.target,
        "coordinates": {name: one.value for name, one in subject.integration.coordinates.items()},
        "bundle": facts,
        "model": facts.model,
        "sample_app": manifest.recipe.sample_app,
    }
    rendering.render(kind, told, out)
    if manifest.recipe.sample_app and rendering.has(f"{kind}_sample"):
        rendering.render(f"{kind}_sample", told, out / "sample-app")
    stem = facts.variant.asset.rpartition(".")[0]
    own = Path(facts.variant.file).stem  # a compiled part is called after it, too
    models = {part: f"{rendering.MODEL_FOLDERS[kind]}{stem}{part.removeprefix(own)}" for part in subject.model.files}
    return BundleCode(name=facts.model.pascal, models=models)


def _outputs(
    session: Session, subject: _Subject, prepared: "list[Prepared]"
) -> "tuple[dict[str, Array], dict[str, dict[str, Array]]]":
    """What the file makes of the samples, in the source's terms; and what other kernels make of them."""
    import numpy as np  # noqa: PLC0415  on a cold path

    from edgekit.waist import tensors  # noqa: PLC0415

    file = subject.file
    with tempfile.TemporaryDirectory(prefix="edgekit-") as place:
        folder = Path(place)
        inputs = {name: np.stack([sample.source[name] for sample in prepared]) for name in prepared[0].source}
        given = tensors.write_npz(folder / "inputs.npz", inputs)
        backend, path = session.backend(file.backend), subject.model.folder / file.file
        backend.run(path, file.signature, given, folder / "outputs.npz")
        (folder / "others").mkdir()
        backend.run_otherwise(path, file.signature, given, folder / "others", SECONDS)
        others = {one.stem: _held(tensors.arrays(one)) for one in sorted((folder / "others").glob("*.npz"))}
        return _held(tensors.arrays(folder / "outputs.npz")), others


def _held(found: "dict[str, Array]") -> "dict[str, Array]":
    """Arrays in memory: their files go."""
    return {name: values.copy() for name, values in found.items()}


def attempt(
    session: Session, target: Target, described: Manifest, answers: list[Answer[Built]], samples: Answer[Kept]
) -> tuple[Manifest, BundleOf | None]:
    """The same as `bundle`, with the manifest; if there can be no code, the manifest says why."""
    try:
        return described, bundle(session, target, described, answers, samples)
    except Unsupported as error:
        return _without(described, error), None


def _without(described: Manifest, error: Unsupported) -> Manifest:
    """A manifest that says why there is no code for apps."""
    return msgspec.structs.replace(described, unavailable=described.unavailable | {f"{INTEGRATION}/": error.problem})
