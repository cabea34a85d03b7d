"""The task metric of a build: one that is built in, or the user's own function."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit import config
from edgekit.engine.origin import changed
from edgekit.engine.session import Session
from edgekit.engine.store import digest_of
from edgekit.errors import InputError
from edgekit.nouns.description import Description, DetectionOutput
from edgekit.nouns.verification import MetricScore
from edgekit.steps import sampling

if TYPE_CHECKING:
    from edgekit.verify.metrics import Metric

type Function = Callable[..., float]
"""``f(outputs, labels)``: arrays ``[N, *shape]`` by the names of the source's outputs, with ``shape`` as the source
gives it for one sample; and labels ``[N, ...]``. Its attribute ``higher_is_better`` says which way is better."""


class Wanted(msgspec.Struct, frozen=True):
    """A metric that is asked for: ``question`` is what decides it, ``load`` gives it if it is computed."""

    name: str
    question: Any
    load: "Callable[[], Metric]"


OF_BOXES = ("map", "map50")
"""Metrics that are taken of what a detector's outputs mean, not of the outputs themselves."""


def wanted(session: Session, given: str | Function, description: Description) -> Wanted:
    """What a user asks for.

    A function in a file is called in a worker process, and is known by that file and what it imports from beside it.
    One that a program holds is called where it is, and may depend on anything there, so that it is computed anew in
    each build.

    Args:
        session: of the build.
        given: the name of a built-in metric, ``module:function``, or a function.
        description: of the network, which says how boxes come out of it.

    Raises:
        InputError: boxes are to be compared, and nobody said which output holds them.
    """
    if callable(given):
        name, function = getattr(given, "__name__", type(given).__name__), given
        return Wanted(name, {"name": name, "once": uuid.uuid4().hex}, lambda: _held(name, function))
    if given in OF_BOXES:
        return _of_boxes(given, description)
    if not config.is_function(given):
        return Wanted(given, given, lambda: _built_in(given))
    found = sampling.digest_of_named(given)
    return Wanted(given, {"name": given, "files": found}, lambda: _named(session, given, found))


def _built_in(name: str) -> "Metric":
    from edgekit.verify import metrics  # noqa: PLC0415  numpy is only needed on a cold path

    return metrics.built_in(name)


def _of_boxes(name: str, description: Description) -> Wanted:
    """A metric of a detector's boxes."""
    row = next((row for row in description.outputs if isinstance(row, DetectionOutput)), None)
    if row is None:
        raise InputError(
            f"{name} compares boxes, and no output is said to hold any.",
            place=f"--metric {name}",
            fix='say which one does in edgekit.toml: [[output]] with task = "detection" and its box_format',
        )
    size = None if description.picture is None else description.picture.size

    def load() -> "Metric":
        from edgekit.verify import detections, metrics  # noqa: PLC0415  as above

        return metrics.of_boxes(name, detections.Detector(row, size))

    return Wanted(name, {"name": name, "boxes": digest_of([row, size])}, load)


def _named(session: Session, name: str, found: str) -> "Metric":
    """The function ``module:function``, in a worker process."""
    from edgekit.verify.metrics import Metric  # noqa: PLC0415  as above

    def score(outputs: Path, labels: Path) -> MetricScore:
        value = session.reader().score(name, outputs=outputs, labels=labels, folder=Path.cwd())
        if sampling.digest_of_named(name) != found:
            raise changed(Path(name), name)
        return value

    return Metric(name, score)


def _held(name: str, function: Function) -> "Metric":
    """A function of this program."""
    from edgekit.samples import functions  # noqa: PLC0415  as above
    from edgekit.verify.metrics import Metric  # noqa: PLC0415
    from edgekit.waist.tensors import arrays, load_array  # noqa: PLC0415

    def score(outputs: Path, labels: Path) -> MetricScore:
        mapped = arrays(outputs, writable=True), load_array(labels, writable=True)
        return functions.score_of(function, name, *mapped)

    return Metric(name, score)
