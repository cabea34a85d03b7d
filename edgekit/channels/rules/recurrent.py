"""Recurrent operators: units of a cell, which its gates, its state and its output have in common.

Slots: TFLite's ``kernels/lstm_shared.h`` and ``basic_rnn.cc``.
"""

from edgekit.channels.cells import Axes, Ids
from edgekit.channels.site import NotFollowedError, Rule, Site

GATES = range(4)


def _lstm(site: Site) -> list[Axes]:
    """``[units, in]`` and ``[units, out]`` of each gate; peepholes, biases and states have a number for each unit."""
    if any(site.has(slot) for slot in range(20, 24)):
        raise NotFollowedError("its gates are normalized")
    if site.options.get("diagonalRecurrentTensors"):
        raise NotFollowedError("its recurrent weights are diagonals")
    x = site.axes(0)
    gates = [gate for gate in GATES if site.has(1 + gate)]
    units = site.makes(1 + gates[-1], 0)
    out = site.makes(16, 0) if site.has(16) else units
    if site.has(16):
        site.sums(16, 1, units, source=0)
        site.biased(17, out)
    for gate in gates:
        _gate(site, (1 + gate, 5 + gate), units, out)
        site.biased(12 + gate, units)
    for slot in (9, 10, 11):
        site.biased(slot, units)
    site.biased(18, out)
    site.biased(19, units)
    return [(*x[:-1], out)]


def _gate(site: Site, slots: tuple[int, int], units: Ids, out: Ids) -> None:
    """The weights of a gate: those of the input and of the output before."""
    given, recurrent = slots
    site.cells.tie(units, site.weights(given)[0])
    site.cells.tie(units, site.weights(recurrent)[0])
    site.sums(given, 1, site.axes(0)[-1])
    site.sums(recurrent, 1, out)


def _rnn(site: Site) -> list[Axes]:
    x = site.axes(0)
    units = site.makes(1, 0)
    _gate(site, (1, 2), units, units)
    site.biased(3, units)
    site.biased(4, units)
    return [(*x[:-1], units)]


ROWS: dict[str, Rule] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
}
