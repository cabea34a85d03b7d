"""A fixed network to float TFLite, proven to compute what Keras computes.

The first converter whose file LiteRT loads and whose outputs agree is taken. Freezing the graph
comes first because it is 5 to 20 times faster than the way through a SavedModel. Only the latter
keeps state between calls, and turns an LSTM into TFLite's own operator instead of a loop (measured
on two LSTMs of 48 steps: 0.16 against 0.43 ms, 36 against 53 kB, and quantizers cannot look into
the loop); so it comes first if there is an LSTM.
"""

import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import Unsupported, first_line
from edgekit.sources.keras import cutting, lowering
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.sources.keras.loading import layers
from edgekit.sources.keras.lstm import fused, fusible
from edgekit.sources.keras.network import Fixed, sample, traced, writes_state
from edgekit.sources.keras.preprocessing import refusal
from edgekit.waist import edit, fusing, graph, guards, padding, rounding, run, state, stored
from edgekit.waist.tensors import IDENTICAL_DB, Array, sqnr_db

AGREEMENT_DB = 60.0
"""The least SQNR of a float conversion; below it the file computes something else."""

ROUNDED_DB = 20.0
"""The same if the network rounds its activations: values between two steps may fall to either."""

INTEGERS_DB = 10.0
"""The same for its integers: kernels differ by steps, which add up in a deep network. Samples judge the rest."""

SEEDS = (0, 1, 0)
"""Of the random samples on which a conversion is compared."""


HELD_BYTES = 1 << 26
"""Of a network with larger outputs one sample is compared; whether it keeps state is seen when the file is verified."""


@dataclass(frozen=True)
class Converted:
    """A TFLite file's content, with how it was made."""

    content: bytes
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def _frozen(fixed: Fixed) -> bytes:
    """Variables become constants; inputs and outputs keep their order."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([lowering.lowered(fixed.function)])
    return bytes(converter.convert())


def _through_saved_model(fixed: Fixed) -> bytes:
    """Variables that the network writes stay variables."""
    module = tf.Module()
    module.variables_kept = list(fixed.function.variables)
    with tempfile.TemporaryDirectory(prefix="edgekit-keras-") as folder:
        tf.saved_model.save(module, folder, signatures=fixed.function)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        return bytes(converter.convert())


def _fused(fixed: Fixed) -> bytes:
    """Keras 3's LSTMs become TFLite's operator, see `edgekit.sources.keras.lstm`."""
    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in fixed.function.structured_input_signature[0]
    ]
    with fused(fixed.network.model):
        return _through_saved_model(replace(fixed, function=traced(fixed.network, specs)))


def _routes(fixed: Fixed) -> dict[str, Callable[[Fixed], bytes]]:
    """Converters by name, the best first."""
    both: dict[str, Callable[[Fixed], bytes]] = {"frozen graph": _frozen, "SavedModel": _through_saved_model}
    if writes_state(fixed.function):
        del both["frozen graph"]
    bodies = fixed.function.graph.as_graph_def().library.function
    if fusible(fixed.network.model):
        return {"SavedModel with fused LSTMs": _fused} | both
    lstm = any(body.attr["api_implements"].s.startswith(b"lstm_") for body in bodies if "api_implements" in body.attr)
    return dict(reversed(both.items())) if lstm else both


def convert(fixed: Fixed, path: Path, *, integers: bool = False) -> Converted:
    """Convert, load in LiteRT and compare with the source on random samples.

    Args:
        fixed: the network.
        path: its file, for complaints.
        integers: let what the network rounds to grids of its own be integers on these grids.

    Raises:
        Unsupported: no route gives a file that LiteRT runs and that agrees; operators are named.
    """
    notes: list[str] = []
    primed: Converted | None = None
    least = INTEGERS_DB if integers else ROUNDED_DB if fixed.rounds else AGREEMENT_DB
    for name, route in _routes(fixed).items():
        try:
            content = named(route(fixed), fixed, integers=integers)
            decibels = agreement(content, fixed)
        except (*FAILURES, Unsupported) as error:
            notes.append(f"{name}: {_reason(error)}")
            continue
        if decibels < least:
            notes.append(f"{name}: agrees with the source only to {_shown(decibels)}")
            continue
        model = graph.parse(content, path)
        how = f"converted through a {name}; {_shown(decibels)} on random samples"
        converted = Converted(content, (*notes, how), state.note(model))
        if not state.primed(model):
            return converted
        primed = primed or converted  # a loop is better: it can be quantized
    if primed is not None:
        return primed
    if (preprocessing := refusal(layers(fixed.network.model), path)) is not None:
        raise preprocessing
    raise Unsupported(
        f"{path.name} does not convert to TFLite. {' '.join(note + '.' for note in notes)}",
        place=str(path),
        fix=cutting.cut_off(fixed, path, _lacking(notes))
        or "replace the operators named by ones that TFLite has, and save again",
    )


LACKING = "TFLite has no operator for "


def _lacking(notes: list[str]) -> set[str]:
    """The kinds of operators that routes say TFLite lacks."""
    said = " ".join(note.partition(LACKING)[2] for note in notes)
    return {name.removeprefix("tf.") for name in re.findall(r"[\w.]+", said)}


def _shown(decibels: float) -> str:
    return "identical" if decibels == IDENTICAL_DB else f"SQNR {decibels:.1f} dB"


def _reason(error: Exception) -> str:
    """The operators that TFLite lacks, or the first line of the complaint."""
    lacking = re.findall(r"^\s*(?:Flex|Custom) ops: ([^\n]+)", str(error), re.MULTILINE)
    if lacking:
        operators = sorted({name.strip().removeprefix("Flex") for line in lacking for name in line.split(",")})
        return f"{LACKING}{', '.join(operators)}"
    if named := re.search(r"'?(tf\.\w+)'? op", str(error)):
        return f"{LACKING}{named.group(1)} as it is used here"
    return first_line(error)


def named(content: bytes, fixed: Fixed, *, integers: bool = False) -> bytes:
    """Give the file's inputs and outputs the source's names and order, a signature that says so, and no state.

    A state that the network itself keeps is no operator's: converters write it as a resource variable. What is rounded
    becomes int8 as `edgekit.waist.rounding` does it; with ``integers`` it is computed with.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    main = model.subgraphs[0]
    inputs, outputs = _boundary(model, main, len(fixed.network.inputs), len(fixed.output_shapes))
    taken = {tensor.name for index, tensor in enumerate(main.tensors) if index not in {*inputs, *outputs}}
    wanted = dict(zip(outputs, fixed.output_names, strict=True)) | dict(zip(inputs, fixed.input_names, strict=True))
    for index, name in wanted.items():  # an output that is an input keeps the input's name
        unique = name.encode()
        while unique in taken:
            unique += b"_"
        taken.add(unique)
        main.tensors[index].name = unique
    main.inputs, main.outputs = inputs, outputs
    model.signatureDefs = [_signature(fixed, inputs, outputs)]
    _unclip(main)
    state.clear(model)
    guards.bound_roots(model)
    padding.leap_explicitly(model)
    if rounding.rounds(graph.describe(model)[0]):
        rounding.as_int8(model)
        if integers:
            fusing.fuse(model, fixed=True)
        else:
            stored.decode(model)
            edit.sweep(model)
    return graph.pack(model)


def _unclip(main: Any) -> None:
    """Let cell states grow as they do in Keras: the converter writes a bound of 10 into every fused LSTM, in place."""
    for operator in main.operators:
        if isinstance(operator.builtinOptions, schema.UnidirectionalSequenceLSTMOptionsT):
            operator.builtinOptions.cellClip = 0.0


def _boundary(model: Any, main: Any, inputs: int, outputs: int) -> tuple[list[int], list[int]]:
    """Tensor indices of inputs and outputs in the source's order.

    A frozen graph keeps the order. Through a SavedModel the order is anybody's, but its signature
    maps the names that `network.traced` gave (``input_0``, ``output_0000``) to tensors.

    Raises:
        ValueError: the converter dropped an input or output.
    """
    if model.signatureDefs:
        signature = model.signatureDefs[0]
        into = {entry.name.decode(): entry.tensorIndex for entry in signature.inputs or []}
        out = {entry.name.decode(): entry.tensorIndex for entry in signature.outputs or []}
        in_order = sorted(into, key=lambda key: int(key.split("_")[1]))
        found = [into[key] for key in in_order], [out[key] for key in sorted(out)]
    else:
        found = [int(index) for index in main.inputs], [int(index) for index in main.outputs]
    if (len(found[0]), len(found[1])) != (inputs, outputs):
        raise ValueError(f"{len(found[0])} of {inputs} inputs and {len(found[1])} of {outputs} outputs are left")
    return found


def _signature(fixed: Fixed, inputs: list[int], outputs: list[int]) -> Any:
    def entries(names: tuple[str, ...], indices: list[int]) -> list[Any]:
        """One entry for each name, with its tensor."""
        made = []
        for name, index in zip(names, indices, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, index
            made.append(entry)
        return made

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = entries(fixed.input_names, inputs), entries(fixed.output_names, outputs)
    return signature


def agreement(content: bytes, fixed: Fixed) -> float:
    """SQNR of the file against the source on random samples run one after another, in dB: the worst output's.

    The last sample is the first again: what a run leaves behind for the next one shows in it.

    Raises:
        Unsupported: LiteRT cannot load or run it.
        ValueError: an output has another shape.
    """
    large = 4 * sum(map(math.prod, fixed.output_shapes)) > HELD_BYTES
    with tempfile.TemporaryDirectory(prefix="edgekit-keras-") as folder:
        file = Path(folder) / "waist.tflite"
        file.write_bytes(content)
        main = graph.read(file)[0]
        samples = [_spread(sample(fixed, seed), main) for seed in (SEEDS[:1] if large else SEEDS)]
        expected = [np.stack(column) for column in zip(*fixed.run_in_order(samples), strict=True)]
        tensors = [main.tensors[index] for index in main.inputs]
        values = [np.stack(column) for column in zip(*samples, strict=True)]
        results = run.run(file, {t.name: v.astype(t.dtype) for t, v in zip(tensors, values, strict=True)})
        found = [results[main.tensors[index].name] for index in main.outputs]
    for wanted, have in zip(expected, found, strict=True):
        if wanted.shape != have.shape:
            raise ValueError(f"an output has the shape {list(have.shape[1:])} instead of {list(wanted.shape[1:])}")
    return min(
        sqnr_db(w, h) for wanted, have in zip(expected, found, strict=True) for w, h in zip(wanted, have, strict=True)
    )


def _spread(inputs: list[Array], main: graph.Graph) -> list[Array]:
    """A sample of 0..1 over the ranges that the file's inputs are rounded in."""
    ranges = rounding.ranges(main)
    spans = [ranges.get(tensor, (0.0, 1.0)) for tensor in main.inputs]
    return [
        np.interp(values.astype(np.float64), (0, 1), span).astype(values.dtype) if values.dtype.kind == "f" else values
        for values, span in zip(inputs, spans, strict=True)
    ]
