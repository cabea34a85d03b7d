"""What a device can run, as data, and how a model is to be built for it."""

from typing import Literal, get_args

from edgekit.nouns.base import Noun
from edgekit.nouns.ladder import Effort
from edgekit.nouns.model import Boundary, Precision
from edgekit.nouns.quantization import Quantization, Settings
from edgekit.nouns.recipe import PassSettings


class Sourced(Noun, frozen=True, kw_only=True):
    """A number with where it was read."""

    value: int | float
    unit: str
    source: str


class Variant(Noun, frozen=True, kw_only=True):
    """One file of a target: which backend makes it, in which precision, and when to use it.

    ``base`` names the backend whose file this one compiles further (``edgetpu`` starts from the
    int8 file of ``tflite``). ``reads`` are the source formats that the backend takes directly; all
    else reaches it through the waist.
    """

    file: str
    backend: str
    precision: Precision
    use: str
    io: Boundary | None = None
    delegate: str | None = None
    base: str | None = None
    reads: tuple[str, ...] = ()
    settings: Settings = {}

    @property
    def bound_to_integers(self) -> bool:
        """Whether its target takes no float operator in between."""
        return self.base is not None or bool(self.settings.get("full_integer"))


IntegrationKind = Literal["android", "ios", "linux", "openvino", "edgetpu"]
"""Which templates of `edgekit.bundles` an app's code is made from."""


class Coordinate(Noun, frozen=True, kw_only=True):
    """What a build system fetches (a Maven coordinate, a package with its version), and where that was read."""

    value: str
    source: str


class Integration(Noun, frozen=True, kw_only=True):
    """How a target's files get into an app: ``kind`` of code, and by name what that depends on."""

    kind: IntegrationKind
    coordinates: dict[str, Coordinate] = {}


class Target(Noun, frozen=True, kw_only=True):
    """What a device can run, as data (one TOML file in ``targets/``).

    ``facts`` are the numbers that edgekit relies on, each with its source. ``precisions`` and
    ``boundaries`` are what ``--precision`` and ``--io`` may ask for. ``integration`` says how apps take the files;
    None: no code is written for them.
    """

    name: str
    title: str
    summary: str
    documentation: str
    variants: tuple[Variant, ...]
    precisions: tuple[Precision, ...] = get_args(Precision)
    boundaries: tuple[Boundary, ...] = get_args(Boundary)
    facts: dict[str, Sourced] = {}
    integration: Integration | None = None


class BuildOptions(Noun, frozen=True, kw_only=True):
    """How a model is to be built: the passes of a recipe in order, then precisions.

    ``recipe`` is the name of that recipe, ``passes`` are its own with all settings filled in.
    ``precision`` None means what the target proposes. ``calibration_samples`` is the most that are
    used; their contents choose them, not their order. ``seed`` drives every random choice. ``require_compiled``
    makes a missing compiler an error. ``embed_preprocessing`` makes files that take the bytes of images.
    ``quantization`` is what goes before the targets' own settings. ``integration`` makes code for apps of targets that
    have some, ``sample_app`` a whole app beside it.
    ``effort`` says how far to search for a file that meets the budget, in at most
    ``time_limit_s``; None: each file is built once.
    """

    recipe: str = "ptq"
    passes: tuple[PassSettings, ...] = ()
    precision: Precision | None = None
    io: Boundary | None = None
    calibration_samples: int = 256
    seed: int = 0
    require_compiled: bool = False
    embed_preprocessing: bool = False
    quantization: Quantization = Quantization()
    integration: bool = True
    sample_app: bool = False
    effort: Effort | None = None
    time_limit_s: float | None = None
