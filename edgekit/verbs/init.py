"""A first ``edgekit.toml`` for a model, with what can be read off it."""

from pathlib import Path

from edgekit.engine.session import Session
from edgekit.errors import EdgekitError
from edgekit.nouns.model import SourceOptions
from edgekit.report import draft
from edgekit.steps import conversion, reading
from edgekit.steps.conversion import Subject


def text(session: Session, model: Path, targets: tuple[str, ...]) -> str:
    """What the file holds; if the model cannot be read, it says why instead of describing inputs and outputs."""
    head = draft.head(model.name, targets)
    try:
        network = reading.open_network(session, model, SourceOptions())
    except EdgekitError as error:
        return head + draft.unread(error.problem, error.fix)
    try:
        waist = conversion.to_waist(session, network)
    except EdgekitError:  # it can be described all the same, only less is known of it
        return head + draft.described(network.model.signature, {}, {})
    subject = Subject(network, waist, None)
    ranges = conversion.input_ranges(session, subject)
    return head + draft.described(network.model.signature, ranges, conversion.ends(session, subject))
