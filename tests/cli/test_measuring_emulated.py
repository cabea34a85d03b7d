"""``build --verify-on`` on the real emulator, and what its verdict says of who computed."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit import cli, config
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.profile import DeviceConfig
from tests.drivers import bench_emulated
from tests.drivers.benches import network

NAME = "pi5"
"""A name that could be a board's: the verdict must tell by itself that none computed."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, samples for it, and an emulated core that was added, but not set up."""
    network(tmp_path)
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    config.write_device(NAME, DeviceConfig(kind="emulated", cpu="cortex-a53"))
    return tmp_path


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[None]:
    """The system for it; the cache is that of the test run."""
    with bench_emulated.bench(tmp_path):
        yield


@pytest.mark.study
@pytest.mark.usefixtures("emulator")
def test_a_build_is_verified_on_arm64_kernels_of_a_named_core(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = bench_emulated.places()
    asked = ["build", "classifier.tflite", "-t", "linux-arm64", "--precision", "int8", "--calibration", "inputs.npz"]
    code = cli.run([*asked, "-o", "built", "--verify-on", NAME, "--json"])
    out, screen = capfd.readouterr()
    assert code == 0, screen
    words = f"verified on arm64 kernels of {NAME} (cortex-a53, emulated): bit for bit on"
    assert words in " ".join(screen.split())
    [told] = json.loads(out)["results"][0]["manifest"]["artifacts"][0]["device_verifications"]
    [artifact] = msgspec.json.decode((desk / "built" / "manifest.json").read_bytes(), type=Manifest).artifacts
    [judged] = artifact.device_verifications
    assert msgspec.to_builtins(judged) == told
    assert (judged.device, judged.kind, judged.cpu, judged.kernels) == (NAME, "emulated", "cortex-a53", "arm64")
    assert (judged.verdict, judged.identical, judged.runtime) == ("pass", True, "ai-edge-litert 2.1.2")
    assert judged.samples == 3
    assert bench_emulated.places() <= before


def test_the_core_max_is_refused_before_the_work(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["devices", "add", "em2", "--kind", "emulated", "--cpu", "max"]) == 2
    screen = " ".join(capfd.readouterr().err.split())
    assert "max is no real core" in screen
    assert "fix: name a core that a phone or board has, such as cortex-a76" in screen
    assert "em2" not in config.devices_file().read_text(encoding="utf8")

    config.write_device("em2", DeviceConfig(kind="emulated", cpu="max"))  # as an editor would
    asked = ["build", "classifier.tflite", "-t", "linux-arm64", "--precision", "float32", "-o", "built"]
    assert cli.run([*asked, "--verify-on", "em2"]) == 5
    assert "max is no real core" in " ".join(capfd.readouterr().err.split())
    assert not (desk / "built").exists()
