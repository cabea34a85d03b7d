"""What a report says: nouns as plain tables, each section with its rows or with the reason why there are none."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.nouns.description import ImageInput
from edgekit.nouns.manifest import INTEGRATION, ArtifactFile, DataSet, Manifest
from edgekit.nouns.model import Signature
from edgekit.nouns.profile import Energy, Profile
from edgekit.nouns.recipe import name_of
from edgekit.report.html import again, pictures
from edgekit.report.profiles import figure, how, milliseconds
from edgekit.report.screens import agreement, count, dims, scores, size, sqnr

if TYPE_CHECKING:
    from edgekit.report.html import Explained

SEVERITY = ("fail", "miss", "warn", "unverified", "pass")

VERDICTS = {
    "pass": "It computes what its source computes.",
    "warn": "It can be used, but look at the reason.",
    "miss": "It misses a budget that was stated.",
    "fail": "It is of no use.",
    "unverified": "It was not verified.",
}

OPERATORS = 20
"""Most operators of a profile that are listed."""


def title(views: Sequence["Explained"]) -> str:
    """What the page is about."""
    return ", ".join(dict.fromkeys(f"{view.manifest.source.file} for {view.manifest.target}" for view in views))


def verdict(file: ArtifactFile) -> str:
    """The verdict on one file, that of devices included."""
    if any(found.verdict == "fail" for found in file.device_verifications):
        return "fail"
    return "unverified" if file.verification is None else file.verification.verdict


def worst(manifest: Manifest) -> str:
    """The worst verdict of a folder."""
    return min((verdict(file) for file in manifest.artifacts), key=SEVERITY.index, default="unverified")


def rows(views: Sequence["Explained"]) -> list[dict[str, Any]]:
    """A row for each file of all folders: what the first table holds."""
    return [_row(view, file) for view in views for file in view.manifest.artifacts]


def _row(view: "Explained", file: ArtifactFile) -> dict[str, Any]:
    judged = file.verification
    metric = None if judged is None else judged.metric
    newest = view.manifest.newest(file).items()
    times = [f"{figure(p.latency.median_ms)} on {device}" for device, p in newest if p.latency is not None]
    return {
        "target": view.manifest.target,
        "file": file.file,
        "precision": file.precision,
        "size": size(file.size_bytes),
        "sqnr": "" if judged is None else sqnr(judged),
        "agrees": "" if judged is None else agreement(judged),
        "metric": "" if metric is None else f"{metric.name}: {scores(metric)}",
        "drop": "" if metric is None else f"{metric.drop:+.4f}",
        "latency": "; ".join(times) or "not measured",
        "verdict": verdict(file),
        "reason": "" if judged is None else judged.reason,
    }


def artifact(view: "Explained", number: int) -> dict[str, Any]:
    """Everything about one folder."""
    manifest = view.manifest
    return {
        "id": f"artifact-{number + 1}",
        "title": f"{manifest.source.file} for {manifest.target}",
        "verdict": worst(manifest),
        "meaning": VERDICTS[worst(manifest)],
        "remarks": _remarks(manifest),
        "source": _source(manifest),
        "signature": _signature(manifest.source.signature),
        "passes": _passes(manifest),
        "errors": [(found.file, pictures.errors(found)) for found in view.diagnoses],
        "operators": [_operators(file) for file in manifest.artifacts],
        "profiles": [
            _profile(view, file, profile) for file in manifest.artifacts for profile in manifest.newest(file).values()
        ],
        "data": [
            (name, _data(data))
            for name, data in (
                ("calibration", manifest.calibration),
                ("evaluation", manifest.evaluation),
                ("training", manifest.training),
            )
            if data is not None
        ],
        "code": _code(manifest),
        "inputs": _inputs(view),
        "no_samples": view.no_samples or "no calibration data was used",
        "settings": _settings(manifest),
        "command": again.command(manifest),
        "left_out": list(manifest.unavailable.items()),
    }


def _code(manifest: Manifest) -> str:
    """What takes a file into an app, and where to begin; "" if there is nothing."""
    made = manifest.integration
    if made is None:
        return ""
    return (
        f"{INTEGRATION}/ takes {made.artifact} into an app ({made.kind}, where it is called {made.name}), with a test "
        f"that proves its numbers there: begin with {INTEGRATION}/README.md."
    )


def _remarks(manifest: Manifest) -> list[str]:
    told = [*manifest.source.warnings]
    for file in manifest.artifacts:
        judged = file.verification
        lines = [*file.warnings, *file.notes, *(() if judged is None else judged.remarks)]
        lines += [f"{what} unavailable: {why}" for what, why in file.unavailable.items()]
        told += [f"{file.file}: {line}" for line in lines]
    return list(dict.fromkeys(told))


def _source(manifest: Manifest) -> list[tuple[str, str]]:
    source = manifest.source
    known = [
        ("file", source.file),
        ("format", source.format + (f", opset {source.opset}" if source.opset else "")),
        ("producer", source.producer or "not recorded"),
        ("size", size(source.bytes)),
        ("SHA-256", source.sha256),
        ("built", f"{manifest.created_utc} by edgekit {manifest.edgekit}"),
    ]
    cost = next((file.cost for file in manifest.artifacts if file.cost is not None), None)
    if cost is not None:
        known += [
            ("parameters", count(cost.parameters)),
            ("multiply-accumulates", count(cost.macs)),
            ("peak activations in float32", size(cost.peak_activation_bytes)),
        ]
    return known


def _signature(signature: Signature) -> list[tuple[str, ...]]:
    return [
        (kind, spec.source_name, dims(spec.source_shape), spec.source_dtype)
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs))
        for spec in specs
    ]


def _passes(manifest: Manifest) -> list[dict[str, Any]]:
    """What each pass of the recipe cost, and what changed by it."""
    made = []
    for report in manifest.passes:
        before, after = report.before, report.after
        changes = [
            ("parameters", before.parameters, after.parameters),
            ("multiply-accumulates", before.macs, after.macs),
            ("bytes, compressed", before.gzip_bytes, after.gzip_bytes),
            ("latency here, ms", before.latency_ms, after.latency_ms),
            ("share of zeros", before.zeros, after.zeros),
            ("SQNR, dB", before.sqnr_db, after.sqnr_db),
            ("agreement", before.agreement, after.agreement),
            ("metric", before.metric, after.metric),
        ]
        made.append(
            {
                "name": name_of(report.settings),
                "seconds": f"{report.seconds:,.1f} s",
                "changes": [(what, _number(a), _number(b)) for what, a, b in changes if a is not None or b is not None],
                "notes": [*report.warnings, *report.notes],
            }
        )
    return made


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _operators(file: ArtifactFile) -> dict[str, Any]:
    where = Counter(placement.runs_on for placement in file.placements)
    kinds = {} if file.cost is None else file.cost.operators
    stranded = [p for p in file.placements if p.runs_on == "CPU" and p.status and len(where) > 1]
    return {
        "file": file.file,
        "kinds": sorted(kinds.items(), key=lambda item: (-item[1], item[0])),
        "where": where.most_common(),
        "stranded": [(p.operator, p.name, p.status) for p in stranded[:OPERATORS]],
        "reason": file.unavailable.get("cost", "its operators are not known"),
    }


def _profile(view: "Explained", file: ArtifactFile, profile: Profile) -> dict[str, Any]:
    latency, memory = profile.latency, profile.memory
    names = ("init", "first", "median", "p90", "p99", "mean")
    total = sum(row.mean_ms for row in profile.operators) or 1.0
    ranked = sorted(profile.operators, key=lambda row: -row.mean_ms)[:OPERATORS]
    return {
        "file": file.file,
        "device": f"{profile.device.id}, {profile.device.title}",
        "when": profile.created_utc,
        "how": how(profile),
        "times": [] if latency is None else [(name, figure(getattr(latency, f"{name}_ms"))) for name in names],
        "memory": "unknown" if memory.peak_bytes is None else size(memory.peak_bytes),
        "energy": _energy(profile.energy),
        "no_energy": profile.unavailable.get("energy", "it was not measured"),
        "pictures": list(pictures.latency(profile, view.raw.get(profile.raw or "", {})).values()),
        "operators": [(r.name, r.kind, milliseconds(r.mean_ms), f"{r.mean_ms / total:.1%}", r.runs_on) for r in ranked],
        "no_operators": profile.unavailable.get("operators", "edgekit profile --ops times them"),
        "flags": list(profile.flags),
    }


def _energy(found: Energy | None) -> str:
    """With what it is, and whose figure it is; "" if there is none."""
    if found is None or found.best_mj.value is None:
        return ""
    return f"{found.best_mj.value:.3g} mJ {found.kind}, {found.provenance} by {found.meter}"


def _data(data: DataSet) -> dict[str, Any]:
    return {
        "origin": data.origin,
        "used": f"{data.used:,} of {data.samples:,} samples",
        "warnings": list(data.warnings),
        "notes": list(data.notes),
    }


def _inputs(view: "Explained") -> list[dict[str, Any]]:
    """Ranges of calibration samples, and contact sheets of those that are pictures."""
    described = {found.name: found for found in view.manifest.description.inputs if isinstance(found, ImageInput)}
    only = next(iter(described.values())) if len(described) == 1 else None
    made = []
    for spec in view.manifest.source.signature.inputs:
        values = view.samples.get(spec.source_name)
        if values is None or not len(values):
            continue
        image = described.get(spec.source_name) or (only if only is not None and not only.name else None)
        channels = "RGB" if image is None or image.channels is None else image.channels
        made.append(
            {
                "name": spec.source_name,
                "ranges": pictures.ranges(spec.source_name, values),
                "sheet": pictures.sheet(spec, values, channels),
                "channels": channels,
            }
        )
    return made


def _settings(manifest: Manifest) -> list[tuple[str, str]]:
    """Every setting of a build, defaults filled in."""
    plain = {
        **msgspec.to_builtins(manifest.recipe),
        "source": msgspec.to_builtins(manifest.source_options),
        "description": msgspec.to_builtins(manifest.description),
        "tools": dict(manifest.tools),
    }
    return [(name, _setting(value)) for name, value in plain.items()]


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
