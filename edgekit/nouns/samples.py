"""Samples that are kept: training, calibration and evaluation data are roles of these."""

from typing import Literal

from edgekit.nouns.base import Noun

type Role = Literal["training", "calibration", "evaluation"]
"""What samples are for. They are read, kept and mapped alike; evaluation and training need labels more often."""


class Kept(Noun, frozen=True, kw_only=True):
    """Samples in the cache: ``used`` of ``total``, chosen by their contents, with the digests of these and of all.

    ``notes`` and ``doubts`` are those of `edgekit.samples.Samples`. ``constant``: no float or 8-bit input has more
    than one value; ``still``: such inputs that are the same in all samples. ``names`` say what each sample
    is, if they are probes.
    """

    origin: str
    total: int
    total_sha256: str
    used: int
    sha256: str
    labelled: bool
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    constant: bool = False
    still: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
