"""``--set``: lists as people write them."""

import click
import pytest

from edgekit.cli import options


@pytest.mark.parametrize("said", ["flip,crop", "flip, crop", "[flip,crop]", '["flip", "crop"]', "['flip','crop']"])
def test_a_list_may_be_written_as_in_a_file(said: str) -> None:
    option = click.Option(["--set"])
    found = options.settings(click.Context(click.Command("build")), option, (f"qat.augmentation={said}",))
    assert found == {"passes": {"qat": {"augmentation": ["flip", "crop"]}}}
    found = options.settings(click.Context(click.Command("build")), option, (f"float_operators={said.upper()}",))
    assert list(found["quantization"]["float_operators"]) == ["FLIP", "CROP"]
