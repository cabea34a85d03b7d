"""The command that builds a folder of results again, as far as its options are recorded."""

import shlex
from collections.abc import Iterator

import msgspec

from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import SourceOptions

DESCRIBED = "# beside an edgekit.toml with the same [[input]] and [[output]] tables (description, in every setting)\n"


def command(manifest: Manifest) -> str:
    """One line for a shell, behind a comment if the build had a description, which flags cannot say."""
    words = ["edgekit", "build", manifest.source.file, "--target", manifest.target]
    words += [*_source(manifest.source_options), *_recipe(manifest), *_data(manifest)]
    return ("" if manifest.description.empty else DESCRIBED) + shlex.join(words)


def _source(said: SourceOptions) -> Iterator[str]:
    for name, sizes in said.shapes.items():
        yield from ("--shape", f"{name}={','.join(map(str, sizes))}")
    for name, values in said.constants.items():
        yield from ("--constant", f"{name}={','.join(str(value).lower() for value in values)}")
    for option, names in {"--inputs": said.inputs, "--outputs": said.outputs}.items():
        yield from (option, ",".join(names)) if names else ()
    yield from ("--custom-objects", said.custom_objects) if said.custom_objects else ()
    yield from _flags({"--keep-layout": said.keep_layout, "--allow-unsafe": said.allow_unsafe})


def _recipe(manifest: Manifest) -> Iterator[str]:
    said, usual = manifest.recipe, type(manifest.recipe)()
    for key in ("recipe", "precision", "io", "calibration_samples", "seed", "effort"):
        if getattr(said, key) != getattr(usual, key):
            yield from (f"--{key.replace('_', '-')}", str(getattr(said, key)))
    for key, value in msgspec.to_builtins(said.quantization).items():
        if value != getattr(usual.quantization, key):
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield from ("--set", f"{key}={text.lower() if isinstance(value, bool) else text}")
    yield from ("--time-limit", f"{said.time_limit_s:g}s") if said.time_limit_s is not None else ()
    yield from _flags(
        {
            "--require-compiled": said.require_compiled,
            "--embed-preprocessing": said.embed_preprocessing,
            "--no-integration": not said.integration,
            "--sample-app": said.sample_app,
        }
    )


def _data(manifest: Manifest) -> Iterator[str]:
    roles = {"--data": manifest.training, "--calibration": manifest.calibration, "--eval": manifest.evaluation}
    for option, data in roles.items():
        yield from (option, data.origin) if data is not None else ()
    judged = [file.verification for file in manifest.artifacts if file.verification is not None]
    metric = next((one.metric for one in judged if one.metric), None)
    yield from ("--metric", metric.name) if metric is not None else ()
    if judged:
        demands = {
            "--max-drop": judged[0].max_drop,
            "--min-agreement": judged[0].min_agreement,
            "--min-sqnr": judged[0].min_sqnr_db,
        }
        for option, least in demands.items():
            yield from (option, f"{least:g}") if least is not None else ()


def _flags(said: dict[str, bool]) -> Iterator[str]:
    return (flag for flag, on in said.items() if on)
