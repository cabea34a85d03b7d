"""What one inference of an IR takes, as far as the file tells: for the limit of time that it gets."""

import math
import xml.etree.ElementTree as ET  # the file was read by OpenVINO before
from collections.abc import Callable, Iterator
from pathlib import Path

from edgekit.host.deadline import Effort
from edgekit.waist.effort import MOST_TRIPS

LOOPS = {"Loop", "TensorIterator"}

BODIES = ("body", "then_body", "else_body")
"""Elements that hold networks of a layer's own."""

Shape = list[int]


def of(path: Path) -> Effort:
    """The effort of an ``.xml`` with the ``.bin`` beside it.

    Bodies of loops count as often as the file says, else once for each step of the longest input.

    Raises:
        ValueError: it is no IR.
        OSError: there is no ``.bin``.
    """
    try:
        net = ET.parse(path).getroot()  # noqa: S314  see the import
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    every = list(net.iter("layer"))
    given = (size for layer in every if layer.get("type") == "Parameter" for size in _all_sizes(layer, "output"))
    macs, values = _work(net, path.with_suffix(".bin"), max(given, default=1), MOST_TRIPS)
    loops = tuple(f"{layer.get('type')} {layer.get('name')}" for layer in every if layer.get("type") in LOOPS)
    return Effort(macs=macs, values=values, loops=loops)


def _work(net: ET.Element, weights: Path, longest: int, most: int) -> tuple[int, int]:
    """Multiply-accumulates and values of a network and of those inside it; loops count ``most`` times at most."""
    layers = net.findall("layers/layer")
    macs = sum(map(_macs, layers))
    values = sum(math.prod(shape) for layer in layers for shape in _shapes(layer, "output"))
    for layer in layers:
        for body in (body for name in BODIES for body in layer.findall(name)):
            times = min(most, _times(layer, net, weights, longest)) if layer.get("type") in LOOPS else 1
            inside = _work(body, weights, longest, most // max(1, times))
            macs, values = macs + times * inside[0], values + times * inside[1]
    return macs, values


def _times(loop: ET.Element, net: ET.Element, weights: Path, longest: int) -> int:
    """How often a loop runs: what ends it first of its own number and the slices that it takes of its inputs."""
    known = [*_slices(loop), *([] if loop.get("type") != "Loop" else _stored(loop, net, weights))]
    return min(known, default=longest)


def _slices(loop: ET.Element) -> Iterator[int]:
    """Into how many slices each input that is sliced falls (``port_map`` of TensorIterator in OpenVINO's IR)."""
    shapes = dict(zip(_ports(loop, "input"), _shapes(loop, "input"), strict=True))
    for taken in loop.findall("port_map/input"):
        shape, axis = shapes.get(taken.get("external_port_id", ""), []), taken.get("axis")
        if axis is not None and 0 <= int(axis) < len(shape):
            yield math.ceil(shape[int(axis)] / max(1, abs(int(taken.get("stride", "1")))))


def _stored(loop: ET.Element, net: ET.Element, weights: Path) -> Iterator[int]:
    """A Loop's first input, if it is a constant; none for -1, which is no limit (Loop-5 in OpenVINO's operations)."""
    port = next(iter(_ports(loop, "input")), "")
    for edge in net.findall("edges/edge"):
        if (edge.get("to-layer"), edge.get("to-port")) != (loop.get("id"), port):
            continue
        layer = next(layer for layer in net.findall("layers/layer") if layer.get("id") == edge.get("from-layer"))
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None:
            with weights.open("rb") as file:
                file.seek(int(data.get("offset", "0")))
                times = int.from_bytes(file.read(min(8, int(data.get("size", "0")))), "little", signed=True)
            yield from [times] if times >= 0 else []


def _ports(layer: ET.Element, side: str) -> list[str]:
    return [port.get("id", "") for port in layer.findall(f"{side}/port")]


def _shapes(layer: ET.Element, side: str) -> list[Shape]:
    ports = layer.findall(f"{side}/port")
    return [[int(size.text or 0) for size in port.findall("dim") if (size.text or "").isdecimal()] for port in ports]


def _all_sizes(layer: ET.Element, side: str) -> list[int]:
    return [size for shape in _shapes(layer, side) for size in shape]


def _macs(layer: ET.Element) -> int:
    """Multiply-accumulates of a layer; 0 for what is no product of matrices."""
    inputs, made = _shapes(layer, "input"), _shapes(layer, "output")
    rule = _MACS.get(layer.get("type", ""))
    return rule(layer, inputs, made[0]) if rule is not None and len(inputs) > 1 and made and inputs[0] else 0


def _product(layer: ET.Element, inputs: list[Shape], made: Shape) -> int:
    data = layer.find("data")
    across = data is not None and data.get("transpose_a") == "true" and len(inputs[0]) > 1
    return math.prod(made) * inputs[0][-2 if across else -1]


def _recurrent(_: ET.Element, inputs: list[Shape], __: Shape) -> int:
    """Each step meets the weights and the recurrent ones, the last inputs but the biases."""
    return math.prod(inputs[0][:-1]) * sum(map(math.prod, inputs[-3:-1]))


def _attention(_: ET.Element, inputs: list[Shape], made: Shape) -> int:
    """Queries ``[..., L, E]`` meet keys ``[..., S, E]``, and what comes of it values ``[..., S, V]``."""
    return (math.prod(inputs[0]) + math.prod(made)) * inputs[1][-2]


def _convolution(layer: ET.Element, inputs: list[Shape], made: Shape) -> int:
    """Each element of a result takes the part of the weights that reaches it; backwards, each of the input."""
    kind = layer.get("type", "")
    met = inputs[0] if kind.endswith("BackpropData") else made
    return math.prod(met) * math.prod(inputs[1][2 if kind.startswith("Group") else 1 :])


_MACS: dict[str, Callable[[ET.Element, list[Shape], Shape], int]] = {
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "ConvolutionBackpropData": _convolution,
    "GroupConvolutionBackpropData": _convolution,
    "MatMul": _product,
    "ScaledDotProductAttention": _attention,
    **dict.fromkeys(("LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell"), _recurrent),
}
