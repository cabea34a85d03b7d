"""Leaves of another distribution are used by every verb as edgekit's own are; nothing here names them."""

import json
import os
from pathlib import Path

import pytest

from edgekit import cli
from edgekit.engine import fingerprint, registry
from tests import guests, networks

MODULES = {
    "guest_source": '''
import tempfile
from pathlib import Path
import msgspec
from edgekit.sources import Source
from edgekit.sources.tflite import TfliteSource

class Wrapped(Source):
    """TFLite files behind a word."""
    def _bare(self, path):
        bare = Path(tempfile.mkdtemp()) / "bare.tflite"
        bare.write_bytes(path.read_bytes().removeprefix(b"PK\\x03\\x04wrapped"))
        return bare
    def describe(self, path, options):
        return msgspec.structs.replace(TfliteSource().describe(self._bare(path), options), format="wrapped")
    def to_waist(self, path, options, out, samples=None):
        return TfliteSource().to_waist(self._bare(path), options, out, samples)
    def run(self, path, options, inputs, outputs):
        TfliteSource().run(self._bare(path), options, inputs, outputs)
    def first_divergence(self, path, options, waist, inputs, threshold_db):
        return None
''',
    "guest_backend": """
import shutil
from edgekit.backends import Backend
from edgekit.backends.tflite import TFLiteBackend
from edgekit.nouns.building import Built

class Copier(Backend):
    precisions = ("float32",)
    def build(self, job, file, out):
        shutil.copyfile(job.waist, out / file)
        return Built(files=(file,), signature=job.signature, notes=("copied by a guest",))
    def run(self, artifact, signature, inputs, outputs):
        TFLiteBackend().run(artifact, signature, inputs, outputs)
""",
    "guest_driver": '''
import msgspec
from edgekit.drivers.local import Local

class Twin(Local):
    """This host once more, under the names that are configured."""
    def find(self, configured):
        (here, *_) = super().find({})
        return tuple(msgspec.structs.replace(here, id=name, kind="twin", config=own) for name, own in configured.items())
''',
    "guest_meter": """
from edgekit.meters import Meter, on_linux

class Nothing(Meter):
    provenance = "external_meter"
    def look(self, device):
        return ("echo seen",) if on_linux(device) else ()
    def available(self, device, seen):
        return self.refuse(f"it has nothing to read but {seen[0].stdout.strip()}", "buy one")
    def stop(self, probe, sensed):
        raise NotImplementedError
""",
}
POINTS = """
[edgekit.sources]
wrapped = guest_source
[edgekit.backends]
copier = guest_backend
[edgekit.drivers]
twin = guest_driver
[edgekit.meters]
nothing = guest_meter
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of the guest's format, beside the guest as an installer leaves it."""
    place = guests.installed(tmp_path / "site", MODULES, POINTS)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
    desk = tmp_path / "desk"
    (desk / "targets").mkdir(parents=True)
    guests.target(desk / "targets" / "guest.toml", backend="copier", precision="float32")
    (desk / "net.wrapped").write_bytes(b"PK\x03\x04wrapped" + networks.classifier(tmp_path / "net.tflite").read_bytes())
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    for kept in (fingerprint.code, fingerprint.tools, fingerprint.tool_versions):
        kept.cache_clear()
    return desk


def test_a_guests_source_and_backend_build_a_guests_target(desk: Path) -> None:
    assert cli.run(["inspect", "net.wrapped"]) == 0
    assert cli.run(["build", "net.wrapped", "-t", "guest"]) == 0
    manifest = json.loads((desk / "dist/net/guest/manifest.json").read_text())
    assert manifest["source"]["format"] == "wrapped"
    (file,) = manifest["artifacts"]
    assert file["backend"] == "copier"
    steps = {step["leaf"]: step for step in file["lineage"]}
    assert {"sources/wrapped", "backends/copier"} <= set(steps)
    assert steps["sources/wrapped"]["tools"]["guest-leaves"] == "1.5"


def test_a_guests_device_and_meter_are_found(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["devices", "add", "twin", "--kind", "twin", "--cpu", "any"]) == 0
    capfd.readouterr()
    assert cli.run(["devices", "check", "twin", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["kind"] == "twin"
    assert found["meters"]["nothing"] == {"works": False, "reason": "it has nothing to read but seen", "fix": "buy one"}


def test_a_doctor_names_a_guests_leaves_and_who_brings_them(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json"]) == 0
    parts = {(part["kind"], part["name"]): part for part in json.loads(capfd.readouterr().out)["parts"]}
    for kind, name in (("source", "wrapped"), ("device", "twin")):
        assert parts[kind, name]["works"]
        assert parts[kind, name]["detail"] == "from guest-leaves 1.5"
    assert parts["target", "guest"]["works"]


def test_a_guest_of_a_name_like_edgekits_needs_none_of_its_libraries(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = desk.parent / "site/guest_leaves-1.5.dist-info/entry_points.txt"
    points.write_text("[edgekit.drivers]\nonnx = guest_driver\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    registry.require("drivers", "onnx")
