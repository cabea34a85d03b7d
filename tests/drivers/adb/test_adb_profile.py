"""A whole measurement of a phone that gets warm on the way: which blocks count, and what is said of the others."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgekit.engine.session import Session, Silent
from edgekit.engine.store import Store
from edgekit.measure import discovery
from edgekit.measure.protocol import QUICK
from edgekit.measure.subject import subjects
from edgekit.verbs.profile import profile as verb
from tests.drivers.adb.conftest import config
from tests.drivers.adb.standin import Standin

pytestmark = pytest.mark.slow

SHORT = replace(
    QUICK,
    protocol=msgspec.structs.replace(QUICK.protocol, blocks=4),
    run=msgspec.structs.replace(QUICK.run, warm_up_s=0.01, min_s=0.05),
)


class Weather(Silent):
    """Sets the phone's thermal status when steps begin, by words in their names."""

    def __init__(self, phone: Standin, statuses: dict[str, str]) -> None:
        self.phone, self.statuses = phone, statuses

    def begin(self, step: str) -> None:
        for words, status in self.statuses.items():
            if words in step:
                self.phone.var("thermal_status", status)


@pytest.mark.parametrize(
    ("statuses", "counted", "remark"),
    [
        (
            {"block 2 of": "2", "block 4 of": "0"},
            [True, False, False, True],
            "the device throttled (thermal status 2 (moderate)) in blocks 2–3; they are not counted",
        ),
        pytest.param(
            {"block 1 of": "2"},
            [False] * 4,
            "the device throttled (thermal status 2 (moderate)) in blocks 1–4; they are not counted",
            marks=pytest.mark.study,
        ),
    ],
    ids=["two", "all"],
)
def test_blocks_of_a_warm_phone_do_not_count(
    statuses: dict[str, str], counted: list[bool], remark: str, phone: Standin, model: Path, tmp_path: Path
) -> None:
    weather = Weather(phone, statuses)
    with Session(Store(tmp_path / "store"), tmp_path / "log.txt", weather) as session:
        device = discovery.choose(session, {"phone": config(phone)}, "phone")
        settings = replace(SHORT, output=str(tmp_path / "profiles"))
        [made] = verb(session, device, subjects(session, model), settings)
    profile = made.profile
    assert [block.counted for block in profile.blocks] == counted
    assert remark in profile.flags
    if any(counted):
        assert profile.latency is not None
        assert profile.latency.blocks == sum(counted)
    else:
        assert profile.latency is None
        assert profile.unavailable["latency"] == "the device throttled in every block"
