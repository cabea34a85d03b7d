"""What a target may say to this backend."""

from typing import Annotated, Literal

import msgspec

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Job
from edgekit.nouns.quantization import Quantization, Settings

ESTIMATORS = {"least-squares": "histogram"}
"""Ways to find ranges by their names in `edgekit.nouns.quantization.Quantization` → in `quantization.ESTIMATORS`."""


class NncfSettings(Noun, frozen=True, kw_only=True):
    """NncfSettings of a variant, with the defaults of NNCF unless stated.

    Args:
        target_device: whose operators and number formats the artifact is for.
        preset: ``performance`` makes activations symmetric, ``mixed`` asymmetric if that is
            more accurate.
        range_estimator: how the range of an activation follows from the samples: ``histogram`` finds
            the one with the least error, ``minmax`` takes the extremes, ``nncf`` leaves it to NNCF,
            which mostly takes the mean of every sample's extremes and so cost small dense networks
            up to 3.7 points of accuracy (see docs/explanation/openvino-int8.md).
        subset_size: the most calibration samples that are used.
        model_type: ``transformer`` keeps the operators of attention that lose most in float;
            ``auto`` does so if the graph holds attention.
        overflow_fix: which layers' weights are kept so small that no sum of two products overflows the 16 bits that
            CPUs without VNNI have for it: all (``enable``), as the file may meet any CPU (`sums`), the first
            (``first_layer_only``, NNCF's way: half of the range) or none (``disable``).
        fast_bias_correction: true corrects all biases at once, false layer by layer with the errors of the earlier
            ones in place, which is slower. Without it both are tried, and none, and what errs least on calibration
            samples that were held out stays (`choice`).
        npu_platform: NPU generation to compile for if no NPU is present ("3720", "4000").
        ranges, weights, per_channel, float_operators: what `edgekit.nouns.quantization.Quantization` says, which goes
            before the rest. ``nearest`` corrects no bias, ``bias-correction`` all at once, and ``learned`` layer by
            layer, the dearest that NNCF has for int8. ``auto`` is what ``range_estimator`` and
            ``fast_bias_correction`` say; ranges by ``nncf`` are a search's own word for that of ``range_estimator``.
        equalization: ``on`` brings weights of layers in a row to one scale, channel by channel (`equalization`), and
            lets NNCF align channels as well; ``activations`` brings channels of activations nearer to one size
            (`evening`). ``auto`` tries the first if all weights of a layer have one scale, else the last.
        least_db: operators leave int8 until the outputs have so many dB on the calibration samples (`control`).
    """

    target_device: Literal["CPU", "GPU", "NPU"] = "CPU"
    preset: Literal["performance", "mixed"] = "mixed"
    range_estimator: Literal["histogram", "minmax", "nncf"] = "histogram"
    subset_size: Annotated[int, msgspec.Meta(ge=1)] = 300
    model_type: Literal["auto", "transformer", "none"] = "auto"
    overflow_fix: Literal["enable", "first_layer_only", "disable"] = "enable"
    fast_bias_correction: bool | None = None
    npu_platform: str = ""
    ranges: Literal["auto", "minmax", "least-squares", "p99.99", "p99.9", "nncf"] = "auto"
    weights: Literal["auto", "nearest", "bias-correction", "learned"] = "auto"
    equalization: Literal["auto", "on", "off", "activations"] = "auto"
    per_channel: bool = True
    float_operators: tuple[int | str, ...] = ()
    least_db: Annotated[float, msgspec.Meta(gt=0)] | None = None

    @property
    def estimator(self) -> str:
        """How ranges are found, one of `quantization.ESTIMATORS`."""
        return self.range_estimator if self.ranges == "auto" else ESTIMATORS.get(self.ranges, self.ranges)

    def way(self, bias: str, estimator: str) -> Settings:
        """The settings of one way to correct biases, and to find ranges; NNCF's own ranges are no word of users."""
        said = {own: name for name, own in ESTIMATORS.items()}
        return {"weights": bias, "ranges": said.get(estimator, estimator)}

    @property
    def estimators(self) -> tuple[str, ...]:
        """Ways to find ranges that are tried, the first one for each way to correct biases."""
        free = self.ranges == "auto" and self.range_estimator == "histogram" and len(self.biases) > 1
        return (self.estimator, "minmax", "nncf") if free else (self.estimator,)

    @property
    def biases(self) -> tuple[str, ...]:
        """Ways to correct biases that are tried, the plainest first; each one of `quantization.BIASES`."""
        if self.weights != "auto":
            return (self.weights,)
        if self.fast_bias_correction is None:
            return ("nearest", "bias-correction", "learned")
        return ("bias-correction",) if self.fast_bias_correction else ("learned",)


def of(job: Job) -> NncfSettings:
    """A job's settings.

    Raises:
        InputError: a name or a value is wrong; the right ones are listed.
        Unsupported: the user's settings of quantization are none that NNCF has.
    """
    known = NncfSettings.__struct_fields__
    if job.settings.get("ranges") == "searched":
        raise Unsupported(
            "OpenVINO's quantizer does not search for the range of each tensor.",
            place="quantization.ranges = searched",
            fix="choose auto, minmax, least-squares, p99.99 or p99.9, or a target whose files are TFLite",
        )
    if foreign := [key for key in Quantization.__struct_fields__ if key in job.settings and key not in known]:
        raise Unsupported(
            f"OpenVINO's quantizer has no setting {foreign[0]}.",
            place=f"quantization.{foreign[0]}",
            fix=f"leave {foreign[0]} out, or choose a target whose files are TFLite",
        )
    try:
        return msgspec.convert(job.settings, NncfSettings)
    except msgspec.ValidationError as error:
        raise InputError(
            f"The target's settings for openvino are wrong: {error}.",
            place="[[variants]] settings",
            fix=f"use only: {', '.join(NncfSettings.__struct_fields__)}",
        ) from error
