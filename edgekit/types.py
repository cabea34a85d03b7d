"""The nouns: frozen values without I/O and without framework objects inside.

Every noun is a msgspec struct, so that it travels as JSON between processes, into the cache and
into ``manifest.json``, and so that the published JSON Schema is generated from the types.
"""

from typing import Literal, get_args

import msgspec

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8", "int4"]
"""How an artifact computes, in the field's names; ``dynamic-int8`` and ``int4`` quantize weights only."""

CALIBRATED: frozenset[Precision] = frozenset({"int8", "int16x8"})
"""Precisions whose activations are quantized, so that they need samples."""

FLOATS: frozenset[Precision] = frozenset({"float32", "float16"})
"""Precisions whose files must agree with the source; a quantized one may only be worse."""

Boundary = Literal["float32", "int8", "uint8"]
"""The dtype of a full-integer artifact's inputs and outputs."""


class Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value that travels as JSON."""


class Preprocessing(Noun, frozen=True, kw_only=True):
    """How an image (or any raw sample) becomes the network's input: ``(x * scale - mean) / std``.

    ``mean`` and ``std`` hold one number, or one for each channel. ``size`` is (height, width) in
    pixels. ``layout`` is that of the array handed to the network.
    """

    size: tuple[int, int] | None = None
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["NHWC", "NCHW"] | None = None


class TensorSpec(Noun, frozen=True, kw_only=True):
    """One input or output of a network, as the file has it and as its source has it.

    ``shape`` is fixed and includes the batch dimension. ``permutation`` maps layouts: axis *k* of
    the file's tensor is axis ``permutation[k]`` of the source's; None where they are the same.
    ``scale`` and ``zero_point`` are None for tensors that are not quantized
    (real = scale * (stored - zero_point)). ``index_below`` is set for integer inputs that index a
    table: the size of the smallest table, which every value must stay below.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str | None = None
    scale: float | None = None
    zero_point: int | None = None
    source_name: str
    source_shape: tuple[int, ...]
    source_dtype: str
    source_layout: str | None = None
    permutation: tuple[int, ...] | None = None
    preprocessing: Preprocessing | None = None
    index_below: int | None = None


class Signature(Noun, frozen=True, kw_only=True):
    """What goes in and what comes out, in the file's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Model(Noun, frozen=True, kw_only=True):
    """A network at rest.

    ``precision`` is that of the file: ``int8`` or ``int16x8`` where it brings integers (and their scales) for
    its activations, ``dynamic-int8``, ``int4`` or ``float16`` where only its weights are stored so.
    ``format`` is one of ``edgekit.sources.FORMATS``. For a source the signature's file side and
    source side are the same. ``companions`` are files beside it that hold part of it (ONNX external
    data), relative to its folder. ``batch`` is how many samples the file itself takes at once where the
    signature is that of one, else 1.
    """

    name: str
    file: str
    sha256: str
    format: str
    precision: Precision = "float32"
    producer: str | None = None
    opset: int | None = None
    bytes: int
    signature: Signature
    companions: tuple[str, ...] = ()
    batch: int = 1
    warnings: tuple[str, ...] = ()


class SourceOptions(Noun, frozen=True, kw_only=True):
    """What a user may say about how a source is read.

    ``shapes`` fixes dynamic dimensions by name. ``custom_objects``: ``module:function``, gives name → object.
    ``constants`` binds inputs for good; between ``inputs`` and ``outputs``, names of tensors, it is cut out.
    """

    shapes: dict[str, tuple[int, ...]] = {}
    custom_objects: str | None = None
    keep_layout: bool = False
    allow_unsafe: bool = False
    constants: dict[str, tuple[bool | int | float, ...]] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class Waist(Noun, frozen=True, kw_only=True):
    """What every source becomes: a float TFLite file. ``warnings`` are what whoever uses it must know or do."""

    file: str
    signature: Signature
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Divergence(Noun, frozen=True, kw_only=True):
    """The first tensor, in execution order, where two networks stop agreeing."""

    tensor: str
    operator: str
    sqnr_db: float


class Job(Noun, frozen=True, kw_only=True):
    """What a backend is asked to build. Paths are absolute.

    ``waist`` is None where a backend that reads the source itself gets a network that has no waist. Where it
    ``has_integers``, the source brings those of ``precision`` itself: they are kept, and a waist holds them.
    ``calibration`` is an ``.npz`` with an array ``[N, *shape]`` for each input, under the source's
    names, in the source's layout and dtype; None where the precision needs none. ``settings`` are
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
    calibration: str | None = None
    settings: dict[str, str | int | float | bool] = {}
    keep_layout: bool = False
    seed: int = 0


class Placement(Noun, frozen=True, kw_only=True):
    """Where an operator of an artifact will run, and why not where it was meant to."""

    index: int
    operator: str
    name: str
    runs_on: str
    status: str = ""


class Built(Noun, frozen=True, kw_only=True):
    """What a backend made: file names inside the output folder, the one to load first.

    ``source_signature`` of each tensor is untouched by backends. ``notes`` say how it was made,
    ``warnings`` what whoever uses it must know or do. ``unavailable`` maps what could not be made
    (for instance ``compiled``) to the reason.
    """

    files: tuple[str, ...]
    signature: Signature
    placements: tuple[Placement, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}
    tools: dict[str, str] = {}


class Cost(Noun, frozen=True, kw_only=True):
    """What a network needs, whatever the machine.

    ``macs`` counts multiply-accumulates of one inference; ``peak_activation_bytes`` is the largest
    sum of activations alive at once in the file's operator order. ``notes`` say what is not known of these.
    """

    bytes: int
    parameters: int
    macs: int
    peak_activation_bytes: int
    operators: dict[str, int]
    notes: tuple[str, ...] = ()


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
    settings: dict[str, str | int | float | bool] = {}


class Target(Noun, frozen=True, kw_only=True):
    """What a device can run, as data (one TOML file in ``targets/``).

    ``facts`` are the numbers that edgekit relies on, each with its source. ``precisions`` and
    ``boundaries`` are what ``--precision`` and ``--io`` may ask for.
    """

    name: str
    title: str
    summary: str
    documentation: str
    variants: tuple[Variant, ...]
    precisions: tuple[Precision, ...] = get_args(Precision)
    boundaries: tuple[Boundary, ...] = get_args(Boundary)
    facts: dict[str, Sourced] = {}


class Recipe(Noun, frozen=True, kw_only=True):
    """How a model is to be built: training passes in order (none yet), then precisions.

    ``precision`` None means what the target proposes. ``calibration_samples`` is the most that are
    used; they are taken evenly from the data. ``seed`` drives every random choice. ``require_compiled``
    makes a missing compiler an error.
    """

    precision: Precision | None = None
    io: Boundary | None = None
    calibration_samples: int = 256
    seed: int = 0
    require_compiled: bool = False


class Made(Noun, frozen=True, kw_only=True):
    """How an output came to be, as the end of the network's graph tells.

    ``cuts``: by axis of the source's output, where a branch that the network concatenates ends and the next begins.
    ``depends``: whether it depends on the inputs at all.
    """

    cuts: dict[int, tuple[int, ...]] = {}
    depends: bool = True


class Part(Noun, frozen=True, kw_only=True):
    """The part of an output that comes least close to the source's.

    ``name`` says which (``channels 4..11``, ``column 3``); ``branch`` is True where the network
    concatenates it with others at its end, so that it has a meaning and a range of its own.
    ``constant``: its values vary in the source and do not in the file. ``sqnr_db`` is None where it
    is equal bit for bit.
    """

    name: str
    branch: bool
    sqnr_db: float | None
    constant: bool = False


class Agreement(Noun, frozen=True, kw_only=True):
    """How close an output comes to the source's, over all samples together.

    ``sqnr_db`` is 10·log10(Σ reference² / Σ (reference − output)²); None where both are zero or
    equal bit for bit (``identical``). ``top1_agreement`` is a share in 0..1, None where the output
    is no classification. ``worst_part`` is None where the output has no parts that can be told apart.
    """

    output: str
    identical: bool
    sqnr_db: float | None
    max_abs_error: float
    cosine: float | None
    top1_agreement: float | None = None
    worst_part: Part | None = None


class TaskMetric(Noun, frozen=True, kw_only=True):
    """A task metric of source and artifact over the same evaluation samples.

    ``chance`` is what an answer reaches that knows nothing of the sample; None where it is not known.
    """

    name: str
    samples: int
    source: float
    artifact: float
    drop: float
    chance: float | None = None


class Probes(Noun, frozen=True, kw_only=True):
    """What a file computes on inputs that no sample holds: all zeros, constants, extremes.

    Values count where the source's are finite. ``sqnr_db`` is the worst over probes and float
    outputs, where the source's energy is at least that of the samples; None where all are equal.
    ``unavailable`` is the reason why there are none.
    """

    inputs: tuple[str, ...] = ()
    worst: str = ""
    sqnr_db: float | None = None
    unavailable: str = ""


class Coverage(Noun, frozen=True, kw_only=True):
    """How much of a network an accelerator takes, as shares in 0..1.

    ``macs`` is None where the multiply-accumulates of single operators are not known. ``least`` is
    the budget, if any; it holds for MACs where these are known, else for operators.
    """

    device: str
    operators: float
    macs: float | None = None
    least: float | None = None

    @property
    def share(self) -> float:
        """What the budget is about."""
        return self.operators if self.macs is None else self.macs


Verdict = Literal["pass", "warn", "miss", "fail"]
"""``warn``: look at the reason; ``miss``: a budget that the user stated is missed; ``fail``: of no use."""


SamplesUse = Literal["evaluation", "calibration", "random"]
"""What samples were given for."""


class Verification(Noun, frozen=True, kw_only=True):
    """The evidence for one file of an artifact.

    ``samples_origin`` says what it was run on, ``samples_use`` what these samples were given for.
    ``sqnr_db`` is that of the worst output, or of the worst branch of an output (see `Part`).
    ``verdict``: ``pass``, ``warn`` (a quantized file below ``threshold_db``, or evidence that shows
    little), ``miss`` (a stated budget is missed) or ``fail`` (a quantized file of no use, such as
    one below ``floor_db``), with the ``reason``. ``keeps_state``: an output depends on earlier
    inputs, as it does in the source. ``remarks`` are what limits the evidence.
    """

    samples: int
    samples_origin: str
    samples_use: SamplesUse | None = None
    outputs: tuple[Agreement, ...]
    sqnr_db: float | None
    threshold_db: float
    floor_db: float | None = None
    probes: Probes | None = None
    keeps_state: bool = False
    metric: TaskMetric | None = None
    max_drop: float | None = None
    coverage: Coverage | None = None
    verdict: Verdict
    reason: str = ""
    remarks: tuple[str, ...] = ()


class Judged(Noun, frozen=True, kw_only=True):
    """A verification, and the reason why nobody may get the file; "" where there is none.

    ``searchable``: a tensor can be looked for that diverges; on the row ``probe`` of the probes, or,
    without one, on the samples.
    """

    verification: Verification
    refusal: str = ""
    searchable: bool = True
    probe: int | None = None


class FileDigest(Noun, frozen=True, kw_only=True):
    """A file's content digest and size."""

    sha256: str
    bytes: int
