"""Element by element, and what looks along one axis."""

from edgekit.channels.cells import Axes
from edgekit.channels.site import NotFollowedError, Rule, Site


def _pass(site: Site) -> list[Axes]:
    """The result has the channels of the first operand."""
    return [site.axes(0)]


def _joined(site: Site) -> list[Axes]:
    return [site.broadcast()]


def _select(site: Site) -> list[Axes]:
    if len(site.axes(0)) == 1 < len(site.axes(1)):
        raise NotFollowedError("its condition is one for each row")
    return [site.broadcast()]


def _along_last(site: Site) -> list[Axes]:
    """What is made of one channel depends on all."""
    site.keep(site.axes(0)[-1])
    return [site.axes(0)]


def _prelu(site: Site) -> list[Axes]:
    """A slope for each channel, or for several."""
    return [site.broadcast(0, 1)]


UNARY = (
    "ABS", "CAST", "CEIL", "COS", "ELU", "EXP", "FAKE_QUANT", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG",
    "LOGICAL_NOT", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN",
    "SQRT", "SQUARE", "TANH", "ZEROS_LIKE",
)  # fmt: skip

BINARY = (
    "ADD", "ADD_N", "ATAN2", "BITWISE_XOR", "DIV", "EQUAL", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL",
    "LESS", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "MAXIMUM", "MINIMUM", "MUL", "NOT_EQUAL", "POW", "RIGHT_SHIFT",
    "SQUARED_DIFFERENCE", "SUB",
)  # fmt: skip

ROWS: dict[str, Rule] = {
    **dict.fromkeys(UNARY, _pass),
    **dict.fromkeys(BINARY, _joined),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION"), _along_last),
    "DEQUANTIZE": _pass,
    "QUANTIZE": _pass,
    "PRELU": _prelu,
    "SELECT": _select,
    "SELECT_V2": _select,
}
