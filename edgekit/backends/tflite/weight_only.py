"""Integer weights with float activations, fitted to samples if there are any.

A file is made without samples first. What its layers' weights are stored in is read off it, they are fitted to that,
and samples that nothing was fitted to decide which file is kept, as with integer files.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from edgekit.backends.tflite import engines, weights
from edgekit.backends.tflite.judge import Judge, scored
from edgekit.backends.tflite.layerwise import WAYS, fitting
from edgekit.backends.tflite.layerwise.grid import Granularity, Scheme
from edgekit.backends.tflite.plan import QuantizationPlan
from edgekit.equalization.layers import layer
from edgekit.errors import EndlessError
from edgekit.nouns.building import Tried
from edgekit.waist import graph, state
from edgekit.waist.ordering import by_content
from edgekit.waist.tensors import Array
from edgekit.waist.trial import Trial

BITS = {"int8": 8, "int4": 4}
"""Of integers by dtype."""

WRITER = "ai-edge-quantizer"
"""What writes such files."""


class WeightsFile(NamedTuple):
    """A file's content, notes, and what it was chosen from."""

    content: bytes
    notes: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()


def quantize(
    path: Path,
    bits: int,
    inputs: dict[str, Array] | None,
    trial: Trial,
    *,
    per_channel: bool,
    wanted: str = "auto",
    kept: frozenset[int] = frozenset(),
) -> WeightsFile:
    """Store weights in 8 or 4 bits; see `weights.to_integer_weights`.

    Args:
        path: the float TFLite file.
        bits: 8 or 4.
        inputs: samples, for each input's name ``[N, *shape]``; without any, weights are rounded to the nearest level.
        trial: runs the files.
        per_channel: a scale for each output.
        wanted: what is done to the weights before, one of `WAYS`, or ``auto`` to keep the best.
        kept: operators that keep float32 weights.

    Raises:
        Unsupported: ai-edge-quantizer cannot.
    """

    def write(plan: QuantizationPlan) -> bytes:
        """The file that comes of a plan."""
        return weights.to_integer_weights(plan.path, bits, per_channel=per_channel, kept=kept)

    plain = write(QuantizationPlan(path, lambda _: {}))
    if wanted == "nearest":
        return WeightsFile(plain)
    unfitted = WeightsFile(plain, () if wanted == "auto" else (fitting.NOT_FITTED,), _nearest(fitting.NOT_FITTED))
    if inputs is None or state.note(graph.load(path)):  # a state goes on from one sample to the next
        return unfitted
    schemes = stored(path, plain)
    if not schemes:
        return unfitted
    return _fitted(path, plain, fitting.Writer(write, schemes, {}, wanted=wanted), inputs, trial) or unfitted


def _nearest(why: str) -> tuple[Tried, ...]:
    """Weights that are rounded to the nearest level, since in no other way a file can be had."""
    others = (Tried(settings={"weights": way}, problem=why) for way in WAYS if way != "nearest")
    return (Tried(settings={"weights": "nearest"}, chosen=True), *others)


def _fitted(
    path: Path, plain: bytes, writer: fitting.Writer, inputs: dict[str, Array], trial: Trial
) -> WeightsFile | None:
    """The best that comes of weights which are fitted to samples; None if these samples fit none.

    ``plain`` is the file whose weights are rounded to the nearest level, which is left if it does not run on them.
    """
    rows = by_content(inputs)
    judging = rows[scored(path, graph.read(path)[0], len(rows))]
    fold = fitting.split(judging, rows, kept=False)
    if not len(fold.fit):
        return None
    with TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        copied.write_bytes(path.read_bytes())
        shown = {name: values[judging] for name, values in inputs.items()}
        try:
            outputs = trial.run(path.read_bytes(), shown)
            if not all(np.isfinite(values).all() for values in outputs.values()):
                return None
            judge = Judge(trial, path, shown, outputs)
            found = judge(plain, WRITER, "", QuantizationPlan(copied, lambda _: {}))
        except EndlessError:
            raise
        except engines.FAILURES:  # it does not run on these samples: whoever verifies it says so
            return WeightsFile(plain)
        fitted = fitting.fitted([fitting.Form(found, writer)], judge, inputs, fold)
    best = fitted.candidate
    left = tuple(f"rounded to the nearest level, its samples are not finite: {name}" for name in best.plan.unfitted)
    notes = (f"{WAYS[best.plan.weights]}: {best.sqnr_db:.1f} dB on the samples", *left)
    return WeightsFile(best.content, notes, tuple(fitted.told([{}])))


def stored(path: Path, content: bytes) -> dict[int, Scheme]:
    """How a file stores the weights of a float network's layers, by operator; without those that stay float."""
    model, made = graph.load(path), graph.describe(graph.parse(content, path))[0]
    main = graph.describe(model)[0]
    makers = {made.tensors[tensor].name: operator for operator in made.operators for tensor in operator.outputs}
    schemes: dict[int, Scheme] = {}
    for operator in main.operators:
        found = layer(model, main, operator)
        same = makers.get(main.tensors[operator.outputs[0]].name) if operator.outputs else None
        if found is None or same is None or same.name != operator.name:
            continue
        tensor = made.tensors[same.inputs[operator.inputs.index(found.kernel)]]
        if tensor.dtype not in BITS or not tensor.scales:
            continue
        one = len(tensor.scales) == 1 and np.prod(found.matrices().shape[:2]) > 1
        each: Granularity = "column" if operator.name == "BATCH_MATMUL" else "channel"
        schemes[operator.index] = Scheme(BITS[tensor.dtype], "tensor" if one else each)
    return schemes
