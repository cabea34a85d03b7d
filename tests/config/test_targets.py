from pathlib import Path
from urllib.parse import urlparse

import pytest

from edgekit import config
from edgekit.engine import registry
from tests.backends.test_backend_conformance import precisions

FOLDER = Path(__file__).resolve().parents[2] / "targets"
FILES = sorted(FOLDER.glob("*.toml"))
ISSUED = {"android", "ios", "linux-arm64", "edgetpu", "openvino-cpu", "openvino-npu"}

of_each_target = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def test_the_targets_of_the_main_job_are_there() -> None:
    assert {file.stem for file in FILES} >= ISSUED


@of_each_target
def test_it_loads_under_its_file_name(file: Path) -> None:
    assert config.target(str(file)).name == file.stem


@of_each_target
def test_every_number_has_a_source_and_a_unit(file: Path) -> None:
    target = config.target(str(file))
    assert target.facts
    for name, fact in target.facts.items():
        address = urlparse(fact.source)
        assert address.scheme == "https", name
        assert "." in address.netloc, name
        assert fact.unit, name


@of_each_target
def test_it_is_documented(file: Path) -> None:
    target = config.target(str(file))
    assert urlparse(target.documentation).scheme == "https"
    assert target.title
    assert target.summary.endswith(".")


@of_each_target
def test_every_variant_says_when_to_use_it_and_has_a_backend(file: Path) -> None:
    for variant in config.target(str(file)).variants:
        assert variant.use.endswith("."), variant.file
        assert variant.precision.replace("-", "_") in variant.file or variant.backend != "tflite"
        assert variant.backend in registry.names("backends")


def test_android_serves_cpu_and_gpu() -> None:
    delegates = {variant.precision: variant.delegate for variant in config.target("android").variants}
    assert delegates == {"int8": "xnnpack", "float16": "gpu"}


def test_ios_has_names_of_its_own() -> None:
    files = {variant.file for variant in config.target("ios").variants}
    assert files.isdisjoint({variant.file for variant in config.target("android").variants})


def test_the_edge_tpu_is_full_integer() -> None:
    (variant,) = config.target("edgetpu").variants
    assert (variant.backend, variant.precision, variant.io) == ("edgetpu", "int8", "int8")


@of_each_target
def test_what_it_offers_is_what_its_backend_builds(file: Path) -> None:
    target = config.target(str(file))
    for variant in target.variants:
        assert target.precisions == precisions(variant.backend)
        assert variant.precision in target.precisions
        assert variant.io is None or variant.io in target.boundaries
