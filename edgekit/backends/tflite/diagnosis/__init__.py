"""Where a TFLite file loses its signal: operator by operator against the float network that it was made from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgekit.backends.tflite.diagnosis import carried, channels, grids, sensitivity
from edgekit.backends.tflite.diagnosis.matching import Pairs, Side
from edgekit.backends.tflite.diagnosis.sensitivity import Tails
from edgekit.backends.tflite.diagnosis.walk import Walk
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Waist
from edgekit.waist import cost, graph, state, stored
from edgekit.waist.causes import level_db, noise, with_shares
from edgekit.waist.ordering import evenly
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array, arrays, inputs_to_file

WALK_BYTES = 1 << 29
"""Activations of both networks that are held at a time."""

VALUES = 4
"""How often an activation is held at most: in the float network, and in the file alone, accumulated and being made."""


def diagnose(artifact: Path, waists: Sequence[Waist], samples: Path, helps: int = 0) -> Diagnosis:
    """See `edgekit.backends.Backend.diagnose`."""
    file = _file(artifact)
    waist, floats, pairs = _closest(file, artifact, waists)
    channels.follow(file, floats, pairs)
    given, count = _given(waist, arrays(samples), floats)
    inputs = {mine: grids.on(file.graph.tensors[mine], given[pairs.tensors[mine]]) for mine in file.graph.inputs}
    inputs, given = inputs | carried.values(file.model, inputs), given | carried.values(floats.model, given)
    wanted = Stepwise(floats.model).run_part(floats.graph.operators, given, floats.graph.outputs)
    macs = cost.count(Path(waist.file)).macs
    most = sensitivity.affordable(macs, len(floats.graph.operators), count)
    tails = Tails(floats, wanted, most) if most else None
    walk = Walk(file, floats, pairs, (inputs, given), tails=tails, helps=helps)
    walk.run()
    made = {t: walk.own[t] for t in file.graph.outputs if t in walk.own and t in pairs.tensors}
    own = {pairs.tensors[t]: grids.real(file.graph.tensors[t], values) for t, values in made.items()}
    computing = [operator for operator in file.graph.operators if operator.name not in graph.BORDER]
    return Diagnosis(
        samples=count,
        output_db=level_db(noise({t: v for t, v in wanted.items() if v.dtype == np.float32}, own)),
        operators=with_shares(walk.rows),
        operators_total=len(computing),
        unmatched=tuple(walk.unmatched),
        remarks=(*_remarks(file, most),),
    )


def _file(artifact: Path) -> Side:
    """The file, its float16 constants unpacked.

    Raises:
        InputError: it computes in float32, so that it has no error of this kind.
        Unsupported: it is compiled for an accelerator.
    """
    model = graph.load(artifact)
    main = graph.describe(model)[0]
    compiled = [operator.name for operator in main.operators if operator.name.startswith("CUSTOM:")]
    if compiled:
        raise Unsupported(
            f"{artifact.name} holds {compiled[0].removeprefix('CUSTOM:')}, which this host cannot look into.",
            place=str(artifact),
            fix="diagnose the file that it was compiled from: build the same model for android with --precision int8",
        )
    if stored.precision(main) == "float32":
        raise InputError(
            f"{artifact.name} computes in float32 with float32 weights: nothing in it is rounded.",
            place=str(artifact),
            fix="diagnose a file of int8, int16x8, int4, dynamic-int8 or float16",
        )
    stored.unpack(model)
    return Side(model)


def _closest(file: Side, artifact: Path, waists: Sequence[Waist]) -> tuple[Waist, Side, Pairs]:
    """The form of the float network of which the file has the most operators; the first of several.

    What rewrites a network keeps names for other values: channels that are picked in another order, factors that went
    into the weights behind.

    Raises:
        InputError: the file was made from none of them.
        Unsupported: its operators are in loops.
    """
    found: tuple[Waist, Side, Pairs] | None = None
    fit, problem = -1, list[InputError | Unsupported]()
    for waist in waists:
        try:
            floats = Side(graph.load(Path(waist.file)))
            carried.require_outside_of_loops(artifact, file.model, floats.model)
            pairs = Pairs(file, floats, str(artifact))
        except (InputError, Unsupported) as error:
            problem.append(error)
            continue
        alike = pairs.fit if len(waists) > 1 else 0
        if alike > fit:  # the other forms need not stay in memory
            found, fit = (waist, floats, pairs), alike
    if found is None:
        raise problem[-1]
    return found


def _given(waist: Waist, samples: dict[str, Array], floats: Side) -> tuple[dict[int, Array], int]:
    """The float network's inputs by tensor index, as many as can be held, evenly taken."""
    every = len(next(iter(samples.values())))
    most = max(1, min(every, WALK_BYTES // (VALUES * max(1, cost.peak(floats.graph)))))
    chosen = evenly(every, most)
    by_name = inputs_to_file(waist.signature, {name: values[chosen] for name, values in samples.items()})
    tensors = floats.graph.tensors
    return {index: by_name[tensors[index].name] for index in floats.graph.inputs}, len(chosen)


def _remarks(file: Side, tried: int) -> Iterator[str]:
    if not tried:
        yield "the network is too large to try what each operator's error does to its outputs"
    if state.keepers(file.model):
        yield "its state went on from each sample to the next; what an error does to later samples is in no share"
