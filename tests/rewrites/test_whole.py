"""The proof of a rewritten network as a whole, which stops what each single proof lets pass."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.rewrites import timing, whole
from edgekit.rewrites.optimizer import WaistOptimizer
from edgekit.waist.tensors import write_npz
from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated


def scaled(path: Path, factor: float) -> Path:
    net = networks.Network()
    number = net.constant("f", np.array([factor], np.float32))
    return net.save(path, net.operator("MUL", [net.input("x", (1, 6)), number], (1, 6), kind="MulOptions"))


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (1.0 + 1e-6, True), (1.0001, False)])
def test_rounding_passes_and_more_than_that_does_not(tmp_path: Path, factor: float, *, same: bool) -> None:
    one, other = scaled(tmp_path / "one.tflite", 1.0), scaled(tmp_path / "other.tflite", factor)
    assert whole.agrees(one, other, networks.signature(one)) is same


def clipped(path: Path, most: float) -> Path:
    net = networks.Network()
    bound = net.constant("m", np.array([most], np.float32))
    return net.save(path, negated(net, net.operator("MINIMUM", [net.input("x", (1, 6)), bound], (1, 6))))


def test_what_only_samples_show(tmp_path: Path) -> None:
    one, other = clipped(tmp_path / "one.tflite", 50.0), clipped(tmp_path / "other.tflite", 1e9)
    described = networks.signature(one)
    probes = write_npz(
        tmp_path / "probes.npz",
        {described.inputs[0].source_name: np.array([[200.0] * 6, [0.0] * 6], np.float32).reshape(2, 1, 6)},
    )
    assert whole.agrees(one, other, described)
    assert not whole.agrees(one, other, described, probes)


def test_the_rule_that_changes_the_network_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    net.operator("EXP", [x], (1, 6))  # nobody reads it
    twice = [net.operator("NEG", [x], (1, 6)) for _ in range(2)]
    path = net.save(tmp_path / "net.tflite", net.operator("ADD", twice, (1, 6), kind="AddOptions"))

    def agrees(before: Path, after: Path, *_: object) -> bool:
        return rewriting.operators(after)["NEG"] == 2

    monkeypatch.setattr(whole, "agrees", agrees)
    told = WaistOptimizer().optimize(path, networks.signature(path), ("unread", "duplicates"), tmp_path)
    assert told.notes == (
        "rewritten: 1 operators dropped whose results nobody reads",
        "not rewritten by duplicates: the network as a whole did not give the same",
    )
    assert rewriting.operators(tmp_path / "waist.tflite") == {"NEG": 2, "ADD": 1}
    monkeypatch.setattr(whole, "agrees", lambda *_: False)
    (tmp_path / "none").mkdir()
    told = WaistOptimizer().optimize(path, networks.signature(path), ("unread", "duplicates"), tmp_path / "none")
    assert told.file is None
    assert told.notes == ("not rewritten by any rule: the network as a whole did not give the same",)


def squared(path: Path, times: int, size: int = 64) -> Path:
    """Products of a matrix by itself, one after another."""
    net = networks.Network()
    x = made = net.input("x", (1, size, size))
    for _ in range(times):
        made = net.operator("BATCH_MATMUL", [made, x], (1, size, size), kind="BatchMatMulOptions")
    return net.save(path, made)


def test_what_takes_twice_as_long_is_slower_and_a_copy_is_not(tmp_path: Path) -> None:
    one, copy, twice = (squared(tmp_path / f"{n}.tflite", times) for n, times in enumerate((20, 20, 40)))
    assert timing.is_slower(one, twice)
    assert not timing.is_slower(twice, one)
    assert not timing.is_slower(one, copy)


def test_a_rule_by_which_the_network_takes_longer_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6))
    net.operator("EXP", [x], (1, 6))  # nobody reads it
    twice = [net.operator("NEG", [x], (1, 6)) for _ in range(2)]
    path = net.save(tmp_path / "net.tflite", net.operator("ADD", twice, (1, 6), kind="AddOptions"))
    monkeypatch.setattr(timing, "is_slower", lambda _, after: rewriting.operators(after)["NEG"] == 1)

    def told(*, timed: bool) -> tuple[str, ...]:
        rules = ("unread", "duplicates")
        return WaistOptimizer().optimize(path, networks.signature(path), rules, tmp_path, timed=timed).notes

    assert told(timed=True)[1:] == ("not rewritten by duplicates: the network as a whole took longer on this host",)
    assert all(note.startswith("rewritten") for note in told(timed=False))
