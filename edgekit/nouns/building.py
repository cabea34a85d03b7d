"""What a backend is asked to build, and what it made."""

from edgekit.nouns.base import Noun
from edgekit.nouns.model import Boundary, Precision, Signature
from edgekit.nouns.quantization import Settings

CPU = "CPU"
"""Where all operators run that no accelerator takes (`Placement.runs_on`)."""


class Job(Noun, frozen=True, kw_only=True):
    """What a backend is asked to build. Paths are absolute.

    ``waist`` is None if a backend that reads the source itself gets a network that has no waist. If it
    ``has_integers``, the source brings those of ``precision`` itself: they are kept, and a waist holds them.
    ``learned`` is the file of this precision that a pass has trained, whose integers and scales are kept; None if none
    has.
    ``calibration`` is what `edgekit.waist.tensors.arrays` reads: ``[N, *shape]`` for each input, under the source's
    names, in the source's layout and dtype; None if the precision needs none. ``settings`` are
    the target's, for this backend.
    """

    waist: str | None
    has_integers: bool = False
    source: str
    source_format: str
    signature: Signature
    source_signature: Signature
    precision: Precision
    io: Boundary | None = None
    learned: str | None = None
    calibration: str | None = None
    settings: Settings = {}
    keep_layout: bool = False
    seed: int = 0


class Placement(Noun, frozen=True, kw_only=True):
    """Where an operator of an artifact will run, and why not where it was meant to.

    ``runs_on`` names an accelerator, ``CPU``, ``GPU delegate, else CPU`` where a delegate decides on the device, or
    ``?``. What runs but once, when a file is loaded, is left out.
    """

    index: int
    operator: str
    name: str
    runs_on: str
    status: str = ""


class Tried(Noun, frozen=True, kw_only=True):
    """A way to make a file that a backend tried on the calibration samples, beside others or alone.

    With ``settings`` it makes such a file again. ``level_db`` is its SQNR on those that judge; None if nobody
    asked, or with the ``problem`` for which there is none. ``chosen``: it is the file that was built.
    """

    settings: Settings
    level_db: float | None = None
    problem: str = ""
    chosen: bool = False

    def covers(self, settings: Settings) -> bool:
        """Whether a file with these settings, the rest being left to the backend, is no other one than this.

        What cannot be done cannot be done with more settings either.
        """
        less, more = (self.settings, settings) if self.problem else (settings, self.settings)
        return less.items() <= more.items()


class Built(Noun, frozen=True, kw_only=True):
    """What a backend made: file names inside the output folder, the one to load first.

    ``source_signature`` of each tensor is untouched by backends. ``notes`` say how it was made,
    ``warnings`` what whoever uses it must know or do. ``unavailable`` maps what could not be made
    (for instance ``compiled``) to the reason. ``tried`` are the ways that it chose from; () if it has one only.
    """

    files: tuple[str, ...]
    signature: Signature
    placements: tuple[Placement, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}
    tools: dict[str, str] = {}
    tried: tuple[Tried, ...] = ()

    @property
    def chosen(self) -> Settings:
        """The settings with which the files can be made again without another choice; {} if that is not known."""
        return next((one.settings for one in self.tried if one.chosen), {})

    @property
    def level_db(self) -> float | None:
        """SQNR on the calibration samples that judge; None if it is not known."""
        return next((one.level_db for one in self.tried if one.chosen), None)
