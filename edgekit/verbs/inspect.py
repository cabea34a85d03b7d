"""Describe a model, and list its tensors."""

from pathlib import Path

from edgekit.engine.session import Session
from edgekit.errors import Unsupported
from edgekit.nouns import manifest
from edgekit.nouns.model import SourceOptions, TensorRow
from edgekit.nouns.results import Inspection
from edgekit.steps import conversion, reading


def inspect(session: Session, model: Path, options: SourceOptions) -> Inspection:
    """Describe a model: signature, operators, parameters, MACs, peak activation memory.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    session.progress.plan(3)
    network = reading.open_network(session, model, options)
    try:
        waist = conversion.to_waist(session, network)
    except Unsupported as error:
        file = conversion.as_it_is(session, network)
        counted = None if file is None else conversion.cost(session, file)
        return Inspection(model=network.model, waist=None, cost=counted, reason=error.problem)
    return Inspection(model=network.model, waist=waist.result, cost=conversion.cost(session, waist))


def list_tensors(session: Session, model: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
    """The tensors of a model, by which it can be cut; also of one that cannot be built from as a whole.

    Raises:
        InputError: the model cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    session.progress.plan(1)
    path = model.absolute()
    leaf, origin = reading.sniffed(path, options)
    return session.ask(
        reading.reading_of(leaf, origin, options, "tensors"),
        tuple[TensorRow, ...],
        origin.reading(lambda _: session.source(leaf).tensors(path, options)),
    ).result


def is_artifact(path: Path) -> bool:
    """Whether a path is a folder that ``build`` wrote."""
    return (path / manifest.FILE_NAME).is_file() and not (path / "saved_model.pb").is_file()


def read_artifact(folder: Path) -> manifest.Manifest:
    """What is known of the files in a folder, their lineage among it.

    Raises:
        InputError: its manifest cannot be read.
    """
    return manifest.read(folder / manifest.FILE_NAME)
