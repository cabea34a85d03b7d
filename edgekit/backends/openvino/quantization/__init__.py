"""Full 8-bit integers by NNCF, with the target's settings."""

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgekit.backends.openvino import ending, half_precision, kept
from edgekit.backends.openvino.libraries import (
    FAILURES,
    AggregatorType,
    QuantizationParameters,
    RangeEstimatorParameters,
    RangeEstimatorParametersSet,
    StatisticsCollectorParameters,
    StatisticsType,
    nncf,
    operators,
    ov,
)
from edgekit.backends.openvino.quantization import choice, control, equalization, named, reached, sums
from edgekit.backends.openvino.quantization.choice import Way
from edgekit.backends.openvino.quantization.reached import Reach
from edgekit.backends.openvino.reading import masks, matched, telling_line, variables
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Job, Tried
from edgekit.nouns.model import Signature
from edgekit.nouns.quantization import Settings
from edgekit.waist.ordering import by_content
from edgekit.waist.tensors import arrays, inputs_to_file

RECURRENT = ("LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell")
"""Operators that stay float: the CPU plugin's int8 kernel for them computes something else.

Measured on DTLN's two LSTMs (OpenVINO 2026.4.1): the quantized model gives 37 dB in memory, where
the LSTM runs as a loop, and 2.6 dB when it is read from its file, where it runs on the int8 kernel.
"""


def _quantiles(outside: float) -> Any:
    """Ranges that leave out a part of each sample's values at either end."""
    one = StatisticsCollectorParameters(
        statistics_type=StatisticsType.QUANTILE, aggregator_type=AggregatorType.MEAN, quantile_outlier_prob=outside
    )
    return RangeEstimatorParameters(min=one, max=one)


ESTIMATORS = {
    "histogram": RangeEstimatorParametersSet.HISTOGRAM,
    "minmax": RangeEstimatorParametersSet.MINMAX,
    "p99.99": _quantiles(1e-4),
    "p99.9": _quantiles(1e-3),
    "nncf": RangeEstimatorParameters(),
}
"""How ranges of activations are found → NNCF's name for it; empty parameters leave the choice to NNCF."""


TOO_NARROW = "Too many bins for data range"
"""What numpy says of a histogram whose bins are narrower than the values' own resolution (a saturated gate)."""


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
    masks.part(model)
    _apart_from_odd_inputs(model)
    recurrent = any(node.get_type_name() in RECURRENT for node in model.get_ordered_ops())
    floats = kept.names(model)
    if recurrent or kept.SPECTRA in floats:
        half_precision.compress(model)
    transformer = settings.model_type == "transformer" or (settings.model_type == "auto" and has_attention(model))
    if settings.float_operators:
        floats |= {"they were asked for": named.nodes(model, settings.float_operators)}
    options, source = _options(settings, floats, transformer=transformer), Path(job.source)
    with ending.bounded(model, samples, source):
        forms = [_reaching(form, settings, samples) for form in _forms(model, settings)]
        trials = [_tried(form, settings, options, samples, source) for form in forms]
        trial = max(trials, key=lambda one: one.level_db)
        quantized, estimator = _first(
            partial(_made, trial.form, settings, options, least_db=settings.least_db), trial.way, samples, source
        )
        reached_db = settings.least_db and control.closeness(trial.form.model, samples)(quantized)
    notes = _notes(quantized, recurrent=recurrent, transformer=transformer) + _told(model, floats)
    notes += _compared(trial.way, trial.levels_db) + _of_forms(trials, trial)
    if estimator != trial.way[1]:
        notes += (f"ranges by {estimator}: an activation varies too little for a {trial.way[1]}",)
    made = variables.joined(quantized, held) if held else quantized
    tried = _ways_tried(trial, settings, reached_db, alone=len(trials) == 1)
    return NncfModel(made, notes, (*tried,))


def _ways_tried(
    trial: "_Trial", settings: NncfSettings, reached_db: float | None = None, *, alone: bool
) -> Iterator[Tried]:
    """The ways that were tried on the form that was taken, by the settings that make it again.

    ``reached_db`` is what a file has for which decibels were asked. ``alone``: there was no other form. That which is
    equalized needs no word: it comes first if no other way is tried.
    """
    form: Settings = {} if alone or trial.form.pairs else {"equalization": "off"}
    if settings.least_db is not None:
        asked = settings.way(*trial.way) | form | {"least_db": settings.least_db}
        yield Tried(settings=asked, level_db=reached_db, chosen=True)
        return
    for way in trial.levels_db or (trial.way,):
        told = settings.way(*way) | form
        yield Tried(settings=told, level_db=trial.levels_db.get(way), chosen=way == trial.way)


PLAIN = frozenset({"f32", "f16", "bf16", "i8", "u8", "i32", "i64", "boolean"})
"""Element types of inputs that the CPU's integer kernels read."""


def _apart_from_odd_inputs(model: Any) -> None:
    """Keep rounding apart from inputs of other types (16 bits, doubles): the plugin would fuse both, and then fails."""
    for parameter in model.get_parameters():
        if parameter.get_element_type().get_type_name() in PLAIN:
            continue
        for target in parameter.output(0).get_target_inputs():
            node = target.get_node()
            if node.get_type_name() == "Convert" and node.get_output_element_type(0) == ov.Type.f32:
                least = ov.op.Constant(np.array(np.finfo(np.float32).min, np.float32))
                for reader in node.output(0).get_target_inputs():
                    reader.replace_source_output(operators.maximum(node.output(0), least).output(0))


class _Form(NamedTuple):
    """A network as it may be quantized; ``pairs`` of layers are equalized, inputs go as far as ``reaches``."""

    model: Any
    pairs: int = 0
    reaches: Mapping[str, Reach] = {}


class _Trial(NamedTuple):
    """The best way to quantize a form, with what each way gave."""

    form: _Form
    way: Way
    levels_db: dict[Way, float]

    @property
    def level_db(self) -> float:
        """What the best way gave; if none was tried, equalized forms are better."""
        return self.levels_db.get(self.way, float(self.form.pairs > 0))


def _forms(model: Any, settings: NncfSettings) -> Iterator[_Form]:
    """The network, and equalized if that is asked for, or if all weights of a layer have one scale."""
    found = None
    if settings.equalization == "on" or (settings.equalization == "auto" and not settings.per_channel):
        found = _Form(*equalization.equalized(model))
    if found is None or not found.pairs or settings.equalization == "auto":
        yield _Form(model)
    if found is not None and found.pairs:
        yield found


def _reaching(form: _Form, settings: NncfSettings, samples: list[dict[str, Any]]) -> _Form:
    """A form with what is known of its layers' inputs: nothing if NNCF aligns channels, since that scales them."""
    if settings.overflow_fix != "enable" or settings.equalization == "on":
        return form
    return form._replace(reaches=reached.inputs(form.model, samples[: settings.subset_size]))


def _tried(
    form: _Form, settings: NncfSettings, options: dict[str, Any], samples: list[dict[str, Any]], source: Path
) -> _Trial:
    made = partial(_made, form, settings, options)
    return _Trial(form, *_chosen(form.model, lambda way, given: _first(made, way, given, source)[0], settings, samples))


def _of_forms(trials: list[_Trial], chosen: _Trial) -> tuple[str, ...]:
    """What equalized weights gave."""
    if len(trials) < 2 or not chosen.levels_db:
        return (f"{chosen.form.pairs} pairs of layers have equalized weights",) if chosen.form.pairs else ()
    both = ", ".join(f"{'equalized' if one.form.pairs else 'as they are'} {one.level_db:.1f} dB" for one in trials)
    return (f"weights are {'equalized' if chosen.form.pairs else 'left as they are'}: {both}",)


def _made(
    form: _Form,
    settings: NncfSettings,
    options: dict[str, Any],
    way: Way,
    given: list[dict[str, Any]],
    *,
    least_db: float | None = None,
) -> Any:
    """A network quantized in a way, on samples; operators stay float until it has ``least_db``."""
    bias, estimator = way
    advanced = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix(settings.overflow_fix),
        activations_range_estimator_params=ESTIMATORS[estimator],
        weights_quantization_params=QuantizationParameters(per_channel=settings.per_channel),
        disable_bias_correction=bias == "nearest",
        disable_channel_alignment=settings.equalization != "on",
    )
    told = options | {
        "advanced_parameters": advanced,
        "fast_bias_correction": bias != "learned",
        "subset_size": min(settings.subset_size, len(given)),
    }
    guard = sums.bounded(form.reaches) if settings.overflow_fix == "enable" else contextlib.nullcontext()
    with guard, contextlib.redirect_stdout(io.StringIO()):  # NNCF draws its progress there, terminal or not
        if least_db is not None:
            return control.quantize(form.model, given, least_db, **told)
        return nncf.quantize(form.model, nncf.Dataset(given), **told)


def _chosen(
    model: Any,
    make: Callable[[Way, list[dict[str, Any]]], Any],
    settings: NncfSettings,
    samples: list[dict[str, Any]],
) -> tuple[Way, dict[Way, float]]:
    """The way that comes closest on samples that were held out, with what each gave; a large network is not tried."""
    macs, in_order = control.macs(model), bool(model.get_variables())
    if macs > control.MOST_MACS:
        usual = "bias-correction"
        return (usual if usual in settings.biases else settings.biases[0], settings.estimators[0]), {}
    calibrating, judging = choice.held_out(samples, in_order=in_order)
    between = [] if in_order else choice.between(judging, macs)
    return choice.best(model, make, settings.biases, settings.estimators, choice.Trials(calibrating, judging, between))


def _compared(way: Way, levels_db: dict[Way, float]) -> tuple[str, ...]:
    """What each way gave that was tried, in words."""
    if not levels_db:
        return ()
    first = next(iter(levels_db))[1]
    by_bias = ", ".join(f"{BIASES[bias]} {level:.1f} dB" for (bias, used), level in levels_db.items() if used == first)
    notes: tuple[str, ...] = (f"biases are {BIASES[way[0]]}: {by_bias} on calibration samples that were held out",)
    by_range = ", ".join(f"{used} {level:.1f} dB" for (bias, used), level in levels_db.items() if bias == way[0])
    notes += (f"ranges are found by {way[1]}: {by_range}",) if len(levels_db) > len(BIASES) else ()
    default = levels_db.get(choice.DEFAULT)
    return (
        notes
        if default is None
        else (*notes, f"NNCF's default, which corrects at once by {choice.DEFAULT[1]}: {default:.1f} dB")
    )


BIASES = {
    "nearest": "left as they are",
    "bias-correction": "corrected at once",
    "learned": "corrected layer by layer",
}
"""Ways to correct biases for the shift that rounding weights causes, in words."""


def _options(settings: NncfSettings, floats: dict[str, frozenset[str]], *, transformer: bool) -> dict[str, Any]:
    """What NNCF is told, whatever the estimator of ranges and the way to correct biases."""
    left_float = sorted(frozenset().union(*floats.values()))
    return {
        "preset": nncf.QuantizationPreset(settings.preset),
        "target_device": nncf.TargetDevice(settings.target_device),
        "model_type": nncf.ModelType.TRANSFORMER if transformer else None,
        "ignored_scope": nncf.IgnoredScope(names=left_float, types=list(RECURRENT), validate=False),
    }


def _first(
    by: Callable[[Way, list[dict[str, Any]]], Any], way: Way, samples: list[dict[str, Any]], source: Path
) -> tuple[Any, str]:
    """What NNCF gives with an estimator of ranges, or with the extremes if it cannot divide a range into bins."""
    bias, estimator = way
    try:
        return by(way, samples), estimator
    except FAILURES as error:
        if TOO_NARROW in str(error) and estimator != "minmax":
            return _first(by, (bias, "minmax"), samples, source)
        raise Unsupported(
            f"NNCF cannot quantize {source.name}: {telling_line(error)}.",
            place=str(source),
            fix="use --precision float16 for this target",
        ) from error


def _told(model: Any, floats: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """What stays float, by kind, and why."""
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ordered_ops()}
    return tuple(
        f"stays float32: {', '.join(sorted({kinds[name] for name in names}))} ({reason})"
        for reason, names in floats.items()
    )


def _notes(quantized: Any, *, recurrent: bool, transformer: bool) -> tuple[str, ...]:
    notes: tuple[str, ...] = ("attention was found: quantized as a transformer",) if transformer else ()
    if recurrent:
        notes += ("recurrent operators stay float (float16 weights): OpenVINO's int8 kernel for them is wrong",)
    if not any(node.get_type_name() == "FakeQuantize" for node in quantized.get_ordered_ops()):
        notes += ("no operator of this network can be quantized: it computes in float",)
    return notes


def _samples(model: Any, path: Path, signature: Signature) -> list[dict[str, Any]]:
    """Samples by port, in the order of their contents: NNCF takes the first ones, and means depend on the order."""
    samples = inputs_to_file(signature, arrays(path))
    ports = matched(signature.inputs, model.inputs)
    names = [(spec.name, port.any_name) for spec, port in zip(signature.inputs, ports, strict=True)]
    count = len(next(iter(samples.values())))
    kept = bool(model.get_variables())  # a state goes on from one sample to the next
    order = range(count) if kept else by_content({spec.name: samples[spec.name] for spec in signature.inputs})
    return [{port: samples[name][i] for name, port in names} for i in order]


def has_attention(model: Any) -> bool:
    """Whether a product of two activations goes through a softmax into another such product."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention":
            return True
        if node.get_type_name() == "Softmax" and _product_before(node) and _product_after(node):
            return True
    return False


STEPS = frozenset(
    {"Add", "Multiply", "Divide", "Select", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Subtract"}
)
"""Operators between the products and the softmax of attention: scale, mask and heads."""


def _product_before(node: Any, depth: int = 6) -> bool:
    parents = [value.get_node() for value in node.input_values()]
    return any(
        _activations(parent) or (depth > 0 and parent.get_type_name() in STEPS and _product_before(parent, depth - 1))
        for parent in parents
    )


def _product_after(node: Any, depth: int = 6) -> bool:
    children = [user.get_node() for output in node.outputs() for user in output.get_target_inputs()]
    return any(
        _activations(child) or (depth > 0 and child.get_type_name() in STEPS and _product_after(child, depth - 1))
        for child in children
    )


def _activations(node: Any) -> bool:
    constant = {"Constant", "Convert", "FakeQuantize"}
    return node.get_type_name() == "MatMul" and not any(
        value.get_node().get_type_name() in constant for value in node.input_values()
    )
