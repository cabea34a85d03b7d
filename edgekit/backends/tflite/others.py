"""A file on other kernels than those that phones take by default: how far families of kernels differ."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from edgekit.errors import EdgekitError
from edgekit.nouns.model import Signature
from edgekit.waist import run as running
from edgekit.waist.rows import write_rows
from edgekit.waist.run import Kernels
from edgekit.waist.tensors import Array, arrays, each_to_file, each_to_source


def run(artifact: Path, signature: Signature, inputs: Path, outputs: Path, seconds: float) -> None:
    """See `edgekit.backends.Backend.run_otherwise`; one sample is run however long it takes."""
    given = each_to_file(signature, arrays(inputs))
    for kernels in filter(None, get_args(Kernels)):
        try:
            found = running.each(artifact, given, threads=running.host_threads(), kernels=kernels)
            write_rows(outputs / f"{kernels}.npz", each_to_source(signature, _some(found, seconds)))
        except EdgekitError:  # it lacks a kernel, or takes too long: nothing is known of this family
            (outputs / f"{kernels}.npz").unlink(missing_ok=True)


def _some(rows: Iterator[dict[str, Array]], seconds: float) -> Iterator[dict[str, Array]]:
    end = time.monotonic() + seconds
    for row in rows:
        yield row
        if time.monotonic() > end:
            return
