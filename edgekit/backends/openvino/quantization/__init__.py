"""Full 8-bit integers by NNCF, with the target's settings."""

from pathlib import Path
from typing import Any, NamedTuple

from edgekit.backends.openvino import ending, numbering
from edgekit.backends.openvino.quantization import choice, control, forms, telling
from edgekit.backends.openvino.quantization.trials import FormTrial, NncfQuantizer
from edgekit.backends.openvino.reading import matched, variables
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.errors import InputError
from edgekit.nouns.building import Job, Tried
from edgekit.nouns.model import Signature
from edgekit.waist.ordering import by_content
from edgekit.waist.tensors import arrays, inputs_to_file


class NncfModel(NamedTuple):
    """A quantized ``openvino.Model``, notes, and what it was chosen from."""

    model: Any
    notes: tuple[str, ...]
    tried: tuple[Tried, ...]


def quantize(model: Any, job: Job, signature: Signature, settings: NncfSettings) -> NncfModel:
    """A model whose weights and activations are int8 if the target's rules of NNCF allow it.

    Args:
        model: float ``openvino.Model`` with fixed shapes; it may be changed.
        job: with its samples.
        signature: the model's; samples cross the border by it.
        settings: the target's.

    Raises:
        InputError: there are no samples.
        Unsupported: NNCF cannot quantize it.
    """
    if job.calibration is None:
        raise InputError(
            "int8 needs calibration samples: the ranges of activations are measured on them.",
            place="--calibration",
            fix="add --calibration PATH with at least 100 real samples, or --precision float16",
        )
    samples = _samples(model, Path(job.calibration), signature)
    model, held = variables.apart(model)
    samples = variables.carried(model, held, samples, Path(job.source))
    made = forms.prepared(model, settings, samples)
    quantizer = NncfQuantizer(settings, made.options, Path(job.source), made.known)
    with ending.bounded(model, samples, Path(job.source)):
        trials = _trials(model, quantizer, samples, kept=bool(held))
        trial = _chosen(trials)
        quantized, estimator = quantizer.made(trial.form, trial.way, samples, least_db=settings.least_db)
        reached_db = settings.least_db and control.closeness(trial.form.model, samples)(quantized)
    first = trial if trial.form.pairs else trials[0]  # only the best ways are tried with evened channels
    notes = (*telling.of_network(made, quantized), *telling.compared(trial.way, first.levels_db))
    notes += (*telling.of_forms(trials, trial),)
    is_even = not any(one.form.evened for one in trials)
    if is_even and settings.equalization == "activations":
        notes += ("equalization=activations comes to nothing here",)
    if estimator != trial.way[1]:
        notes += (f"ranges by {estimator}: an activation varies too little for a {trial.way[1]}",)
    tried = telling.tried(trials, trial, settings, reached_db, is_even=is_even and _is_looked_at(model, settings))
    whole = variables.joined(quantized, held) if held else quantized
    numbering.settle(whole, made.known)
    return NncfModel(whole, notes, (*tried,))


def _trials(model: Any, quantizer: NncfQuantizer, samples: list[dict[str, Any]], *, kept: bool) -> list[FormTrial]:
    """The best way for each form of a network; ``kept``: it keeps a state."""
    settings = quantizer.settings
    wanted = settings.equalization == "activations"
    looked = not kept and (wanted or _is_looked_at(model, settings))
    even = forms.evened(model, settings, samples) if looked else None
    if even is not None:
        even = forms.reaching(even, settings, samples)
        if wanted:
            return [quantizer.trial(even, samples)]
    found = [forms.reaching(form, settings, samples) for form in forms.of(model, settings)]
    trials = [quantizer.trial(form, samples) for form in found]
    return trials if even is None else [*quantizer.again(even, trials[0], samples)]


def _is_looked_at(model: Any, settings: NncfSettings) -> bool:
    """Whether channels are evened unless that is no better: forms of a large network are not tried."""
    return settings.equalization == "auto" and settings.per_channel and control.macs(model) <= control.MOST_MACS


def _chosen(trials: list[FormTrial]) -> FormTrial:
    """The best form. Evened channels must be clearly better than a network as it was read."""
    return max(trials, key=lambda one: one.level_db - (choice.TIE_DB if one.form.evened else 0.0))


def _samples(model: Any, path: Path, signature: Signature) -> list[dict[str, Any]]:
    """Samples by port, in the order of their contents: NNCF takes the first ones, and means depend on the order."""
    samples = inputs_to_file(signature, arrays(path))
    ports = matched(signature.inputs, model.inputs)
    names = [(spec.name, port.any_name) for spec, port in zip(signature.inputs, ports, strict=True)]
    count = len(next(iter(samples.values())))
    kept = bool(model.get_variables())  # a state goes on from one sample to the next
    order = range(count) if kept else by_content({spec.name: samples[spec.name] for spec in signature.inputs})
    return [{port: samples[name][i] for name, port in names} for i in order]
