"""The source of a build: what it is read from, and what it is."""

from pathlib import Path
from typing import Any

import msgspec

from edgekit import sources
from edgekit.engine import registry
from edgekit.engine.origin import Origin, of, of_model
from edgekit.engine.question import Known, Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import Unsupported
from edgekit.nouns.lineage import Step
from edgekit.nouns.model import Model, SourceOptions
from edgekit.nouns.target import Variant
from edgekit.waist import naming


class OpenedNetwork(msgspec.Struct, frozen=True):
    """A source that is being built: what it is read from, the leaf that reads it, and its description.

    ``steps`` are those that described it.
    """

    origin: Origin
    leaf: str
    options: SourceOptions
    model: Model
    steps: tuple[Step, ...] = ()

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.origin.path

    @property
    def sha256(self) -> str:
        """Digest of all that it is read from."""
        return self.origin.sha256

    @property
    def settings(self) -> dict[str, Any]:
        """How it is read, as the settings of every step that reads it."""
        return {"options": msgspec.to_builtins(self.options)}

    def read_by(self, variant: Variant) -> bool:
        """Whether the variant's backend reads the source itself: only as a whole, as the file holds it."""
        return self.model.format in variant.reads and self.whole

    @property
    def whole(self) -> bool:
        """Whether what is built is the network that the file holds: uncut, nothing bound, its own batch."""
        return not naming.edited(self.options) and self.model.batch == 1


LONGEST_NAME = 4096
"""Bytes of an input's or output's name; archives of samples hold 65,535, screens far less."""


def open_network(session: Session, path: Path, options: SourceOptions) -> OpenedNetwork:
    """Sniff and describe a model file.

    Raises:
        InputError: it cannot be read.
        MissingTool: the libraries that read it are not installed.
        Unsupported: an input or output has a name that no archive of samples holds.
    """
    path = path.absolute()
    leaf, origin = sniffed(path, options)
    described = _described(session, leaf, origin, options)
    if described.result.companions:  # what the model says of itself may lie in them too, such as a shape
        origin = of(path, described.result.companions, options.custom_objects)
        described = _described(session, leaf, origin, options)
    for spec in (*described.result.signature.inputs, *described.result.signature.outputs):
        name = spec.source_name
        if len(name.encode()) > LONGEST_NAME or "\0" in name:
            raise Unsupported(
                f"An input or output of {path.name} has a name of {len(name):,} characters or with a zero byte in it: "
                f"{name[:40]!a}…",
                place=str(path),
                fix=f"rename it (at most {LONGEST_NAME:,} bytes), and export the model again",
            )
    return OpenedNetwork(origin, leaf, options, described.result, described.steps)


def sniffed(path: Path, options: SourceOptions) -> tuple[str, Origin]:
    """The leaf that reads a model file, and what it reads.

    Raises:
        InputError: it cannot be read.
        MissingTool: the libraries that read it are not installed.
    """
    leaf = source_of(path)
    registry.require("sources", leaf)
    return leaf, of_model(path, options)


def source_of(path: Path) -> str:
    """The source that reads a model file: by its content, or a third party's if its suffix names one.

    Raises:
        InputError: there is no such file, or none reads it.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix and suffix not in sources.SUFFIXES and path.exists() and registry.third_party("sources", suffix):
        return suffix
    return sources.FORMATS[sources.sniff(path)]


def _described(session: Session, leaf: str, origin: Origin, options: SourceOptions) -> Answer[Model]:
    path = origin.path
    return session.ask(
        reading_of(leaf, origin, options, "describe"),
        Model,
        origin.reading(lambda _: session.source(leaf).describe(path, options)),
    )


def reading_of(leaf: str, origin: Origin, options: SourceOptions, what: str) -> Question:
    """A question about a file that is not known yet."""
    name = origin.path.name
    return Question(
        what=what,
        leaf=f"sources/{leaf}",
        settings={"name": name, "options": msgspec.to_builtins(options)},
        inputs={"source": Known(origin.sha256)},
        doing=f"reading {name}",
    )
