"""A modelled estimate of an inference's energy, from arithmetic and memory traffic. No measurement.

Energies of single operations are those of M. Horowitz, "Computing's Energy Problem (and what we can do about
it)", IEEE ISSCC 2014, pp. 10-14, figure 1.1.9 (45 nm CMOS, 0.9 V). They leave out instructions, caches,
clocks and leakage, which dominate on a CPU, and newer processes need less: the figure orders networks by
their least cost and says nothing about a device.
"""

from typing import Literal

from edgekit.nouns.model import Cost, Precision
from edgekit.nouns.profile import Energy, Estimate

SOURCE = "Horowitz, ISSCC 2014, 45 nm, 0.9 V"

Arithmetic = Literal["int8", "float16", "float32"]

MAC_PJ: dict[Arithmetic, float] = {"int8": 0.2 + 0.1, "float16": 1.1 + 0.4, "float32": 3.7 + 0.9}
"""A multiplication and an addition in pJ; int8 products are added up in 32 bits (0.2 and 0.1)."""

DRAM_PJ_PER_BYTE = (1300 / 8, 2600 / 8)
"""From the least to the most: 1.3 to 2.6 nJ for 64 bits."""

COMPUTES: dict[Precision, Arithmetic] = {
    "int8": "int8",
    "float32": "float32",
    "float16": "float32",
    "dynamic-int8": "int8",
    "int4": "int8",
}
"""What a precision multiplies in: float16 files hold weights only, and CPUs compute them in float32.

There is no published figure for products of 16 and 8 bits (int16x8), so none is estimated.
"""


def modelled(cost: Cost, precision: Precision) -> Energy:
    """The estimate: every multiply-accumulate once, every byte of the file and of the peak activations once from DRAM.

    The value takes the middle of the published range for DRAM; the range itself stands in the notes. It is no
    95 % interval, so there is none. Nothing is said about gross energy or power.
    """
    none = Estimate(value=None, reason="a model knows no idle power: only the least dynamic energy is estimated")
    arithmetic = COMPUTES.get(precision)
    notes: tuple[str, ...] = (f"modelled, not measured: energy per operation of {SOURCE}",)
    if arithmetic is None:
        reason = f"no published energy for the products of {precision}"
        return _energy(none, Estimate(value=None, reason=reason), {}, notes)
    moved = cost.bytes + cost.peak_activation_bytes
    macs_mj = cost.macs * MAC_PJ[arithmetic] * 1e-9
    least_mj, most_mj = (moved * pj * 1e-9 for pj in DRAM_PJ_PER_BYTE)
    memory_mj = (least_mj + most_mj) / 2
    notes += (
        f"{cost.macs:,} MACs in {arithmetic} at {MAC_PJ[arithmetic]:.1f} pJ and {moved:,} bytes from DRAM at "
        f"{DRAM_PJ_PER_BYTE[0]:.0f} to {DRAM_PJ_PER_BYTE[1]:.0f} pJ: "
        f"{macs_mj + least_mj:.3g} to {macs_mj + most_mj:.3g} mJ",
        "without instructions, caches, clocks and leakage: it orders networks, it predicts no device",
    )
    net = Estimate(value=macs_mj + memory_mj, reason="a model's figure: it has no interval")
    return _energy(none, net, {"memory": memory_mj - least_mj}, notes)


def _energy(gross: Estimate, net: Estimate, terms: dict[str, float], notes: tuple[str, ...]) -> Energy:
    return Energy(
        provenance="modelled_estimate",
        meter="estimate",
        rails=(),
        gross_mj=gross,
        net_mj=net,
        average_power_w=None,
        idle_power_w=None,
        terms_mj=terms,
        notes=notes,
    )
