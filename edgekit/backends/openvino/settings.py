"""What a target may say to this backend."""

from typing import Annotated, Literal

import msgspec

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Job
from edgekit.nouns.quantization import Quantization


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
        overflow_fix: which layers' weights take only half of the 8 bits, so that no sum of two products
            overflows the 16 bits that CPUs without VNNI have for it: all (``enable``), as the file may
            meet any CPU, the first (``first_layer_only``) or none (``disable``).
        fast_bias_correction: False corrects biases layer by layer: slower, more accurate.
        npu_platform: NPU generation to compile for if no NPU is present ("3720", "4000").
    """

    target_device: Literal["CPU", "GPU", "NPU"] = "CPU"
    preset: Literal["performance", "mixed"] = "mixed"
    range_estimator: Literal["histogram", "minmax", "nncf"] = "histogram"
    subset_size: Annotated[int, msgspec.Meta(ge=1)] = 300
    model_type: Literal["auto", "transformer", "none"] = "auto"
    overflow_fix: Literal["enable", "first_layer_only", "disable"] = "enable"
    fast_bias_correction: bool = True
    npu_platform: str = ""


def of(job: Job) -> NncfSettings:
    """A job's settings.

    Raises:
        InputError: a name or a value is wrong; the right ones are listed.
        Unsupported: the user's settings of quantization are none that NNCF has.
    """
    if foreign := [key for key in job.settings if key in Quantization.__struct_fields__]:
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
