"""How a diagnosis looks; ``pytest --update-golden`` writes the screen anew."""

from pathlib import Path

import pytest
from rich.console import Console

from edgekit.nouns.diagnosis import Blame, Diagnosed, Diagnosis, Help, OperatorDiagnosis, Unmatched
from edgekit.report import diagnosis as screens

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "diagnosis" / "ranked.txt"

CONV = OperatorDiagnosis(
    index=17, place=17, operator="CONV_2D", name="features/17/conv/Conv_output_0_nhwc", tensor="a", dtype="int8",
    alone_db=12.04, accumulated_db=11.2, output_db=14.6, share=0.72,
    blames=(
        Blame(cause="weights", db=12.4, share=0.91, told="its weights are rounded: 41% of this in 3 of 32 channels, whose"
              " weights are 30.0 × the others'"),
        Blame(cause="steps", db=22.3, share=0.07, told="its levels are 0.0235 apart, and its values use 100% of them"),
    ),
    helps=(
        Help(remedy="equalization", told="equalization with what follows", before_db=12.04, after_db=24.1,
             setting="equalization=on"),
        Help(remedy="float32", told="computing it in float32", before_db=12.04, after_db=22.3,
             setting="float_operators=17"),
    ),
)  # fmt: skip
POOL = OperatorDiagnosis(
    index=19, place=18, operator="AVERAGE_POOL_2D", name="pool", tensor="b", dtype="int8", alone_db=31.5,
    accumulated_db=12.9, output_db=30.7, share=0.2, through=("RESHAPE",),
)  # fmt: skip
INPUT = OperatorDiagnosis(
    index=None, place=None, operator="input", name="image", tensor="c", dtype="int8", alone_db=44.0,
    accumulated_db=44.0, output_db=37.0, share=0.08,
)  # fmt: skip
EXACT = OperatorDiagnosis(
    index=20, place=19, operator="RESHAPE", name="flat", tensor="d", dtype="int8", alone_db=None, accumulated_db=12.9
)
FOUND = Diagnosed(
    file="dist/net/android/model_int8.tflite",
    source="net.onnx",
    samples_origin="samples.npz",
    diagnosis=Diagnosis(
        samples=16,
        output_db=13.1,
        operators=(INPUT, CONV, POOL, EXACT),
        operators_total=5,
        unmatched=(Unmatched(index=18, operator="ADD", name="e", reason="the file was rewritten here"),),
    ),
    notes=("its source is net.onnx",),
)


def test_the_screen(request: pytest.FixtureRequest) -> None:
    console = Console(width=120, record=True, color_system=None, highlight=False, file=None, quiet=False)
    with console.capture() as captured:
        console.print(screens.diagnosed(FOUND, 2))
    shown = "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(shown, encoding="utf8")
    assert shown == GOLDEN.read_text(encoding="utf8")


def test_the_worst_are_those_that_cost_the_outputs_most() -> None:
    assert FOUND.diagnosis.worst() == (CONV, POOL, INPUT)
    without = (INPUT, POOL, CONV)
    alone = [
        OperatorDiagnosis(**{f: getattr(row, f) for f in row.__struct_fields__} | {"share": None}) for row in without
    ]
    ranked = Diagnosis(samples=1, output_db=None, operators=tuple(alone), operators_total=3).worst(2)
    assert [row.operator for row in ranked] == ["CONV_2D", "AVERAGE_POOL_2D"]


def test_node_data_leaves_out_what_is_exact() -> None:
    assert screens.node_data(FOUND, "alone")["results"] == {
        "a": {"value": 12.04}, "b": {"value": 31.5}, "c": {"value": 44.0}
    }  # fmt: skip
    assert screens.node_data(FOUND, "share")["results"]["a"] == {"value": 72.0}
    assert screens.node_data(FOUND, "accumulated")["results"]["d"] == {"value": 12.9}
