"""Full-integer quantization: int8, and int16 activations with int8 weights.

The float waist is made `ready`. `attempts` makes files of it, and of forms that compute the same: with even weights
(`equalization`), with even channels of activations (`evening`). The weights of those that come closest are rounded in
every way (`layerwise.fitting`), and the calibration samples decide which file is kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from edgekit.backends.tflite import effort, equalization, evening, range_search
from edgekit.backends.tflite.attempts import Attempts, Quantized, at_their_places
from edgekit.backends.tflite.judge import CLEARLY_WORSE_DB, EDGES, SCORED_SAMPLES, Judge, best, scored
from edgekit.backends.tflite.layerwise import fitting
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.ready import Ready, Used, norms, ready
from edgekit.equalization.observing import Observation
from edgekit.errors import Unsupported
from edgekit.nouns.building import Tried
from edgekit.nouns.quantization import Settings
from edgekit.waist import cost, graph, state
from edgekit.waist.ordering import by_content
from edgekit.waist.tensors import Array, sqnr_db
from edgekit.waist.trial import Trial

SAME_DB = 80.0
"""What an equalized float network must reach against the original, on the calibration samples."""


def quantize(path: Path, inputs: dict[str, Array], trial: Trial, settings: QuantizationSettings) -> Quantized:
    """Quantize a float TFLite file; inputs and outputs stay float32.

    Args:
        path: the float TFLite file.
        inputs: calibration samples, for each input's name ``[N, *shape]``.
        trial: runs the candidates.
        settings: how.

    Raises:
        InputError: a sample drives the network to NaN or infinity.
        Unsupported: no quantizer makes a file that LiteRT runs.
    """
    main, kept = graph.read(path)[0], bool(state.note(graph.load(path)))
    size = effort.Size(path.stat().st_size, len(main.operators), cost.count(path).macs)
    given = len(next(iter(inputs.values())))
    order = np.arange(given) if kept else by_content(inputs)  # a state goes on from one sample to the next
    seen = order[effort.observed(size, given, in_order=kept)]
    few = len(seen) < given
    notes: tuple[str, ...] = (f"a large network: ranges are of {len(seen)} of {given} samples",) if few else ()
    judging = scored(path, main, len(seen), most=8 if settings.activations == "int16" else SCORED_SAMPLES)
    judging = seen[: len(judging)] if kept else seen[judging]
    fold = fitting.split(judging, seen, kept=kept)
    with TemporaryDirectory() as folder:
        found = _Quantization(path, inputs, Used(seen, judging), settings, size, Path(folder))
        made, judge = found.ready(trial, kept=kept)
        files, dropped = found.files(made, judge)
        if settings.method == range_search.SEARCHED:
            first, most = files[0], found.most
            chosen, told = range_search.searched(first.candidate, judge, made.inputs, fold, settings, most=most)
            files = [replace(first, candidate=chosen, notes=(*first.notes, *told))]
        forms = [fitting.Form(one.candidate, fitting.integers(one.candidate, settings)) for one in files]
        fitted = fitting.fitted(forms, judge, made.inputs, fold)
        tried = (*_tried(files, dropped, fitted), *_impossible(path, settings))
    kept_file = files[fitted.form]
    asked = (fitted.form, settings.weights)
    notes += tuple(fit.problem for fit in fitted.tried if fit.problem and (fit.form, fit.way) == asked)
    return replace(kept_file, candidate=fitted.candidate, notes=(*notes, *kept_file.notes), tried=tried)


class _Quantization(NamedTuple):
    """A float file to quantize on samples, those that are `Used`, how, and a folder for what is made."""

    path: Path
    inputs: dict[str, Array]
    used: Used
    settings: QuantizationSettings
    size: effort.Size
    folder: Path

    @property
    def most(self) -> int:
        """The most candidates for each form."""
        return effort.candidates(self.size, len(self.used.scored) + EDGES)

    def ready(self, trial: Trial, *, kept: bool) -> tuple[Ready, Judge]:
        """The network made ready, its channels traced if they may be evened, and who judges its files.

        ``kept``: it keeps a state.
        """
        by_channel = not kept and evening.is_tried(self.settings)
        made = self._ready(self.path, self.folder, by_channel=by_channel)
        shown = {name: values[self.used.scored] for name, values in made.inputs.items()}
        return made, Judge(trial, made.path, shown, made.seen.outputs)

    def files(self, made: Ready, judge: Judge) -> tuple[list[Quantized], list[Quantized]]:
        """The files whose weights are worth fitting, and those of other forms, which come less close."""
        asked = {equalization.ON: self._even_weights, evening.ACTIVATIONS: self._even_channels}
        wanted = self.settings.equalization
        even = asked[wanted](made, judge) if wanted in asked else None
        if even is not None:
            return [even], []
        plain = _found(Attempts(made, judge, self.settings, self.most), made, self.folder)
        if wanted in asked:
            return [replace(plain, notes=(*plain.notes, f"equalization={wanted} comes to nothing here"))], []
        if (even := self._even_weights(made, judge)) is not None:
            better = best([plain.candidate, even.candidate], whole=self.settings.full_integer) is even.candidate
            return ([even], [plain]) if better else ([plain], [even])
        if (even := self._even_channels(made, judge)) is not None:
            even = replace(even, notes=(*plain.notes, *even.notes))
            files = _worth_fitting(plain, even, self.settings)
            return files, [one for one in (plain, even) if not any(one is file for file in files)]
        return [plain], []

    def _ready(self, path: Path, folder: Path, *, by_channel: bool = False) -> Ready:
        ways = {"whole": self.settings.full_integer, "wide": self.settings.activations == "int16"}
        return ready(path, self.inputs, self.used, self.settings.seed, folder, **ways, by_channel=by_channel)

    def _even_weights(self, made: Ready, judge: Judge) -> Quantized | None:
        """The file of the form with even weights, if it is to have one."""
        seen = {name: values[self.used.rows] for name, values in self.inputs.items()}
        path = equalization.equalized(self.path, seen, self.settings, self.folder)
        form = None if path is None else self._ready(path, path.parent)
        if form is None or not _is_same(made.seen, form.seen):
            return None
        try:
            even = _found(Attempts(form, judge, self.settings, self.most), form, form.path.parent)
        except Unsupported:
            return None
        told = "weights of layers in a row are equalized"
        return replace(even, form=equalization.ON, notes=(*even.notes, told))

    def _even_channels(self, made: Ready, judge: Judge) -> Quantized | None:
        """The file of the form with even channels of activations, if there are any to be evened."""
        if made.trace is None:
            return None
        form = evening.evened(made, self.used, self.settings, self.folder / "channels", self.size.macs)
        if form is None:
            return None
        try:
            even = Attempts(form, judge, self.settings, effort.FEWEST_CANDIDATES).run(form.path.parent)
        except Unsupported:
            return None
        told = "channels of activations are brought nearer to one size"
        return replace(even, form=evening.ACTIVATIONS, notes=(told,))


def _tried(files: list[Quantized], dropped: list[Quantized], fitted: fitting.FittedForm) -> Iterator[Tried]:
    """What was tried for a file, by the settings that make it again, and what could not be."""
    yield from fitted.told([file.settings for file in files])
    unfitted = (file for file in dropped if file.form != equalization.ON)  # even weights are for the fitted ones
    for file in (*files, *unfitted):
        nearest: Settings = {"weights": "nearest", "equalization": file.form}
        told = file.candidate.method if any(file is one for one in files) else ""
        for method, level_db in file.methods.items():
            if method != told:
                yield Tried(settings=nearest | {"ranges": method}, level_db=level_db)


def _impossible(path: Path, settings: QuantizationSettings) -> Iterator[Tried]:
    """What nobody need try for a network."""
    if settings.equalization == "auto" and not equalization.is_possible(path, settings):
        yield Tried(settings={"equalization": equalization.ON}, problem=equalization.NONE)


def _is_same(one: Observation, other: Observation) -> bool:
    return all(sqnr_db(values, other.outputs[name]) >= SAME_DB for name, values in one.outputs.items())


def _found(attempts: Attempts, made: Ready, folder: Path) -> Quantized:
    """The best file of one form of the network."""
    fused = _with_norms(made, folder) if attempts.settings.activations == "int8" else None
    return attempts.run(folder) if fused is None else _better(attempts, fused, folder)


def _worth_fitting(plain: Quantized, even: Quantized, settings: QuantizationSettings) -> list[Quantized]:
    """A network's file, that with evened channels of activations, or both if fitted weights are to decide."""
    gain = even.candidate.signal_db - plain.candidate.signal_db
    if len(even.candidate.floats) > len(plain.candidate.floats) or gain < -CLEARLY_WORSE_DB:
        return [plain]
    flops = fitting.flops(plain.candidate.plan, fitting.integers(plain.candidate, settings).schemes)
    dear = flops > evening.FITTED_FLOPS
    if gain < CLEARLY_WORSE_DB and not dear and settings.method != range_search.SEARCHED:
        return [plain, even]
    return [even] if gain >= evening.GAIN_DB else [plain]


def _with_norms(made: Ready, folder: Path) -> Ready | None:
    """The network with its divisions by norms in the form that integers have, if there are any."""
    model, before = graph.load(made.path), graph.read(made.path)[0]
    fused = norms.fuse(model, made.seen.activations)
    if fused is None:
        return None
    path = folder / "norms.tflite"
    path.write_bytes(graph.pack(model))
    floats = at_their_places(made.floats, before, graph.describe(model)[0])
    return replace(made, path=path, fixed=made.fixed | fused, floats=floats)


def _better(attempts: Attempts, fused: Ready, folder: Path) -> Quantized:
    """A network's file, or that with fused norms if it is not clearly worse and leaves no more operators float.

    Norms are there for inputs of any size, and an RSQRT of integers serves the sizes of the samples alone.
    """
    try:
        plain = attempts.run(folder)
    except Unsupported:
        return attempts.again(fused).run(folder)
    try:
        made = attempts.again(fused, plain.candidate.method).run(folder)
    except Unsupported:
        return plain
    fewer = len(made.candidate.floats) - len(plain.candidate.floats)
    close = made.candidate.signal_db >= plain.candidate.signal_db - CLEARLY_WORSE_DB
    return made if fewer <= 0 and (close or (fewer < 0 and attempts.full_integer)) else plain
