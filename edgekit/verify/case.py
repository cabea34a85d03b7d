"""What a verdict is asked about: a file, what it is held against, and where the lines are."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edgekit.nouns.model import FLOATS, Precision
from edgekit.nouns.verification import Budget, Coverage, Made, SamplesUse, TaskMetric

THRESHOLDS_DB: dict[Precision, float] = {
    "float32": 60.0,
    "float16": 40.0,
    "int16x8": 30.0,
    "dynamic-int8": 20.0,
    "int8": 15.0,
    "int4": 10.0,
}
"""SQNR below which a file is refused (floats) or warned about (quantized).

float32: single-precision reorderings stay above 100 dB on the models measured, a wrong transpose
falls to a few dB. float16: an 11-bit significand gives about 66 dB per rounding; 40 leaves room
for depth. Quantized: SQNR of a uniform quantizer is about 6 dB per bit (Bennett 1948); the values
leave half of the bits to accumulation over layers.
"""

ROUNDED_DB = 20.0
"""The same at most if the source itself rounds its activations to 8 bits (as one that is quantized already does).

Both sides may round a value that lies between two steps to different ones, and a float file of a source whose
steps are chosen anew at every run does not round at all: what that comes to is the source's own noise.
"""

TRAINED_DB = THRESHOLDS_DB["int8"]
"""The same at most for a network that was pruned or trained: what is asked of integers, whatever the precision."""

SAME_CHOICES: dict[Precision, float] = {"int8": 0.83, "int4": 0.72}
"""Cohen's kappa of choices (classes, indices, flags) from which on they count as the source's; `MOST_ALIKE` for others.

SQNR counts one class for another by the difference of their numbers: two of five indices that change places at a
tie are 18 dB, and a wrong class of a thousand may be 40. So choices are held against the scores that they are made
of: these are what the argmax of ten independent normal scores agrees to if the scores have the SQNR of
`THRESHOLDS_DB` (simulated; 0.90 at 20 dB, 0.97 at 30 dB). Kappa is 0 if a mask of few pixels is lost.
"""

MOST_ALIKE = 0.9
"""The same for all other precisions: ties change places in the best file, and few samples have few choices."""


@dataclass(frozen=True)
class Case:
    """What is judged, and on what.

    ``made`` is by output how it came to be; ``constant_data``: calibration saw one value only;
    ``still``: inputs that were the same in all of its samples, and are in those that judge;
    ``fed_back``: outputs with the inputs that they may become (`edgekit.verify.feedback`).
    ``labels`` belong to the task metric ``measured``. ``source`` is the source's own precision. ``trained``: the
    network was pruned or trained since, so that a float file computes only about what the source computes.
    ``unshown`` is what may be wrong without being seen on made-up inputs. ``joins`` is what the runtime calls the
    operator that joins branches, "" if none of its operators may be float; ``wider`` are precisions that lose less.
    ``moving`` tells whether the samples change, and is asked only if an output hardly does.
    """

    precision: Precision
    origin: str
    source: Precision = "float32"
    use: SamplesUse | None = None
    made: dict[str, Made] = field(default_factory=dict)
    constant_data: bool = False
    still: tuple[str, ...] = ()
    fed_back: tuple[tuple[str, str], ...] = ()
    measured: TaskMetric | None = None
    odd_labels: str = ""
    budget: Budget = field(default_factory=Budget)
    coverage: Coverage | None = None
    min_mapped: float | None = None
    trained: bool = False
    unshown: tuple[str, ...] = ()
    joins: str = "CONCATENATION"
    wider: tuple[str, ...] = ("int16x8", "float16")
    moving: Callable[[], bool] = lambda: True

    @property
    def exact(self) -> bool:
        """Whether the file has to compute what its source computes; else it may only be worse."""
        return self.precision in FLOATS and not self.trained

    @property
    def threshold_db(self) -> float:
        """See `THRESHOLDS_DB`, `ROUNDED_DB` and `TRAINED_DB`."""
        own = THRESHOLDS_DB[self.precision]
        if self.trained:
            own = min(own, TRAINED_DB)
        return own if self.source in FLOATS else min(own, ROUNDED_DB)

    @property
    def least_kappa(self) -> float:
        """See `SAME_CHOICES`."""
        return SAME_CHOICES.get("int8" if self.trained and self.precision != "int4" else self.precision, MOST_ALIKE)
