"""What a user demands of the files of a target."""

from typing import Annotated

import msgspec

from edgekit.nouns.base import Noun
from edgekit.nouns.verification import Budget

AtLeastZero = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

TOLERANCE = 0.01
"""How much worse than the baseline a figure may be without being a regression, as a share of it."""


class Demands(Noun, frozen=True, kw_only=True):
    """The table ``[budget]``, for all targets, or ``[budget.TARGET]``, for one; what is not said demands nothing.

    A build judges accuracy and size, and, if it measures, the rest; ``edgekit gate`` judges all of it.

    Keys:
        max_drop: the largest loss of the metric that is no failure, 0 or more (0.01: one point of a share).
        min_agreement: the least share (0..1) of choices that are the source's.
        min_sqnr: the least SQNR in dB, of the worst output.
        min_mapped: the least share (0..1) of a network that its accelerator must take, of multiply-accumulates
            if they are known, else of operators.
        max_size: what all parts of a file may take together, such as ``"4M"`` (M: 2^20 bytes).
        max_latency_ms: the longest median latency.
        max_energy_mj: the most energy of an inference, above idle if that is known.
        max_peak_memory: the most memory that loading and running it may add to a process, such as ``"64M"``.
        min_delegate_time: the least share (0..1) of an inference's *time* that is spent in the delegate.
        tolerance: by how much of itself a size or a measured figure may be worse than the baseline's and yet be no
            regression, even if the difference is shown; 0.01 without.
    """

    max_drop: AtLeastZero | None = None
    min_agreement: Share | None = None
    min_sqnr: AtLeastZero | None = None
    min_mapped: Share | None = None
    max_size: str | None = None
    max_latency_ms: AtLeastZero | None = None
    max_energy_mj: AtLeastZero | None = None
    max_peak_memory: str | None = None
    min_delegate_time: Share | None = None
    tolerance: AtLeastZero | None = None

    @property
    def accuracy(self) -> Budget:
        """What verification judges, and a search goes by."""
        return Budget(max_drop=self.max_drop, min_agreement=self.min_agreement, min_sqnr_db=self.min_sqnr)

    def over(self, others: "Demands") -> "Demands":
        """These demands, and of the others what these leave out."""
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(others, **said)
