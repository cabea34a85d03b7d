"""The command that builds a folder of results again, as far as its options are recorded."""

import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from edgekit.config import recipes
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.recipe import name_of
from edgekit.nouns.target import BuildOptions

DESCRIBED = "# beside an edgekit.toml with the same [[input]] and [[output]] tables (description, in every setting)\n"

OWN = "# with a recipe {}.toml of the same [[passes]] (passes, in every setting)\n"


def command(manifest: Manifest) -> str:
    """One line for a shell, behind comments on what flags cannot say: a description, a recipe that is not built in."""
    words = ["edgekit", "build", manifest.source.file, "--target", manifest.target]
    words += [*_source(manifest.source_options), *_recipe(manifest), *_data(manifest)]
    told = "" if manifest.description.empty else DESCRIBED
    told += "" if _built_in(manifest.recipe) else OWN.format(manifest.recipe.recipe)
    return told + shlex.join(words)


def _built_in(said: BuildOptions) -> bool:
    return said.recipe in recipes.recipe_names()


def _source(said: SourceOptions) -> Iterator[str]:
    for name, sizes in said.shapes.items():
        yield from ("--shape", f"{name}={_text(sizes)}")
    for name, values in said.constants.items():
        yield from ("--constant", f"{name}={_text(values)}")
    for option, names in {"--inputs": said.inputs, "--outputs": said.outputs}.items():
        yield from (option, _text(names)) if names else ()
    yield from ("--custom-objects", said.custom_objects) if said.custom_objects else ()
    yield from _flags({"--keep-layout": said.keep_layout, "--allow-unsafe": said.allow_unsafe})


def _recipe(manifest: Manifest) -> Iterator[str]:
    said, usual = manifest.recipe, BuildOptions()
    if said.recipe != usual.recipe:
        yield from ("--recipe", said.recipe if _built_in(said) else f"{said.recipe}.toml")
    for key in ("precision", "io", "calibration_samples", "seed", "effort"):
        if getattr(said, key) != getattr(usual, key):
            yield from (f"--{key.replace('_', '-')}", str(getattr(said, key)))
    yield from _changed("", said.quantization, usual.quantization)
    yield from _passes(said)
    yield from ("--time-limit", f"{said.time_limit_s:g}s") if said.time_limit_s is not None else ()
    yield from _flags(
        {
            "--require-compiled": said.require_compiled,
            "--embed-preprocessing": said.embed_preprocessing,
            "--no-integration": not said.integration,
            "--sample-app": said.sample_app,
        }
    )


def _passes(said: BuildOptions) -> Iterator[str]:
    """What goes before the settings of a recipe that is built in; those of another stand in its file."""
    if _built_in(said):
        known = {name_of(one): one for one in recipes.recipe(said.recipe).passes}
        for one in {name_of(one): one for one in said.passes}.values():
            yield from _changed(f"{name_of(one)}.", one, known.get(name_of(one), one))


def _changed(prefix: str, said: msgspec.Struct, usual: msgspec.Struct) -> Iterator[str]:
    for key, value in msgspec.structs.asdict(said).items():
        if value != getattr(usual, key):
            yield from ("--set", f"{prefix}{key}={_text(value)}")


def _text(value: Any) -> str:
    """A value as flags take it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


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
