"""How profiles, comparisons and devices look; ``pytest --update-golden`` writes the screens anew."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType

from edgekit.measure import flags
from edgekit.measure.assembly import Measured, of_several
from edgekit.measure.estimate import modelled
from edgekit.nouns.model import Cost
from edgekit.nouns.profile import (
    Block,
    Comparison,
    Delegation,
    Device,
    DeviceVerification,
    Distribution,
    Energy,
    Estimate,
    Latency,
    Memory,
    OperatorTime,
    Profile,
    Protocol,
    Run,
    State,
)
from edgekit.nouns.sensing import Availability, Probe
from edgekit.report import profiles as screens

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "profiles"

PHONE = Device(
    id="8A2X0Y1Z", kind="adb", title="Pixel 6 (oriole)", os="Android 14, API 34", cpu="Google Tensor", abi="arm64-v8a",
    cores=8, runs=(".tflite",), runtimes={"benchmark_model": "classic"}, delegates=("xnnpack", "gpu"),
    state=State(utc="2026-01-01T00:00:00+00:00", temperature_c=31.0, battery_percent=80.0, charging=True),
)  # fmt: skip
OFFLINE = Device(
    id="pi5", kind="ssh", title="pi5.local", usable=False, problems=("pi5.local does not answer on port 22.",)
)


def estimate(value: float | None, spread: float = 0.02, reason: str = "") -> Estimate:
    if value is None:
        return Estimate(value=None, reason=reason)
    return Estimate(value=value, low=value * (1 - spread), high=value * (1 + spread), n=10)


FULL = Profile(
    edgekit="0", created_utc="2026-01-01T00:00:00+00:00", session="s", artifact="model_int8.tflite",
    artifact_sha256="0" * 64, device=PHONE, runtime="benchmark_model classic", run=Run(threads=4),
    protocol=Protocol(name="full", blocks=10, order="A" * 10), blocks=(), raw="r.npz",
    latency=Latency(
        blocks=8, runs=12_345, seconds=61.2, init_ms=estimate(17.2), first_ms=estimate(3.5), median_ms=estimate(0.0982),
        p90_ms=estimate(1.05), p99_ms=estimate(None, reason="n too small: 120 inferences, p99 needs 368"),
        mean_ms=estimate(1.0),
    ),
    memory=Memory(peak_bytes=12_900_000, loaded_bytes=4_200_000),
    energy=Energy(
        provenance="measured_rail", meter="odpm", rails=("S2M_VDD_CPUCL2",), gross_mj=estimate(2.4), net_mj=estimate(1.9),
        average_power_w=2.1, idle_power_w=0.4, notes=("gain unknown: ratios only",),
    ),
    operators=tuple(
        OperatorTime(name=f"{i}: conv", kind="CONV_2D" if i % 2 else "ADD", mean_ms=1.0 / (i + 1)) for i in range(20)
    ),
    delegation=Delegation(delegate="gpu", share="part", partitions=3, words="on the CPU: 2 SOFTMAX"),
    verification=DeviceVerification(
        device="8A2X0Y1Z", kind="adb", cpu="Google Tensor", runtime="classic", samples=4, identical=True, sqnr_db=None,
        max_abs_error=0.0, verdict="pass",
    ),
    flags=("the device throttled (thermal status 2) in blocks 4–5; they are not counted",),
)  # fmt: skip

BARE = msgspec.structs.replace(
    FULL, artifact="model_float16.tflite", latency=None, memory=Memory(), energy=None, operators=(), delegation=None,
    verification=msgspec.structs.replace(
        FULL.verification, kernels="arm64", identical=False, sqnr_db=-1.0, verdict="fail",
        first_difference="operator 3 CONV_2D, tensor c",
    ),
    flags=(), unavailable={"latency": "times under emulation mean nothing", "energy": "not asked for (--energy)"},
)  # fmt: skip

ESTIMATED = msgspec.structs.replace(
    FULL, operators=(), flags=(), delegation=None, verification=None,
    energy=modelled(
        Cost(bytes=96_000, parameters=78_000, macs=12_500_000, peak_activation_bytes=49_152, operators={}), "int8"
    ),
)  # fmt: skip

SHORT = msgspec.structs.replace(
    FULL, artifact="ad01_int8.tflite", device=Device(id="local", kind="local", title="this host"), energy=None, operators=(),
    delegation=None, verification=None, flags=(flags.shared_readings(8),),
    latency=of_several(
        FULL.latency,
        [Block(latency=Distribution(runs=96_000, inferences_per_reading=8, mean_ms=0.013, min_ms=0.01, max_ms=1))],
    ),
    memory=Memory(peak_bytes=2_900_000, steady_bytes=2_600_000, loaded_bytes=2_200_000, arena_bytes=1_500),
)  # fmt: skip

SCREENS: dict[str, RenderableType] = {
    "short": screens.profiles([Measured(SHORT, Path("profiles/d.json"))]),
    "profile": screens.profiles([Measured(FULL, Path("profiles/a.json"))]),
    "two_profiles": screens.profiles([Measured(p, Path("profiles/b.json")) for p in (FULL, BARE)]),
    "estimated": screens.profiles([Measured(ESTIMATED, Path("profiles/c.json"))]),
    "faster": screens.comparison(
        Comparison(ratio=0.8, low=0.78, high=0.83, pairs=10, verdict="faster", reason="the 95 % interval lies below 1"),
        "a.tflite", "b.tflite", "this host",
    ),
    "too_few": screens.comparison(
        Comparison(ratio=None, pairs=0, reason="there are no pairs"), "a.tflite", "b.tflite", "this host"
    ),
    "devices": screens.devices([(PHONE, {"odpm": Availability(probe=Probe(meter="odpm"))}), (OFFLINE, {})]),
    "device": screens.device(
        PHONE,
        {
            "odpm": Availability(probe=Probe(meter="odpm")),
            "battery": Availability(reason="the phone is charging", fix="unplug it, and use adb over Wi-Fi"),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_screen(name: str, request: pytest.FixtureRequest) -> None:
    console = Console(width=90, record=True, file=Path("/dev/null").open("w"), highlight=False, markup=False)  # noqa: SIM115
    console.print(SCREENS[name])
    console.file.close()
    seen = "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(seen, encoding="utf8")
    assert seen == golden.read_text(encoding="utf8")


def test_there_is_no_golden_without_its_screen() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCREENS)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kernels": "arm64"}, "verified on arm64 kernels of 8A2X0Y1Z (Google Tensor): bit for bit on 4 samples"),
        (
            {"device": "arm64-emulated", "kind": "emulated", "cpu": "cortex-a76", "kernels": "arm64"},
            "verified on arm64 kernels of arm64-emulated (cortex-a76, emulated): bit for bit on 4 samples",
        ),
        ({}, "verified on 8A2X0Y1Z (Google Tensor): bit for bit on 4 samples"),
        (
            {"cpu": None, "kernels": "arm64", "identical": False, "sqnr_db": 82.04},
            "verified on arm64 kernels of 8A2X0Y1Z: 82.0 dB on 4 samples",
        ),
        ({"kind": "", "cpu": None}, "verified on 8A2X0Y1Z: bit for bit on 4 samples"),  # an older one
    ],
)
def test_a_verdict_says_who_computed(fields: dict[str, Any], words: str) -> None:
    assert FULL.verification is not None
    assert screens.verification(msgspec.structs.replace(FULL.verification, **fields)).plain == words


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (0.00042, "0.42 µs"),
        (0.0999, "99.9 µs"),
        (0.1, "0.1 ms"),
        (999.4, "999 ms"),
        (1500, "1.5 s"),
        (0.00000001, "1e-05 µs"),
    ],
)
def test_a_latency_is_told_in_its_own_unit(value_ms: float, words: str) -> None:
    assert screens.milliseconds(value_ms) == words
