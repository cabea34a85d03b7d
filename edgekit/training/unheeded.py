"""Settings of a training that were said and change nothing, so that nobody takes them for what a result is due to."""

from collections.abc import Collection, Iterator

from edgekit.nouns.training import Training
from edgekit.training.labelling import Labelled
from edgekit.training.points import Kind

RISING = {"cyclical", "one-cycle"}
"""Schedules that start low."""


def unheeded(settings: Training, labelled: Labelled | None, kinds: Collection[Kind], *, judged: bool) -> Iterator[str]:
    """Each with the reason.

    Args:
        settings: of the training.
        labelled: what labels teach; None without.
        kinds: of what the network is compared in.
        judged: whether samples are held out.
    """
    usual = type(settings)()
    idle = {
        "alpha": "" if labelled else "samples have no labels",
        "label_smoothing": _unsmoothed(labelled),
        "momentum": "" if settings.optimizer in {"sgd", "rmsprop"} else f"{settings.optimizer} has its own",
        "warmup": f"the {settings.schedule} schedule already starts with a rise" if settings.schedule in RISING else "",
        "patience": "" if judged else "no samples are held out",
        "rates": "" if judged or settings.rates == 1 else "no samples are held out, which would tell them apart",
        "temperature": "" if {"classes", "binary"} & set(kinds) else "outputs are compared as values",
    }
    for name, why in idle.items():
        if why and getattr(settings, name) != getattr(usual, name):
            yield f"{name} {getattr(settings, name):g} changes nothing: {why}"


def _unsmoothed(labelled: Labelled | None) -> str:
    """Why labels are not smoothed; "" if they are."""
    if labelled is None:
        return "samples have no labels"
    return "labels are values, and name no classes" if labelled.kind == "values" else ""
