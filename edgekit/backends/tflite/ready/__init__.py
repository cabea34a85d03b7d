"""The float waist, made ready for quantizers: the same network, in forms that integers can hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.ranges import Range
from edgekit.backends.tflite.ready import aliases, casts, factors, heads, masks
from edgekit.backends.tflite.ready.aliases import Aliases
from edgekit.equalization import tracing
from edgekit.equalization.observing import Observation, observe
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array, sqnr_db

SAME_DB = 60.0
"""What a rewritten float network must reach against the original, on the calibration samples."""

MASKED_DB = 20.0
"""What will do if masks were clamped: 46 dB is left by -1e6, 23 dB by -1e7, to which float32 rounds the scores
of rows that are masked whole (to 1/16, to 1)."""


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
    inputs that keep an integer dtype of their own. ``trace`` follows the file's channels if their extremes are kept.
    """

    path: Path
    inputs: dict[str, Array]
    seen: Observation
    fixed: dict[int, Range]
    floats: frozenset[int]
    aliases: Aliases
    integers: dict[str, str]
    trace: tracing.Trace | None = None


def ready(
    path: Path,
    inputs: dict[str, Array],
    used: Used,
    seed: int,
    folder: Path,
    *,
    whole: bool = False,
    wide: bool = False,
    by_channel: bool = False,
) -> Ready:
    """Rewrite a float file for quantization, and look at its activations.

    Args:
        path: the float TFLite file.
        inputs: calibration samples, for each input's name ``[N, *shape]``.
        used: which of them are looked at, and of which the outputs are kept.
        seed: drives which values are remembered.
        folder: where the rewritten file goes.
        whole: all is to be integers, so that nothing is rewritten to stay float at the outputs.
        wide: activations have 16 bits.
        by_channel: whether extremes of activations whose channels can be traced are kept for each channel.

    Raises:
        InputError: a sample drives the network to NaN or infinity.
        Unsupported: LiteRT cannot run the file, or nothing in it is computed.
    """
    model = graph.load(path)
    taken = aliases.take_off(model)
    integers, fixed = casts.take_off(model)
    factors.exchange(model)
    inputs = {name: values.astype(np.float32) if name in integers else values for name, values in inputs.items()}
    made = folder / "ready.tflite"
    made.write_bytes(graph.pack(model))
    main = graph.describe(model)[0]
    watched = frozenset() if whole else heads.watched(main)
    trace = tracing.Trace(model) if by_channel else None
    watched |= frozenset() if trace is None else trace.within.keys()
    seen = observe(made, main, inputs, used.scored, seed, rows=used.rows, by_channel=watched)
    if any(one.masked or one.unbounded for one in seen.activations.values()):
        seen = Observation(seen.activations, _outputs(made, inputs, used.scored))
    path, seen, floats = _rewritten(made, seen, inputs, used, seed, part=not whole, wide=wide)
    if trace is not None and path != made:
        trace = tracing.Trace(graph.load(path))
    inner = graph.ints(model.subgraphs[0].inputs)
    for side, number in taken.outputs:
        if side == "inputs" and (one := seen.activations.get(inner[number])) is not None:
            fixed[inner[number]] = one.low, one.high  # as an output it needs all of its range
    return Ready(path, inputs, seen, fixed, floats, taken, integers, trace)


def _outputs(made: Path, inputs: dict[str, Array], scored: NDArray[np.int_]) -> dict[str, Array]:
    """The outputs as XNNPACK and the sources' runtimes compute them.

    The lowest float twice is -inf there; the kernels that show all activations stop at the lowest float, and
    in a row that is masked whole what two masks hide had a share.
    """
    return run.run(made, {name: values[scored] for name, values in inputs.items()}, threads=run.host_threads())


def _rewritten(
    made: Path, seen: Observation, inputs: dict[str, Array], used: Used, seed: int, *, part: bool, wide: bool
) -> tuple[Path, Observation, frozenset[int]]:
    """A float file with its masks clamped and its heads parted, what is seen in it, and what must stay float for it.

    It is the file as it was if there is nothing to do, or if it does not compute the same afterwards. Of masks
    that swallow scores only in part the form that comes closest is taken.
    """
    found = made, seen, frozenset[int]()
    closest = MASKED_DB
    for levels in range(3):
        model = graph.load(made)
        parted = heads.part(model, seen.activations, wide=wide) if part else 0
        clamped, floats = masks.clamp(model, seen.activations, levels=levels)
        if not clamped and (levels or not parted):
            break
        path = made.with_name(f"clamped_{levels}.tflite")
        path.write_bytes(graph.pack(model))
        watched = {tensor for tensor, one in seen.activations.items() if one.channels is not None}
        again = observe(path, graph.describe(model)[0], inputs, used.scored, seed, rows=used.rows, by_channel=watched)
        same = min(sqnr_db(seen.outputs[name], values) for name, values in again.outputs.items())
        if same >= (closest if clamped else SAME_DB):
            found, closest = (path, Observation(again.activations, seen.outputs), floats), same
        if same >= SAME_DB:
            break
    return found
