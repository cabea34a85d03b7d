"""The float waist, made ready for quantizers: the same network, in forms that integers can hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite import aliases, casts, heads, masks
from edgekit.backends.tflite.aliases import Aliases
from edgekit.backends.tflite.ranges import Observation, Range, observe
from edgekit.waist import graph
from edgekit.waist.tensors import Array, sqnr_db

SAME_DB = 60.0
"""What a rewritten float network must reach against the original, on the calibration samples."""


class Used(NamedTuple):
    """Calibration samples by number: those that are looked at, in their order, and those of them that score files."""

    rows: NDArray[np.int_]
    scored: NDArray[np.int_]


@dataclass(frozen=True)
class Ready:
    """A float file that quantizers take, in ``path``.

    ``seen`` holds its activations, and the *original's* outputs on the scored samples. ``inputs`` are the
    samples in its dtypes; ``fixed`` are ranges that the dtypes of inputs decide; ``floats`` are operators
    that stay float for a rewriting; ``aliases`` is what was taken off the outputs; ``integers`` are
    inputs that keep an integer dtype of their own.
    """

    path: Path
    inputs: dict[str, Array]
    seen: Observation
    fixed: dict[int, Range]
    floats: frozenset[int]
    aliases: Aliases
    integers: dict[str, str]


def ready(path: Path, inputs: dict[str, Array], used: Used, seed: int, folder: Path, *, whole: bool = False) -> Ready:
    """Rewrite a float file for quantization, and look at its activations.

    Args:
        path: the float TFLite file.
        inputs: calibration samples, for each input's name ``[N, *shape]``.
        used: which of them are looked at, and of which the outputs are kept.
        seed: drives which values are remembered.
        folder: where the rewritten file goes.
        whole: all is to be integers, so that nothing is rewritten to stay float at the outputs.

    Raises:
        InputError: a sample drives the network to NaN or infinity.
        Unsupported: LiteRT cannot run the file, or nothing in it is computed.
    """
    model = graph.load(path)
    taken = aliases.take_off(model)
    integers, fixed = casts.take_off(model)
    inputs = {name: values.astype(np.float32) if name in integers else values for name, values in inputs.items()}
    made = folder / "ready.tflite"
    made.write_bytes(graph.pack(model))
    main = graph.describe(model)[0]
    watched = frozenset() if whole else heads.watched(main)
    seen = observe(made, main, inputs, used.scored, seed, rows=used.rows, by_channel=watched)
    parted = 0 if whole else heads.part(model, seen.activations)
    clamped, floats = masks.clamp(model, seen.activations)
    if clamped or parted:
        with_clamps = folder / "clamped.tflite"
        with_clamps.write_bytes(graph.pack(model))
        again = observe(with_clamps, graph.describe(model)[0], inputs, used.scored, seed, rows=used.rows)
        if min(sqnr_db(seen.outputs[name], values) for name, values in again.outputs.items()) >= SAME_DB:
            made, seen = with_clamps, Observation(again.activations, seen.outputs)
        else:
            floats = frozenset()
    inner = graph.ints(model.subgraphs[0].inputs)
    for side, number in taken.outputs:
        if side == "inputs" and (one := seen.activations.get(inner[number])) is not None:
            fixed[inner[number]] = one.low, one.high  # as an output it needs all of its range
    return Ready(made, inputs, seen, fixed, floats, taken, integers)
