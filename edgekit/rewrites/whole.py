"""The last proof: a rewritten network as a whole beside the original."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import Unsupported
from edgekit.nouns.model import Signature
from edgekit.rewrites import proof
from edgekit.waist import run
from edgekit.waist.tensors import Array, arrays, inputs_to_file, sqnr_db

WHOLE_DB = 100.0
"""What both must agree to, on a sample and on ordinary numbers: roundings add up on the way."""

FAR_DB = 60.0
"""The same on inputs that no sample holds, measured against what an output is on the sample if that is more: a norm
divides the rounding of a constant image by an epsilon, and right networks differ there."""


def agrees(original: Path, rewritten: Path, signature: Signature, probes: Path | None = None) -> bool:
    """Whether two files give the same, on numbers made up and on probes (arrays under source names, a sample first).

    What neither can be run on does not count.
    """
    for given in _made_up(signature):
        before, after = _outputs(original, given), _outputs(rewritten, given)
        if before is not None or after is not None:
            if before is None or after is None:
                return False
            if not all(proof.alike(before[name], after[name], WHOLE_DB) for name in before):
                return False
    if probes is None:
        return True
    given = inputs_to_file(signature, arrays(probes))
    before, after = _outputs(original, given), _outputs(rewritten, given)
    if before is None or after is None:
        return before is after
    return all(_close(before[name], after[name]) for name in before)


def _made_up(signature: Signature) -> Iterator[dict[str, Array]]:
    """Zeros, and ordinary numbers."""
    tensors = {number: (spec.shape, spec.dtype) for number, spec in enumerate(signature.inputs)}
    below = {number: spec.index_below for number, spec in enumerate(signature.inputs) if spec.index_below}
    for probe in islice(proof.probes(tensors, 1, below), 0, None, 2):
        yield {spec.name: probe[number][None] for number, spec in enumerate(signature.inputs)}


def _outputs(path: Path, given: dict[str, Array]) -> dict[str, Array] | None:
    try:
        return run.run(path, given, threads=run.host_threads())
    except Unsupported:
        return None


def _close(before: Array, after: Array) -> bool:
    """Whether an output agrees on every probe, the first of which is a sample."""
    if not proof.alike(before[:1], after[:1], WHOLE_DB):
        return False
    return all(
        proof.alike(one, other, FAR_DB) or _little(one, other, before[0])
        for one, other in zip(before[1:], after[1:], strict=True)
    )


def _little(one: Any, other: Any, sample: Any) -> bool:
    """Whether two outputs differ by little against what the output is on a sample."""
    if one.dtype.kind != "f" or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return False
    finite = np.isfinite(one)
    return sqnr_db(sample, sample + np.where(finite, other - one, 0)) >= FAR_DB
