"""The verbs that measure, on every kind of device: from devices.toml to the profile, and nothing left there."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import cli, config
from edgekit.measure.protocol import QUICK
from edgekit.measure.statistics import FEWEST_BLOCKS
from tests.drivers.benches import LEAVES, Bench, bench_of, network

pytestmark = pytest.mark.slow


class Desk:
    """A folder with an artifact and its inputs, and a device on the bench."""

    def __init__(self, kind: str, bench: Bench, folder: Path) -> None:
        self.kind, self.bench = kind, bench
        self.artifact, self.inputs = network(folder)
        if bench.artifact is not None and bench.inputs is not None:
            self.artifact, self.inputs = bench.artifact, bench.inputs


FAR = {"adb", "ssh"}
"""Kinds that a study measures through the verbs: tests of their own drivers do most of that as well."""

KINDS = [pytest.param(*leaf.values, marks=pytest.mark.study) if FAR & {*leaf.values} else leaf for leaf in LEAVES]


@pytest.fixture(params=KINDS)
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    found = bench_of(request.param)
    assert found is not None
    folder = tmp_path_factory.mktemp("desk")
    with found(tmp_path_factory.mktemp("bench")) as bench:
        monkeypatch.setenv("EDGEKIT_CONFIG", str(folder / "config"))
        monkeypatch.setenv("COLUMNS", "100")
        short = msgspec.structs.replace(QUICK.run, warm_up_s=0.01, min_s=0.05)
        few = msgspec.structs.replace(QUICK.protocol, blocks=FEWEST_BLOCKS)
        monkeypatch.setattr("edgekit.cli.measuring.QUICK", replace(QUICK, run=short, protocol=few))
        monkeypatch.chdir(folder)
        for name, device in bench.configured.items():
            config.write_device(name, device)
        yield Desk(request.param, bench, folder)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    capfd.readouterr()
    code = cli.run([*arguments, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out), err


def test_a_device_is_listed_checked_and_measured(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    before, device = desk.bench.left(), desk.bench.id
    code, listed, _ = run(capfd, "devices")
    assert code == 0
    assert device in {row["id"] for row in listed["devices"]}
    code, checked, screen = run(capfd, "devices", "check", device)
    assert code == 0
    assert checked["usable"]
    assert device in screen
    code, document, screen = run(capfd, "profile", str(desk.artifact), "--device", device, "--quick", "-o", "profiles")
    assert code == 0, screen
    [profile] = document["profiles"]
    assert Path(profile["file"]).is_file()
    assert (profile["device"]["id"], profile["device"]["kind"]) == (device, desk.kind)
    assert profile["runtime"]
    if checked["times"]:
        assert 6 <= profile["latency"]["blocks"] <= 10
        assert profile["latency"]["median_ms"]["value"] > 0
    else:
        assert profile["latency"] is None
        assert "emulation" in profile["unavailable"]["latency"]
        assert "median" not in {key for key, value in profile.items() if value}
    if device != "local":
        judged = profile["verification"]
        assert judged is not None, profile["unavailable"]
        assert judged["verdict"] == "pass"
        assert re.search(rf"verified on (\S+ kernels of )?{device}", " ".join(screen.split()))
    assert desk.bench.left() <= before  # what dead runs left there before may be gone too
