"""A float TFLite file as a model of tf-keras, operator by operator."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from edgekit.trainable import shapes, weights
from edgekit.trainable.building import ModelBuilder
from edgekit.trainable.form import Lifted
from edgekit.trainable.operands import File
from edgekit.trainable.planning import plan
from edgekit.waist import graph, state
from edgekit.waist.stepwise import Stepwise

AT_REST = "it keeps its state from run to run ({operators}); trained on, each sample begins at the first state"
"""What is told of a file whose runs continue one another."""


def lift(
    path: Path,
    *,
    normalized: frozenset[int] = frozenset(),
    dropped: Mapping[int, float] = MappingProxyType({}),
) -> Lifted:
    """Lift a float TFLite file.

    Args:
        path: the file.
        normalized: operators of the main graph, by their places, behind which a BatchNormalization is put, before any
            activation. `edgekit.trainable.normalization` knows which may be, and what the layers have to hold.
        dropped: operators, by their places, before which a Dropout is put → the share that it drops while training.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
        Unsupported: LiteRT cannot run it, or it works on something else than numbers.
    """
    content = path.read_bytes()
    tree = graph.parse(content, path)
    shapes.settle(tree, path)
    file, found, stepwise = File(tree), weights.find(tree), Stepwise(tree)
    lifted = ModelBuilder(file, plan(file, found, stepwise), stepwise, normalized, dropped).lifted(path, content)
    kept = state.keepers(tree)
    return replace(lifted, notes=(*lifted.notes, AT_REST.format(operators=", ".join(kept)))) if kept else lifted
