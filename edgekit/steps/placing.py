"""Where operators run of a file that a delegate takes when an app loads it."""

import msgspec

from edgekit.nouns.building import CPU, Built, Placement
from edgekit.nouns.target import Variant

DECIDES_LATER = {"gpu": "GPU delegate", "coreml": "Core ML delegate", "nnapi": "NNAPI delegate"}
"""Delegates that choose their operators on the device, by what they find there; no file says which."""


def placed(built: Built, variant: Variant) -> tuple[Placement, ...]:
    """The placements of a variant's file, with the delegate that it is meant for if that decides on the device.

    A backend tells where operators run here, which is the CPU for all that LiteRT runs.
    """
    delegate = DECIDES_LATER.get(variant.delegate or "")
    if delegate is None:
        return built.placements
    return tuple(
        msgspec.structs.replace(place, runs_on=f"{delegate}, else {CPU}") if place.runs_on == CPU else place
        for place in built.placements
    )
