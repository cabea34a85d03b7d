"""What decides on a device where operators run is told with the file that is meant for it."""

import pytest

from edgekit.nouns.building import Built, Placement
from edgekit.nouns.model import Signature
from edgekit.nouns.target import Variant
from edgekit.steps.placing import placed


@pytest.mark.parametrize(
    ("delegate", "told"),
    [
        ("gpu", "GPU delegate, else CPU"),
        ("coreml", "Core ML delegate, else CPU"),
        ("nnapi", "NNAPI delegate, else CPU"),
        ("xnnpack", "CPU"),
        (None, "CPU"),
    ],
)
def test_a_delegate_that_decides_later_is_named_where_the_cpu_would_be(delegate: str | None, told: str) -> None:
    here = [Placement(index=i, operator="ADD", name="y", runs_on=where) for i, where in enumerate(("CPU", "NPU", "?"))]
    built = Built(files=("m.tflite",), signature=Signature(inputs=(), outputs=()), placements=tuple(here))
    variant = Variant(file="m.tflite", backend="tflite", precision="float16", use="", delegate=delegate)
    found = placed(built, variant)
    assert [place.runs_on for place in found] == [told, "NPU", "?"]
    assert [(place.index, place.operator, place.name) for place in found] == [(i, "ADD", "y") for i in range(3)]
