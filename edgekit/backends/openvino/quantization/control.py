"""How close quantized models come to the float one, and operators that leave int8 until that is close enough.

What is compared is the outputs on the calibration samples, so that no labels are needed. Which operators leave is for
NNCF's accuracy control: it ranks them by what the outputs gain if each is float, and takes them back one after the
other (NNCF documentation, "Quantizing with accuracy control").
"""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from edgekit.backends.openvino import holding
from edgekit.backends.openvino.libraries import CORE, EXACT, nncf
from edgekit.errors import Unsupported
from edgekit.waist.holding import LEAST
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

SAMPLES = 64
"""The most samples on which outputs are compared: each operator that is ranked is run on all of them."""

PRECISION_DB = 0.01
"""How far below what is wanted still counts as reached."""

MOST_DB = 120.0
"""SQNR that stands for equal."""

MOST_MACS = 1e10
"""Multiply-accumulates of the largest network of which several ways are tried: layer by layer takes about a minute."""

LAYERS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
"""Operators that multiply and accumulate."""


def macs(model: Any) -> float:
    """Multiply-accumulates of one run of a model; layers whose shapes are not fixed count as none."""
    found = 0.0
    for node in model.get_ordered_ops():
        if node.get_type_name() in LAYERS and all(port.get_partial_shape().is_static for port in node.inputs()):
            weights, output = node.input(1).get_shape(), node.output(0).get_shape()
            per_value = prod(weights) / max(1, output[1] if len(output) > 2 else output[-1])
            found += prod(output) * per_value
    return found


def closeness(floats: Any, samples: list[dict[str, Array]]) -> Callable[[Any], float]:
    """What tells the SQNR of a model against the float one on some of the samples, in dB.

    It is that of the mean over the outputs' relative errors. Samples that drive the float network to NaN or infinity
    do not count; a model that gives such elsewhere has -`MOST_DB`.
    """
    few = _few(samples)
    told = _closeness(CORE.compile_model(floats, "CPU", EXACT), few, MOST_DB)
    return lambda made: told(CORE.compile_model(made, "CPU", EXACT), few)


def _few(samples: list[dict[str, Array]]) -> list[dict[str, Array]]:
    return [samples[i] for i in evenly(len(samples), SAMPLES)]


def quantize(model: Any, samples: list[dict[str, Array]], least_db: float, **options: Any) -> Any:
    """A model of which as few operators are float as it takes for so many dB on samples, by NNCF's ranking.

    Args:
        model: float ``openvino.Model``.
        samples: for calibration, by input name; some of them, evenly taken, are compared.
        least_db: SQNR in dB that the outputs must have, the mean over their relative errors.
        options: of ``nncf.quantize``.

    Raises:
        Unsupported: most of the weights would have to be float.
    """
    few = _few(samples)
    advanced = options.pop("advanced_parameters")
    made = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(samples),
        nncf.Dataset(few),
        _closeness(CORE.compile_model(model, "CPU", EXACT), few, least_db),
        max_drop=PRECISION_DB,
        drop_type=nncf.DropType.ABSOLUTE,
        advanced_quantization_parameters=advanced,
        **options,
    )
    stored = holding.weights(made)
    if stored["int8"] < LEAST * stored.total():
        raise Unsupported(
            f"For {least_db:.1f} dB most of the weights would have to be float.",
            place="least_db",
            fix="choose float16, or fewer decibels",
        )
    return made


def _closeness(floats: Any, samples: list[dict[str, Array]], least_db: float) -> Callable[[Any, Iterable[Any]], float]:
    """SQNR in dB of a model's outputs on samples; ``least_db`` for all that are closer, as the float network is."""
    wanted = [_outputs(floats, sample) for sample in samples]
    finite = [all(np.isfinite(values).all() for values in outputs) for outputs in wanted]
    power = np.zeros(len(wanted[0]))
    for outputs in (outputs for outputs, good in zip(wanted, finite, strict=True) if good):
        power += [np.square(values).sum() for values in outputs]

    def sqnr_db(compiled: Any, given: Iterable[Any]) -> float:
        """NNCF asks for some of the samples, in their order, or for all."""
        places = {id(sample): place for place, sample in enumerate(samples)}
        errors = np.zeros(len(power))
        for place in (places[id(sample)] for sample in given if finite[places[id(sample)]]):
            pairs = zip(_outputs(compiled, samples[place]), wanted[place], strict=True)
            errors += [np.square(made - values).sum() for made, values in pairs]
        asked = power > 0  # an output that is 0 throughout is asked for nothing
        noise = float(np.mean(errors[asked] / power[asked])) if asked.any() else 0.0
        return min(least_db, float(-10 * np.log10(max(noise, 1e-12)))) if np.isfinite(noise) else -MOST_DB

    return sqnr_db


def _outputs(compiled: Any, sample: dict[str, Array]) -> list[Any]:
    found = compiled(sample)
    return [np.asarray(found[port], np.float64) for port in compiled.outputs]
