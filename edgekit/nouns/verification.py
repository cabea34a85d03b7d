"""The evidence that a file computes what its source computes."""

from typing import Literal

from edgekit.nouns.base import Noun


class Made(Noun, frozen=True, kw_only=True):
    """How an output came to be, as the end of the network's graph tells.

    ``cuts``: by axis of the source's output, where a branch that the network concatenates ends and the next begins.
    ``depends``: whether it depends on the inputs at all. ``shares``: the axis of the source's output along which a
    softmax makes shares of 1, so that the place of the highest is a choice; None if the graph tells of none.
    ``bounded``: operators made it whose results have ends of their own, such as a softmax.
    """

    cuts: dict[int, tuple[int, ...]] = {}
    depends: bool = True
    shares: int | None = None
    bounded: bool = False


class OutputPart(Noun, frozen=True, kw_only=True):
    """The part of an output that comes least close to the source's.

    ``name`` says which (``channels 4..11``, ``column 3``); ``branch`` is True if the network
    concatenates it with others at its end, so that it has a meaning and a range of its own.
    ``constant``: it varies in the source, and in the file is one value or the same for every sample. ``clipped``: the
    share (0..1) of the source's values that lie beyond the ends of the file's, if that is much. ``sqnr_db`` is None if
    it is equal bit for bit.
    """

    name: str
    branch: bool
    sqnr_db: float | None
    constant: bool = False
    clipped: float = 0.0


class ClassAgreement(Noun, frozen=True, kw_only=True):
    """How many (0..1) of the ``samples`` for which the source chooses class ``index`` the file puts there as well."""

    index: int
    samples: int
    agreement: float


class Agreement(Noun, frozen=True, kw_only=True):
    """How close an output comes to the source's, over all samples together.

    ``sqnr_db`` is 10·log10(Σ reference² / Σ (reference − output)²); None if both are zero or
    equal bit for bit (``identical``). ``varying_sqnr_db`` is the same of what changes from sample to sample
    (`edgekit.waist.movement`), None if nothing is known of it. ``top1_agreement`` is a share in 0..1, of chosen
    classes (for each sample; behind a softmax at each step or place that is no background) or of whole numbers wider
    than 8 bits; None if the output is neither. ``choices`` is how many these are. ``classes`` are those that agree far
    less than the others, ``collapsed`` the parts that are constant or clipped in the file alone. ``worst_parts`` are
    the branch that comes least close, and a column that is lost.
    """

    output: str
    identical: bool
    sqnr_db: float | None
    max_abs_error: float
    cosine: float | None
    varying_sqnr_db: float | None = None
    top1_agreement: float | None = None
    choices: int = 0
    classes: tuple[ClassAgreement, ...] = ()
    worst_parts: tuple[OutputPart, ...] = ()
    collapsed: tuple[OutputPart, ...] = ()


class Budget(Noun, frozen=True, kw_only=True):
    """What a user demands of each file's accuracy; None demands nothing.

    ``max_drop`` is the largest loss of the task metric, ``min_agreement`` the least share (0..1) of choices that are
    the source's, in each output that chooses, and ``min_sqnr_db`` the least SQNR of the worst output.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    min_sqnr_db: float | None = None

    def __bool__(self) -> bool:
        """Whether anything is demanded."""
        return self != Budget()


class MetricScore(Noun, frozen=True):
    """What a task metric says of some outputs, and which way is better."""

    value: float
    higher_is_better: bool


class TaskMetric(Noun, frozen=True, kw_only=True):
    """A task metric of source and artifact over the same evaluation samples.

    ``chance`` is what an answer reaches that knows nothing of the sample; None if it is not known.
    """

    name: str
    samples: int
    source: float
    artifact: float
    drop: float
    chance: float | None = None


class Probes(Noun, frozen=True, kw_only=True):
    """What a file computes on inputs that no sample holds: all zeros, constants, extremes.

    Values count if the source's are finite. ``sqnr_db`` is the worst over probes and float
    outputs, where the source's energy is at least that of the samples; None if all are equal.
    ``unavailable`` is the reason why some, or all, of them are left out.
    """

    inputs: tuple[str, ...] = ()
    worst: str = ""
    sqnr_db: float | None = None
    unavailable: str = ""


class Coverage(Noun, frozen=True, kw_only=True):
    """How much of a network an accelerator takes, as shares in 0..1.

    ``macs`` is None if the multiply-accumulates of single operators are not known. ``least`` is
    the budget, if any; it holds for MACs if these are known, else for operators.
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
    ``sqnr_db`` is that of the worst output, or of the worst branch of an output (see `OutputPart`).
    ``verdict``: ``pass``, ``warn`` (a quantized file below ``threshold_db``, or evidence that shows
    little), ``miss`` (a stated budget is missed) or ``fail`` (a quantized file of no use, such as
    one below ``floor_db``), with the ``reason``. ``keeps_state``: an output depends on earlier
    inputs, as it does in the source. ``remarks`` are what limits the evidence. ``max_drop``, ``min_agreement`` and
    ``min_sqnr_db`` are the user's `Budget`.
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
    min_agreement: float | None = None
    min_sqnr_db: float | None = None
    coverage: Coverage | None = None
    verdict: Verdict
    reason: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def agreement(self) -> float | None:
        """The least share of choices that are the source's over all outputs that choose; None if none does."""
        return min((a.top1_agreement for a in self.outputs if a.top1_agreement is not None), default=None)


class Judged(Noun, frozen=True, kw_only=True):
    """A verification, and the reason why nobody may get the file; "" if there is none.

    ``searchable``: a tensor can be looked for that diverges; on the row ``probe`` of the probes, or,
    without one, on the samples.
    """

    verification: Verification
    refusal: str = ""
    searchable: bool = True
    probe: int | None = None

    @property
    def evidence(self) -> dict[str, float | str | None]:
        """The figures that the step tells of itself.

        SQNR and drop are against the original source, whatever stands between; an SQNR of None: identical.
        """
        judged, metric = self.verification, self.verification.metric
        told: dict[str, float | str | None] = {"verdict": judged.verdict, "sqnr_db": judged.sqnr_db}
        if metric is not None:
            told |= {"metric": metric.name, "source": metric.source, "artifact": metric.artifact, "drop": metric.drop}
        return told
