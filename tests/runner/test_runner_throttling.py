"""Throttling as a Raspberry Pi's firmware tells it: what is seen, what is said of it, and which blocks it costs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import runner
from edgekit.measure import flags
from edgekit.nouns.profile import Device, State
from edgekit.runner.board import machine
from tests import networks
from tests.meters.sensor_trees import program
from tests.runner.boards import Board

BOARD = Device(id="pi5", kind="ssh", title="pi5.local")

WORDS = tuple(machine.THROTTLED.values())


def firmware(folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """A vcgencmd on the path that gives one answer after the other, the last one for ever."""
    (folder / "answers").write_text("".join(f"{answer}\n" for answer in answers))
    script = (
        '[ "$*" = get_throttled ] || exit 1\n'
        f'cd "{folder}"; head -n 1 answers; tail -n +2 answers > rest; [ -s rest ] && mv rest answers; true'
    )
    monkeypatch.setenv("PATH", program(folder / "bin", "vcgencmd", script))


@pytest.mark.parametrize(
    ("said", "now", "since_start"),
    [
        ("throttled=0x0", [], []),
        ("throttled=0x50005", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("throttled=0x80008", ["soft temperature limit"], ["soft temperature limit"]),
        ("throttled=0x20000", [], ["frequency capped"]),
        ("throttled=0xf0000", [], list(WORDS)),
        ("VCHI initialization failed", None, None),  # a user who may not ask
        ("", None, None),
    ],
)
def test_the_firmware_is_asked_once_for_both(
    said: str, now: list[str] | None, since_start: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware(tmp_path, monkeypatch, said, "throttled=0xfffff")
    state = machine.state()
    assert (state["throttled"], state["has_throttled"]) == (now, since_start)


def test_a_machine_without_firmware_to_ask_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.throttling() == (None, None)


def test_throttling_is_a_problem_of_a_board_that_can_be_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware(tmp_path, monkeypatch, "throttled=0x50001")
    seen = Board(tmp_path).look()
    device = runner.described(BOARD, seen)
    assert device.usable
    now, earlier = device.problems
    assert now.startswith("It holds its clock down (under-voltage); such blocks are not counted. fix: a supply")
    assert earlier.startswith("It has held its clock down since it started (throttled)")
    assert earlier.endswith("then restart it")
    emulated = Device(id="arm64", kind="emulated", title="arm64 under qemu", times=False)
    assert runner.described(emulated, seen).problems == ()


def test_throttling_that_came_and_went_within_a_block_costs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, network = Board(tmp_path), networks.classifier(tmp_path / "network.tflite")
    inputs = {"image": np.zeros((1, 1, 8, 8, 3), np.float32)}
    firmware(tmp_path, monkeypatch, "throttled=0x10000", "throttled=0x50000", "throttled=0x50000", "throttled=0x50000")
    first, _ = board.run(network, inputs)
    assert first.after is not None
    assert first.after.throttled == ()
    assert flags.throttling(first) == ("throttled",)
    second, _ = board.run(network, inputs)
    assert flags.throttling(second) == ()


@given(st.sets(st.sampled_from(WORDS)), st.sets(st.sampled_from(WORDS)))
def test_a_problem_names_every_reason_once(now: set[str], since_start: set[str]) -> None:
    said = " ".join(runner.throttling(State(utc="t", throttled=tuple(now), has_throttled=tuple(since_start))))
    told = [word for part in said.split("(")[1:] for word in part.partition(")")[0].split(", ")]
    assert sorted(told) == sorted(now | since_start)
