"""Outputs that are nothing of their own: a tensor that comes out twice, or an input that comes out again.

Quantizers fail on both, so they are taken off before and put back afterwards.
"""

from dataclasses import dataclass
from typing import Any

from edgekit.errors import Unsupported
from edgekit.waist.graph import ints


@dataclass(frozen=True)
class Aliases:
    """How a file's outputs are made of its own ones and of its inputs.

    ``outputs`` holds for each output ``("inputs", k)`` or ``("outputs", k)``, the k-th that is left;
    ``entries`` are (signature, entry, the same pair) for what was taken off the signatures' outputs.
    """

    outputs: tuple[tuple[str, int], ...]
    entries: tuple[tuple[int, Any, tuple[str, int]], ...] = ()


def take_off(model: Any) -> Aliases:
    """Leave each output of the main subgraph once, and none that is an input; in place.

    Raises:
        Unsupported: nothing is left, because the network computes nothing.
    """
    main = model.subgraphs[0]
    inputs, outputs = ints(main.inputs), ints(main.outputs)
    own = tuple(dict.fromkeys(tensor for tensor in outputs if tensor not in inputs))
    if not own:
        raise Unsupported(
            "Every output of the network is one of its inputs, so that nothing is left to quantize.",
            place="outputs",
            fix="choose float32",
        )
    places = {tensor: ("inputs", k) for k, tensor in enumerate(inputs)}
    places |= {tensor: ("outputs", k) for k, tensor in enumerate(own)}
    entries = []
    for number, definition in enumerate(model.signatureDefs or []):
        left, seen = [], set()
        for entry in definition.outputs or [] if definition.subgraphIndex == 0 else []:
            tensor = int(entry.tensorIndex)
            if tensor in own and tensor not in seen:
                left.append(entry)
            elif tensor in places:
                entries.append((number, entry, places[tensor]))
            seen.add(tensor)
        if definition.subgraphIndex == 0:
            definition.outputs = left
    main.outputs = list(own)
    return Aliases(tuple(places[tensor] for tensor in outputs), tuple(entries))


def put_back(model: Any, aliases: Aliases) -> None:
    """Give the file all of its outputs again, in place."""
    main = model.subgraphs[0]
    own = {"inputs": ints(main.inputs), "outputs": ints(main.outputs)}
    main.outputs = [own[side][k] for side, k in aliases.outputs]
    for number, entry, (side, k) in aliases.entries:
        entry.tensorIndex = own[side][k]
        model.signatureDefs[number].outputs.append(entry)
