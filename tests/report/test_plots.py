"""Pictures of profiles: each block is drawn, what is shaded was timed, and what is red does not count."""

import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest

from edgekit.nouns.profile import Block, Device, Distribution, Energy, Estimate, Profile, Protocol, Run
from edgekit.report import plots

NONE = Estimate(value=None)


def profile(blocks: int = 10, left_out: int | None = None) -> Profile:
    latency = Distribution(runs=100, mean_ms=1.0, min_ms=1.0, max_ms=1.0, median_ms=1.0)
    return Profile(
        edgekit="0", created_utc="2026-01-01T00:00:00+00:00", session="s", artifact="model_int8.tflite",
        artifact_sha256="0" * 64, device=Device(id="pi5", kind="ssh", title="pi5.local"), runtime="r", run=Run(),
        protocol=Protocol(name="full", blocks=blocks),
        blocks=tuple(
            Block(index=i, begin_s=100.0 + 8 * i, end_s=106.0 + 8 * i, latency=latency, counted=i != left_out)
            for i in range(blocks)
        ),
        energy=Energy(
            provenance="measured_rail", meter="ina3221", rails=("VDD_IN",), gross_mj=NONE, net_mj=NONE,
            average_power_w=5.0, idle_power_w=2.0,
        ),
    )  # fmt: skip


def samples(blocks: int = 10, slowest: float = 1.2) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(0)
    latencies = {}
    for i in range(blocks):
        usual = drawn.uniform(1.0, 1.2, 1000)
        latencies[f"latencies_ms_{i}"] = np.where(np.arange(1000) % 30 == 0, slowest, usual)
    t_s = [np.linspace(99.0 + 8 * i, 106.5 + 8 * i, 70) for i in range(blocks)]
    power = {f"power_w_{i}_VDD_IN": np.array([t, np.where(t > 100 + 8 * i, 5.0, 2.0)]) for i, t in enumerate(t_s)}
    before = {"power_w_before_VDD_IN": np.array([np.linspace(80, 95, 100), np.full(100, 2.0)])}
    return latencies | power | before


def texts(svg: str) -> str:
    return " ".join("".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


def test_both_pictures_name_what_they_show() -> None:
    drawn = plots.draw(profile(), samples())
    assert set(drawn) == {"latency", "power"}
    assert "model_int8.tflite on pi5.local" in texts(drawn["latency"])
    assert "latency in ms" in texts(drawn["latency"])
    assert "ina3221 (measured_rail)" in texts(drawn["power"])
    assert "VDD_IN" in texts(drawn["power"])


@pytest.mark.parametrize(("slowest", "logarithmic"), [(1.2, False), (40.0, True)])
def test_a_long_tail_makes_the_axis_logarithmic(slowest: float, *, logarithmic: bool) -> None:
    svg = plots.draw(profile(), samples(slowest=slowest))["latency"]
    zero = {"0", "0.0", "0.00"} & set(texts(svg).split())  # a logarithmic axis has none
    assert bool(zero) != logarithmic


def test_dots_that_are_means_are_called_so() -> None:
    made = profile()
    alone = next(block.latency for block in made.blocks)
    assert alone is not None
    shared = msgspec.structs.replace(alone, inferences_per_reading=8)
    several = msgspec.structs.replace(
        made, blocks=tuple(msgspec.structs.replace(block, latency=shared) for block in made.blocks)
    )
    assert "dots are single inferences" in plots.draw(made, samples())["latency"]
    assert "dots are means of 8 inferences in a row" in plots.draw(several, samples())["latency"]


def test_a_block_that_does_not_count_is_red() -> None:
    assert plots.RED not in plots.draw(profile(), samples())["latency"]
    assert plots.RED in plots.draw(profile(left_out=3), samples())["latency"]


def test_the_same_samples_give_the_same_picture() -> None:
    assert plots.draw(profile(), samples()) == plots.draw(profile(), samples())


def test_counters_are_drawn_as_power() -> None:
    t = np.linspace(100.0, 106.0, 61)
    counted = {"energy_j_0_package": np.array([t, 7.0 * (t - 100.0)])}
    svg = plots.draw(msgspec.structs.replace(profile(1), energy=None), counted)["power"]
    assert "8" in texts(svg).split() or "7" in texts(svg).split()  # 7 W lies within the axis
    assert "42" not in texts(svg).split()  # the counter's own end does not


def test_nothing_is_drawn_of_nothing() -> None:
    assert plots.draw(profile(0), {}) == {}
