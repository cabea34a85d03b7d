"""What a user says about quantization, beyond what targets say."""

from typing import Any, ClassVar, Literal

from edgekit.nouns.base import Noun

Settings = dict[str, str | int | float | bool | tuple[int | str, ...]]
"""What a target, and a user's `Quantization`, say to a backend."""


class Quantization(Noun, frozen=True, kw_only=True):
    """How quantized files are made: ``[quantization]`` in ``edgekit.toml``, ``--set KEY=VALUE`` of ``edgekit build``.

    It goes before the settings of targets. What is left out is the target's, or chosen by measurement on the
    calibration samples (``auto``). Each precision reads what it has: ``int4`` has no ranges of activations.

    Keys:
        equalization: whether weights of layers in a row are brought to one scale, channel by channel: on, off, or auto,
            which tries it if all weights of a layer have one scale. Or activations, for the same with the sizes of
            their channels, which auto tries else, in int8 files.
        ranges: how the ranges of activations follow from the samples: auto, minmax, least-squares, p99.99 or p99.9 (one
            for all of them), or searched (each for itself, by the outputs' error; takes minutes).
        weights: what is done to weights and biases before they are rounded: auto, nearest (nothing), bias-correction,
            or learned (bias correction and learned rounding). dynamic-int8 and int4 take calibration samples for it if
            there are any.
        per_channel: a scale for each output channel of weights; false: one for all, as some accelerators need.
        float_operators: operators that stay float: the names of tensors that they make, kinds such as ``SOFTMAX``, or
            places in the float TFLite network, counted from 0.
    """

    ABSENT: ClassVar[dict[str, str]] = {
        "int16_operators": "make a whole file of them with --precision int16x8, or name what loses most in "
        "float_operators: LiteRT has no QUANTIZE from int8 to int16",
        "block_size": "leave it out: int4 files have a scale for each output channel, since LiteRT's reference kernel "
        "makes zeros of blocks without an error",
    }
    """What is asked for and is not there, with what to do."""

    equalization: Literal["auto", "on", "off", "activations"] | None = None
    ranges: Literal["auto", "minmax", "least-squares", "p99.99", "p99.9", "searched"] | None = None
    weights: Literal["auto", "nearest", "bias-correction", "learned"] | None = None
    per_channel: bool | None = None
    float_operators: tuple[int | str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What was said, by key."""
        said = {key: getattr(self, key) for key in self.__struct_fields__}
        return {key: value for key, value in said.items() if value not in (None, ())}
