import pytest

from edgekit.measure.energy import comparable, energy
from edgekit.measure.estimate import SOURCE, modelled
from edgekit.nouns.model import Cost
from tests.measure.test_energy import STEADY, course, idle

RESNET8 = Cost(bytes=96_000, parameters=78_666, macs=12_501_632, peak_activation_bytes=32_768, operators={"CONV_2D": 9})


def test_the_figure_is_that_of_the_published_coefficients() -> None:
    told = modelled(RESNET8, "int8")
    arithmetic_mj = 12_501_632 * 0.3e-12 * 1e3
    memory_mj = (96_000 + 32_768) * 1.95e-9 / 8 * 1e3
    assert told.net_mj.value == pytest.approx(arithmetic_mj + memory_mj)
    assert told.terms_mj["memory"] == pytest.approx((96_000 + 32_768) * 0.65e-9 / 8 * 1e3)


def test_it_is_labelled_sourced_and_no_substitute() -> None:
    told = modelled(RESNET8, "float32")
    assert told.provenance == "modelled_estimate"
    assert any(SOURCE in note for note in told.notes)
    assert told.gross_mj.value is None
    assert told.average_power_w is told.idle_power_w is None
    assert (told.net_mj.low, told.net_mj.high) == (None, None)
    assert comparable(told, energy(course(STEADY), idle(2, 2)))
    assert not comparable(told, modelled(RESNET8, "int8"))


def test_float_costs_more_than_int8_and_weights_only_precisions_compute_as_they_do() -> None:
    mj = {p: modelled(RESNET8, p).net_mj.value for p in ("float32", "float16", "dynamic-int8", "int8", "int4")}
    assert mj["float32"] == mj["float16"] > mj["int8"] == mj["dynamic-int8"] == mj["int4"]


def test_what_nobody_published_is_not_estimated() -> None:
    told = modelled(RESNET8, "int16x8")
    assert told.net_mj.value is None
    assert "no published energy" in told.net_mj.reason
