"""Outputs that an app may feed back as inputs: the state of a recurrent network, held outside of it."""

from difflib import SequenceMatcher
from math import prod

from edgekit.nouns.model import Signature, TensorSpec


def pairs(signature: Signature) -> tuple[tuple[str, str], ...]:
    """Outputs with the inputs whose shapes and dtypes they have, by source names, ``(output, input)``.

    Of several inputs it is the one whose name is most alike. None if no other input and no other output is left: a
    picture that is made from a picture is no state.
    """
    waiting, found = list(signature.inputs), list[tuple[str, str]]()
    for output in signature.outputs:
        alike = [one for one in waiting if _kind(one) == _kind(output)]
        likeness = [SequenceMatcher(None, one.source_name, output.source_name).ratio() for one in alike]
        taken = alike[likeness.index(max(likeness))] if alike else None
        if taken is not None and prod(output.source_shape) > 1 and output.source_dtype == "float32":
            waiting.remove(taken)
            found.append((output.source_name, taken.source_name))
    return tuple(found) if waiting and len(found) < len(signature.outputs) else ()


def _kind(spec: TensorSpec) -> tuple[tuple[int, ...], str]:
    return spec.source_shape, spec.source_dtype
