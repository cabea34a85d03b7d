"""Where an OpenVINO file loses its signal: each stretch of it held against the float network's.

That is the IR which is written of the same source in float32 (`IrNetwork.named_as` finds what is the same).

    inputs     the float stretch of rounded inputs      weights   the file's stretch of exact inputs, nothing rounded
    clipping, steps   what the quantizer behind it does to the float network's result
    kernel     the file's stretch − the same with its integers computed in floats
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.backends.openvino import effort, holding, reading
from edgekit.backends.openvino.diagnosis.added_errors import AddedErrors
from edgekit.backends.openvino.diagnosis.channels import followed
from edgekit.backends.openvino.diagnosis.stretches import Floats, IrNetwork, Point, Quantizer, Stretch, compiled
from edgekit.backends.openvino.libraries import CORE, FAILURES
from edgekit.errors import InputError, Unsupported
from edgekit.host import deadline, events
from edgekit.nouns.diagnosis import Cause, Diagnosis, Help, OperatorDiagnosis, Unmatched
from edgekit.nouns.model import Waist
from edgekit.waist.causes import (
    LEAST_GAIN_DB,
    Noise,
    apart_db,
    channels_told,
    error,
    few_channels,
    level_db,
    noise,
    of_range,
    ranked,
    with_shares,
)
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array, arrays, inputs_to_file, sqnr_db

HELD_BYTES = 1 << 29
"""Of both networks' activations that are held at a time."""

LEAST = 0.5
"""Share of a file's points below which it is another network than the one that it is held against."""

OWN = 0.99
"""Cosine of layers' weights with the source's from which on they are the same: steps of 8 bits leave 0.9999."""

FLOAT_DB = 144.0
"""What float32 has, with its 24 bits: a remedy does not give more."""

Values = dict[Point, Array]


def diagnose(artifact: Path, floats: Waist, samples: Path, helps: int = 0) -> Diagnosis:
    """See `edgekit.backends.Backend.diagnose`; ``floats`` is the IR of the same source in float32."""
    file = IrNetwork(_read(artifact))
    _require(artifact, file)
    source = followed(IrNetwork(_read(Path(floats.file))).named_as(file), file)
    points = [point for point in file.points if source.has(point)]
    if len(points) < LEAST * len(file.points):
        raise InputError(
            f"Only {len(points)} of {len(file.points)} tensors that the file rounds can be matched to the source's.",
            place=str(artifact),
            fix="name the model that the file was made from: --against MODEL",
        )
    _require_own(artifact, file, source)
    given = _given(floats, arrays(samples), file, points)
    count = len(next(iter(given.values())))
    truth, own = _run(source, points, given, Path(floats.file)), _run(file, points, given, artifact)
    tails = AddedErrors(source, points, given)
    walk = _Walk(file, source, (truth, own), tails)
    rows = tuple(walk.rows(helps))
    wanted, made = (_run(one, list(_results(one)), given, artifact) for one in (source, file))
    pairs = [(wanted[a], made[b]) for a, b in zip(_results(source), _results(file), strict=True)]
    both = {number: pair for number, pair in enumerate(pairs) if pair[0].dtype == np.float32}
    return Diagnosis(
        samples=count,
        output_db=level_db(noise({k: a for k, (a, _) in both.items()}, {k: b for k, (_, b) in both.items()})),
        operators=with_shares(rows),
        operators_total=len(file.points),
        unmatched=tuple(
            Unmatched(
                index=file.places[name], operator=file.nodes[name].get_type_name(), name=name,
                reason="the source has nothing in its place",
            )
            for name, index in file.points
            if (name, index) not in points
        ),
        remarks=() if tails.samples else ("the network is too large to try what each error does to its outputs",),
    )  # fmt: skip


def _read(path: Path) -> Any:
    try:
        return CORE.read_model(path)
    except FAILURES as error_:
        raise InputError(
            f"OpenVINO cannot read {path.name}: {reading.telling_line(error_)}.",
            place=str(path),
            fix="name an .xml that lies beside its .bin",
        ) from error_


def _require(artifact: Path, file: IrNetwork) -> None:
    """Refuse what has nothing to look into, or what does not run in parts.

    Raises:
        InputError: nothing in it is rounded.
        Unsupported: it keeps a state.
    """
    if file.model.get_variables():
        raise Unsupported(
            f"{artifact.name} keeps a state from run to run, and OpenVINO's parts of a network do not carry it on.",
            place=str(artifact),
            fix="diagnose the same precision for a target of TFLite files, such as android",
        )
    stored = holding.weights(file.model)
    if not file.quantizers and not (stored["int8"] or stored["float16"]):
        raise InputError(
            f"{artifact.name} computes in float32 with float32 weights: nothing in it is rounded.",
            place=str(artifact),
            fix="diagnose a file of int8 or float16",
        )


def _require_own(artifact: Path, file: IrNetwork, source: IrNetwork) -> None:
    """Refuse a file of other weights.

    Raises:
        InputError: in the median its layers' weights are less like the source's than `OWN`.
    """
    alike = []
    for name, mine in file.weights.items():
        theirs = source.weights.get(name)
        if theirs is not None and mine.shape == theirs.shape:
            norms = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
            alike.append(float((mine * theirs).sum()) / norms if norms else 1.0)
    if alike and np.median(alike) < OWN:
        raise InputError(
            "The file's weights are not the source's: it was made from another training of the same network.",
            place=str(artifact),
            fix="name the model that the file was made from: --against MODEL",
        )


def _given(floats: Waist, samples: dict[str, Array], file: IrNetwork, points: list[Point]) -> Values:
    """The network's inputs ``[N, *shape]``, as many as can be held, evenly taken."""
    held = 4 * 4 * sum(int(np.prod(file.port(point).get_shape())) for point in points)
    every = len(next(iter(samples.values())))
    chosen = evenly(every, max(1, min(every, HELD_BYTES // max(1, held))))
    by_name = inputs_to_file(floats.signature, {name: values[chosen] for name, values in samples.items()})
    ports = reading.matched(floats.signature.inputs, file.model.inputs)
    pairs = zip(floats.signature.inputs, ports, strict=True)
    return {(port.get_node().get_friendly_name(), 0): by_name[spec.name] for spec, port in pairs}


def _results(network: IrNetwork) -> tuple[Point, ...]:
    ports = (result.input_value(0) for result in network.model.get_results())
    return tuple((port.get_node().get_friendly_name(), port.get_index()) for port in ports)


def _run(network: IrNetwork, points: list[Point], given: Values, path: Path) -> Values:
    """What a network makes at some points, ``[N, *shape]``."""
    copy = IrNetwork(network.model.clone())
    inner = [point for point in points if copy.nodes[point[0]].get_type_name() != "Parameter"]
    names = [port.get_node().get_friendly_name() for port in copy.model.inputs]
    copy.model.add_outputs([copy.port(point) for point in inner])
    places = {place: number for number, place in enumerate(_results(copy))}
    ran = compiled(copy.model)
    rows: list[list[Array]] = [[] for _ in inner]
    count = len(next(iter(given.values())))
    for i in range(count):
        events.progress(i / count, "sample by sample")
        with deadline.inference(lambda: effort.of(path)):
            made = ran([given[name, 0][i] for name in names])
        for kept, point in zip(rows, inner, strict=True):
            kept.append(np.array(made[places[point]]))
    found = {point: np.stack(each) for point, each in zip(inner, rows, strict=True)}
    return found | given


class _Walk:
    """Every point of a file, from the inputs to the outputs."""

    def __init__(self, file: IrNetwork, source: IrNetwork, values: tuple[Values, Values], tails: AddedErrors) -> None:
        self._file, self._source, self._tails = file, source, tails
        self._truth, self._own = values
        self._points = [point for point in file.points if point in self._truth and point in self._own]
        self._ends = frozenset(self._points)

    def rows(self, helps: int) -> Iterator[OperatorDiagnosis]:
        """One for each point of floats; the worst ``helps`` with what would help."""
        found: dict[Point, OperatorDiagnosis] = {}
        for number, point in enumerate(self._points):
            events.progress(number / len(self._points), "layer by layer")
            exact_input = self._stretch(point) is None and self._file.quantizer(point) is None
            if self._truth[point].dtype == np.float32 and not exact_input:
                found[point] = self._row(point)
        worst = sorted(found, key=lambda point: _rank(found[point]))[:helps]
        for point, row in found.items():
            told = self._helps(point, row.alone_db) if point in worst and row.alone_db is not None else ()
            yield msgspec.structs.replace(row, helps=told)

    def _stretch(self, point: Point) -> Stretch | None:
        is_input = self._file.nodes[point[0]].get_type_name() == "Parameter"
        return None if is_input else self._file.stretch(point, self._ends - {point})

    def _row(self, point: Point) -> OperatorDiagnosis:
        truth, grid, stretch = self._truth[point], self._file.quantizer(point), self._stretch(point)
        noises: dict[Cause, Noise] = {}
        got = unrounded = truth.astype(np.float32, copy=False)
        if stretch is not None:
            got, unrounded, noises = self._causes(stretch, truth)
        own: Array = self._own[point]
        if grid is not None:
            noises |= _of_grid(grid, truth)
            got, own = grid(got), grid(own)
        alone, accumulated = (apart_db(truth, values) for values in (got, own))
        kinds = [] if stretch is None else [self._file.nodes[name].get_type_name() for name in stretch.nodes]
        main = stretch.layers[0] if stretch is not None and stretch.layers else point[0]
        kind = "input" if stretch is None else self._file.nodes[main].get_type_name()
        return OperatorDiagnosis(
            index=None if stretch is None else self._file.places[main],
            place=None if stretch is None else self._source.places.get(main),
            operator=kind,
            name=self._source.told(point),
            tensor=self._file.told(point),
            dtype="float32" if grid is None else grid.dtype,
            alone_db=alone,
            accumulated_db=accumulated,
            output_db=None if alone is None else self._tails(point, got - unrounded),
            through=tuple(dict.fromkeys(one for one in kinds if one != kind)),
            blames=() if alone is None else ranked(truth, noises),
        )

    def _causes(self, stretch: Stretch, truth: Array) -> tuple[Floats, Floats, dict[Cause, Noise]]:
        """What the file makes of exact inputs, what the float network makes of rounded ones, and the causes."""
        exact = [self._truth[read] for read in stretch.reads]
        rounded = [
            self._truth[read] if (grid := stretch.rounded.get(read)) is None else grid(self._truth[read])
            for read in stretch.reads
        ]
        got = self._file.excerpt(stretch)(exact)
        floats = self._file.excerpt(stretch, rounds=False)
        changed, expected = floats(exact), floats(rounded)
        mine = self._source.stretch(stretch.point, frozenset(stretch.reads))
        noises: dict[Cause, Noise] = {"weights": self._about_weights(stretch, truth, changed)}
        unrounded: Floats = truth.astype(np.float32, copy=False)
        if set(mine.reads) <= set(stretch.reads):
            by_point = dict(zip(stretch.reads, rounded, strict=True))
            unrounded = self._source.excerpt(mine)(by_point[read] for read in mine.reads)
            noises["inputs"] = error(truth, unrounded), "what it reads is rounded", {}
        told = "its kernel gives other values than its integers in floats"
        noises["kernel"] = error(expected, got), told, {}
        return got, unrounded, noises

    def _about_weights(self, stretch: Stretch, truth: Array, changed: Array) -> Noise:
        lost = error(truth, changed)
        if len(stretch.layers) != 1:
            return lost, "its constants are rounded", {}
        weights = self._source.weights.get(stretch.layers[0])
        if weights is None:
            return lost, "its weights are rounded", {}
        layer = self._source.nodes[stretch.layers[0]]
        first = truth.ndim - 1 if layer.get_type_name() == "MatMul" else 2  # [N, 1, C, H, W]: of each sample a batch
        if truth.ndim <= first:
            return lost, "its weights are rounded", {}
        grouped = layer.get_type_name() == "GroupConvolution"
        outputs = weights.reshape(-1, *weights.shape[2:]) if grouped else weights
        transposed = layer.get_type_name() == "MatMul" and not layer.get_attributes()["transpose_b"]
        found = few_channels(
            np.moveaxis(truth, first, -1), np.moveaxis(changed, first, -1), outputs, -1 if transposed else 0
        )
        return (lost, "its weights are rounded", {}) if found is None else (lost, channels_told(found), found)

    def _helps(self, point: Point, before_db: float) -> tuple[Help, ...]:
        """Computing it in floats, and the extremes as its range, if that gives `LEAST_GAIN_DB`."""
        truth, grid, stretch = self._truth[point], self._file.quantizer(point), self._stretch(point)
        tried: list[tuple[str, str, float, str]] = []
        if stretch is not None and stretch.layers:
            after = sqnr_db(truth, truth if grid is None else grid(truth))
            names = sorted(self._source.port((stretch.layers[0], 0)).get_names())  # others are numbered anew each time
            known = bool(self._file.quantizers and names) and "," not in names[0]
            setting = f"float_operators={names[0]}" if known else ""
            tried.append(("float32", "computing it in float32", after, setting))
        if grid is not None and stretch is not None:
            made = self._file.excerpt(stretch)(self._truth[read] for read in stretch.reads)
            ends = (np.minimum(made.min(), np.float32(0)), np.maximum(made.max(), np.float32(0)))
            low, high = (np.asarray(end, np.float32) for end in ends)
            wider = Quantizer((low, high), (low, high), grid.levels) if high > low else grid
            tried.append(("ranges", "the minmax range of these samples", sqnr_db(truth, wider(made)), "ranges=minmax"))
        return tuple(
            Help(remedy=remedy, told=told, before_db=before_db, after_db=min(after, FLOAT_DB), setting=setting)
            for remedy, told, after, setting in sorted(tried, key=lambda one: one[0] == "float32")
            if after >= before_db + LEAST_GAIN_DB
        )


def _of_grid(grid: Quantizer, truth: Array) -> dict[Cause, Noise]:
    ends = float(grid.made[0].min()), float(grid.made[1].max())
    return dict(of_range(truth, ends, grid.step, grid))


def _rank(row: OperatorDiagnosis) -> float:
    level = row.alone_db if row.output_db is None else row.output_db
    return float("inf") if level is None else level
