"""Sensors beside a block: files, commands and streams, on the device's clock."""

import itertools
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import runner
from edgekit.nouns.profile import Deployment, Run
from edgekit.nouns.sensing import Probe, Sample
from tests.runner.boards import QUICK, Board, lines
from tests.waiting import until


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def sensed(board: Board, probe: Probe, idle_s: float = 0.6) -> tuple[Any, list[Sample]]:
    block, out = board.run(Path("none"), {}, mode="idle", idle_s=idle_s, probe=probe)
    assert block.sensed is not None, block.notes
    return block, [msgspec.convert(row, Sample) for row in lines(out / block.sensed)]


def test_a_file_is_read_again_and_again(board: Board, tmp_path: Path) -> None:
    sensor = tmp_path / "power1_input"
    sensor.write_text("1234\n")
    block, samples = sensed(board, Probe(meter="m", files=(str(sensor),), interval_s=0.1))
    assert {sample.text for sample in samples} == {"1234\n"}
    assert samples[0].t_s <= block.begin_s  # the edges are covered
    assert samples[-1].t_s >= block.end_s
    inside = [sample for sample in samples if block.begin_s <= sample.t_s <= block.end_s]
    assert 3 <= len(inside) <= (block.end_s - block.begin_s) / 0.1 + 2
    assert [sample.t_s for sample in samples] == sorted(sample.t_s for sample in samples)
    assert all(sample.took_s >= 0 for sample in samples)


def test_edges_alone_are_two_readings(board: Board, tmp_path: Path) -> None:
    sensor = tmp_path / "energy_uj"
    sensor.write_text("1")
    block, samples = sensed(board, Probe(meter="m", files=(str(sensor),), commands=("echo 5",), interval_s=None))
    assert [sample.text for sample in samples] == ["1", "5\n", "1", "5\n"]
    assert samples[1].t_s <= block.begin_s < block.end_s <= samples[2].t_s


def test_what_cannot_be_read_says_why(board: Board, tmp_path: Path) -> None:
    probe = Probe(
        meter="m", files=(str(tmp_path / "gone"),), commands=("echo no >&2; exit 3", "exit 4"), interval_s=None
    )
    _, samples = sensed(board, probe, idle_s=0.01)
    assert [(sample.text, sample.error) for sample in samples[:3]] == [
        (None, "No such file or directory"),
        (None, "no"),
        (None, "exit 4"),
    ]


def test_lines_of_a_stream_are_stamped_as_they_come(board: Board, tmp_path: Path) -> None:
    line = "while true; do echo a; echo b; sleep 0.1; done"
    block, samples = sensed(board, Probe(meter="m", stream=line, interval_s=None), idle_s=0.8)
    texts = [sample.text for sample in samples]
    assert texts[:4] == ["a", "b", "a", "b"]
    inside = [sample.t_s for sample in samples if block.begin_s <= sample.t_s <= block.end_s and sample.text == "a"]
    assert len(inside) >= 4
    gaps = [later - earlier for earlier, later in itertools.pairwise(inside)]
    assert statistics.median(gaps) > 0.02  # not all at once at the end


def test_a_stream_that_ends_is_told(board: Board) -> None:
    _, samples = sensed(board, Probe(meter="m", stream="echo only; exit 7", interval_s=None), idle_s=0.3)
    assert samples[0].text == "only"
    assert samples[-1].error == "it ended with code 7"


def test_a_stream_is_ended_with_the_block(board: Board, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sensed(board, Probe(meter="m", stream=f"echo $$ > {pid}; echo up; sleep 1000", interval_s=None), idle_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_block_does_not_wait_for_a_silent_stream(board: Board) -> None:
    begin = time.monotonic()
    block, _ = board.run(Path("none"), {}, mode="idle", idle_s=0.1, probe=Probe(meter="m", stream="sleep 1000"))
    assert time.monotonic() - begin < 20
    assert block.end_s > block.begin_s


def test_the_sensors_end_with_a_killed_block(tmp_path: Path, board: Board) -> None:
    """A killed runner's sampler sees its standard input end."""
    out = tmp_path / "killed"
    out.mkdir()
    sensor = tmp_path / "file"
    sensor.write_text("1")
    run = msgspec.structs.replace(
        QUICK, mode="idle", idle_s=600.0, probe=Probe(meter="m", files=(str(sensor),), interval_s=0.05)
    )
    (out / runner.ORDER).write_bytes(runner.order(Deployment(place="p", model="m", inputs="i"), run, str(out)))
    with subprocess.Popen([board.python, str(board.program), str(out)]) as process:
        until(lambda: (out / "sensed.jsonl").exists() and (out / "sensed.jsonl").stat().st_size > 0)
        process.send_signal(signal.SIGKILL)
    time.sleep(0.5)
    size = (out / "sensed.jsonl").stat().st_size
    time.sleep(0.5)
    assert (out / "sensed.jsonl").stat().st_size == size


def test_the_block_ends_when_its_standard_input_does(tmp_path: Path, board: Board) -> None:
    out = tmp_path / "followed"
    out.mkdir()
    run = Run(mode="idle", idle_s=600.0)
    (out / runner.ORDER).write_bytes(runner.order(Deployment(place="p", model="m", inputs="i"), run, str(out)))
    with subprocess.Popen([board.python, str(board.program), str(out), "follow"], stdin=subprocess.PIPE) as process:
        time.sleep(0.5)
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 3
    assert not (out / runner.ANSWER).exists()
