"""How much of a network its accelerator takes."""

from pathlib import Path

from edgekit.nouns.building import CPU, Built
from edgekit.nouns.verification import Coverage
from edgekit.waist import cost, graph

MOST = 0.5
"""Below this share the network runs on the CPU, and the accelerator beside it."""


def of(built: Built, folder: Path, device: str | None, least: float | None) -> Coverage | None:
    """The share of an artifact's operators, and of its multiply-accumulates, that run on its accelerator.

    Args:
        built: with its placements.
        folder: where its files lie.
        device: what the accelerator is called in placements; None takes any that is not the CPU.
        least: the budget.

    Returns:
        None for a file that has no accelerator.
    """
    elsewhere = {placement.runs_on for placement in built.placements} - {CPU, "?"}
    name = device or next(iter(sorted(elsewhere)), None)
    if name is None or not built.placements:
        return None
    mapped = {placement.index for placement in built.placements if placement.runs_on == name}
    file = folder / built.files[0]
    return Coverage(
        device=name,
        operators=len(mapped) / len(built.placements),
        macs=_macs(file, mapped) if file.suffix == ".tflite" else None,
        least=least,
    )


def _macs(file: Path, mapped: set[int]) -> float | None:
    main = graph.read(file)[0]
    counted = {operator.index: cost.macs(main, operator) for operator in main.operators}
    total = sum(counted.values())
    return sum(counted[index] for index in mapped if index in counted) / total if total else None
