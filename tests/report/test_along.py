"""A diagnosis as a plot: what is drawn where, and what is told of the worst."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from edgekit.errors import MissingTool
from edgekit.nouns.diagnosis import Diagnosed, Diagnosis, OperatorDiagnosis
from edgekit.report import along, svg

SVG = "{http://www.w3.org/2000/svg}"


def row(i: int, alone_db: float | None, share: float | None = None, name: str = "") -> OperatorDiagnosis:
    return OperatorDiagnosis(
        index=i, place=i, operator="CONV_2D", name=name or f"net/conv_{i}", tensor=str(i), dtype="int8",
        alone_db=alone_db, accumulated_db=None if alone_db is None else alone_db - i / 10, share=share,
    )  # fmt: skip


def found(rows: list[OperatorDiagnosis], output_db: float | None = 21.5) -> Diagnosed:
    seen = Diagnosis(samples=4, output_db=output_db, operators=tuple(rows), operators_total=len(rows))
    return Diagnosed(file="model_int8.tflite", source="net.onnx", samples_origin="samples.npz", diagnosis=seen)


def texts(drawn: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ET.fromstring(drawn).iter(f"{SVG}text")]


def test_a_short_network_names_its_operators_and_the_worst() -> None:
    rows = [row(0, 44.0, 0.1), row(1, 12.5, 0.9, "a$b$/" + "x" * 60 + "/end"), row(2, None)]
    told = texts(along.draw(found(rows)))
    assert {"CONV_2D 0", "CONV_2D 1", "CONV_2D 2", "exact", "outputs: 21.5 dB"} <= set(told)
    assert "1  CONV_2D 1: 12.5 dB alone, 90%" in told
    assert any(text.endswith("xxx/end") and text.startswith("…") for text in told)
    assert not any("CONV_2D 2:" in text for text in told)  # what is exact costs nothing


def test_a_dollar_in_a_name_is_no_formula() -> None:
    assert "a$\\frac$b" in texts(along.draw(found([row(0, 30.0, 1.0, r"a$\frac$b")])))


def test_of_a_long_network_every_kth_place_is_told_and_ten_are_named() -> None:
    told = texts(along.draw(found([row(i, 30.0 + i % 7, 1 / 400) for i in range(400)]), top=50))
    assert "CONV_2D 0" not in told
    assert sum(text.isdecimal() and int(text) > 100 for text in told) <= along.TICKS
    assert sum("dB alone" in text for text in told) == along.NAMED


def test_what_is_next_to_exact_or_lost_does_not_squeeze_the_rest() -> None:
    told = texts(along.draw(found([row(0, 140.0), row(1, 31.0), row(2, 33.0), row(3, -60.0)])))
    assert "≥ 70" in told
    assert "-10" in told
    assert not {"100", "140", "-60"} & set(told)
    assert "the worst alone" in told


@pytest.mark.parametrize("rows", [[], [row(0, None)]])
def test_nothing_that_errs(rows: list[OperatorDiagnosis]) -> None:
    assert "exact" in texts(along.draw(found(rows, None)))


def test_the_same_diagnosis_is_the_same_file() -> None:
    seen = found([row(i, 30.0, 0.1) for i in range(3)])
    assert along.draw(seen) == along.draw(msgspec.structs.replace(seen))


def test_without_matplotlib_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingTool, match="matplotlib") as missing:
        along.draw(found([row(0, 30.0)]))
    assert "plots" in missing.value.fix
