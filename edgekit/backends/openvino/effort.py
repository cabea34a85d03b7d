"""What one inference of an IR takes, as far as the file tells: for the limit of time that it gets."""

import math
import xml.etree.ElementTree as ET  # the file was read by OpenVINO before
from pathlib import Path

from edgekit.host.deadline import Effort

LOOPS = {"Loop", "TensorIterator"}


def of(path: Path) -> Effort:
    """The effort of an ``.xml``; bodies of loops count once.

    Raises:
        ValueError: it is no IR.
    """
    try:
        layers = list(ET.parse(path).getroot().iter("layer"))  # noqa: S314  see the import
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    return Effort(
        macs=sum(_macs(layer) for layer in layers),
        values=sum(math.prod(shape) for layer in layers for shape in _shapes(layer, "output")),
        loops=tuple(f"{layer.get('type')} {layer.get('name')}" for layer in layers if layer.get("type") in LOOPS),
    )


def _shapes(layer: ET.Element, side: str) -> list[list[int]]:
    ports = layer.findall(f"{side}/port")
    return [[int(size.text or 0) for size in port.findall("dim") if (size.text or "").isdecimal()] for port in ports]


def _macs(layer: ET.Element) -> int:
    """Each element of a result takes the part of the weights that reaches it."""
    inputs, made = _shapes(layer, "input"), _shapes(layer, "output")
    if len(inputs) < 2 or not made or not inputs[0]:
        return 0
    match layer.get("type"):
        case "Convolution":
            return math.prod(made[0]) * math.prod(inputs[1][1:])
        case "GroupConvolution":
            return math.prod(made[0]) * math.prod(inputs[1][2:])
        case "ConvolutionBackpropData" | "GroupConvolutionBackpropData":
            return math.prod(inputs[0]) * math.prod(inputs[1][1:])
        case "MatMul":
            return math.prod(made[0]) * inputs[0][-1]
        case _:
            return 0
