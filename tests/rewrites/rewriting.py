"""How tests look at rewrites: the operators that are left, and both files' outputs on the same inputs."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.rewrites import Optimized
from edgekit.rewrites.optimizer import WaistOptimizer
from edgekit.waist import graph, run
from tests import networks


def operators(path: Path) -> Counter[str]:
    """The operators of a file's main graph, counted."""
    return Counter(operator.name for operator in graph.read(path)[0].operators)


def rewritten(path: Path, *rules: str) -> tuple[Optimized, Path]:
    """A file rewritten by rules, beside itself; the file itself if nothing was."""
    out = path.parent / f"{path.stem}_rewritten"
    out.mkdir()
    told = WaistOptimizer().optimize(path, networks.signature(path), rules, out)
    return told, path if told.file is None else out / told.file


def outputs(path: Path, seed: int = 0, scale: float = 1.0) -> list[Any]:
    """What a file makes of ordinary numbers, on LiteRT as phones run it, in the order of its outputs."""
    random, described = np.random.default_rng(seed), networks.signature(path)
    given = {
        spec.name: (random.standard_normal((2, *spec.shape)) * scale).astype(spec.dtype) for spec in described.inputs
    }
    found = run.run(path, given)
    return [found[spec.name] for spec in described.outputs]


def assert_same(before: Path, after: Path, atol: float = 1e-5) -> None:
    """Both files have the same boundary, and give the same."""
    assert networks.signature(before) == networks.signature(after)
    for scale in (0.0, 1.0, 1000.0):
        for one, other in zip(outputs(before, 1, scale), outputs(after, 1, scale), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=atol * max(1.0, scale))
