"""Forms of a network quantized by NNCF, and the way that serves each best."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.backends.openvino import numbering
from edgekit.backends.openvino.libraries import (
    FAILURES,
    AggregatorType,
    QuantizationParameters,
    RangeEstimatorParameters,
    RangeEstimatorParametersSet,
    StatisticsCollectorParameters,
    StatisticsType,
    nncf,
)
from edgekit.backends.openvino.quantization import choice, control, sums
from edgekit.backends.openvino.quantization.choice import Way
from edgekit.backends.openvino.quantization.forms import NncfForm
from edgekit.backends.openvino.reading import telling_line
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.errors import Unsupported

Samples = list[dict[str, Any]]


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


class FormTrial(NamedTuple):
    """The best way to quantize a form, with what each way gave."""

    form: NncfForm
    way: Way
    levels_db: Mapping[Way, float]

    @property
    def level_db(self) -> float:
        """What the best way gave; if none was tried, equalized forms are better."""
        return self.levels_db.get(self.way, float(self.form.pairs > 0))


class NncfQuantizer(NamedTuple):
    """What quantizes forms of a network: ``options`` are NNCF's whatever the way, ``source`` is named in complaints.

    ``known``: names of the network as it was read.
    """

    settings: NncfSettings
    options: dict[str, Any]
    source: Path
    known: frozenset[str]

    def made(self, form: NncfForm, way: Way, samples: Samples, *, least_db: float | None = None) -> tuple[Any, str]:
        """What NNCF gives by a way, or with the extremes if it cannot divide a range into bins; with the estimator.

        Operators stay float until it has ``least_db``.

        Raises:
            Unsupported: NNCF cannot quantize it.
        """
        bias, estimator = way
        try:
            return self._made(form, way, samples, least_db), estimator
        except FAILURES as error:
            if TOO_NARROW in str(error) and estimator != "minmax":
                return self.made(form, (bias, "minmax"), samples, least_db=least_db)
            raise Unsupported(
                f"NNCF cannot quantize {self.source.name}: {telling_line(error)}.",
                place=str(self.source),
                fix="use --precision float16 for this target",
            ) from error

    def _made(self, form: NncfForm, way: Way, samples: Samples, least_db: float | None) -> Any:
        bias, estimator = way
        advanced = nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix(self.settings.overflow_fix),
            activations_range_estimator_params=ESTIMATORS[estimator],
            weights_quantization_params=QuantizationParameters(per_channel=self.settings.per_channel),
            disable_bias_correction=bias == "nearest",
            disable_channel_alignment=self.settings.equalization != "on",
        )
        told = self.options | {
            "advanced_parameters": advanced,
            "fast_bias_correction": bias != "learned",
            "subset_size": min(self.settings.subset_size, len(samples)),
        }
        numbering.settle(form.model, self.known)  # NNCF names after them what it adds
        guard = sums.bounded(form.reaches) if self.settings.overflow_fix == "enable" else contextlib.nullcontext()
        with guard, contextlib.redirect_stdout(io.StringIO()):  # NNCF draws its progress there, terminal or not
            if least_db is not None:
                return control.quantize(form.model, samples, least_db, **told)
            return nncf.quantize(form.model, nncf.Dataset(samples), **told)

    def trial(self, form: NncfForm, samples: Samples) -> FormTrial:
        """The way that comes closest on samples that were held out; a large network is not tried."""
        settings, macs = self.settings, control.macs(form.model)
        if macs > control.MOST_MACS:
            usual = "bias-correction"
            way = (usual if usual in settings.biases else settings.biases[0], settings.estimators[0])
            return FormTrial(form, way, {})
        given = choice.trials(samples, macs)
        return FormTrial(form, *choice.best(form.model, self._maker(form), settings.biases, settings.estimators, given))

    def again(self, form: NncfForm, before: FormTrial, samples: Samples) -> tuple[FormTrial, FormTrial]:
        """Another form of a network by the ways that served it best, and the trial of the first one, judged as well."""
        given = choice.trials(samples, control.macs(form.model))
        first = before
        if not before.levels_db:
            level = choice.again(before.form.model, self._maker(before.form), [before.way], given)
            first = before._replace(levels_db=level)
        ways = choice.closest(first.levels_db, choice.AGAIN)
        levels = choice.again(form.model, self._maker(form), ways, given)
        return first, FormTrial(form, max(levels, key=levels.__getitem__), levels)

    def _maker(self, form: NncfForm) -> choice.Maker:
        return lambda way, given: self.made(form, way, given)[0]
