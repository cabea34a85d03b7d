"""How much of a network a delegate took, by the tool's own lines, so that a silent fall-back to the CPU is seen.

A tool happily prints the latency of a CPU after its delegate refused the graph. A sentence about what
was applied counts more than how many nodes a delegate claimed first: a claim may be withdrawn.
Sources of the lines: ``benchmark_tflite_model.cc`` and ``core/subgraph.cc`` (tensorflow).
"""

import re

from edgekit.errors import Unsupported
from edgekit.nouns.profile import Delegate, Delegation

NAMES: dict[Delegate, str] = {"xnnpack": "XNNPACK", "gpu": "GPU", "nnapi": "NNAPI"}
"""Delegates by the name that the classic tool has for them."""

_APPLIED = re.compile(
    r"(?:Explicitly applied|Though) (?P<name>\w+) delegate(?: is explicitly applied)?, (?:and )?the model graph will "
    r"(?P<how>be completely|be partially|not be) executed by the delegate(?: w/ (?P<kernels>\d{1,9}) delegate kernels)?"
)
_REPLACED = re.compile(
    r"Replacing (?P<some>\d{1,9}) out of (?P<all>\d{1,9}) node\(s\) with delegate \((?P<kind>\w+)\)"
    r".*?(?:yielding (?P<partitions>\d{1,9}) partitions|$)",
    re.MULTILINE,
)
_FAILED = re.compile(r"Failed to apply (\w+) delegate|\b(\w{1,20}) acceleration is unsupported on this platform")

DISALLOWED = "Disallowed CPU fallback detected"
"""What the tool says when it refuses to go on without a full delegation."""


def seen(delegate: Delegate, text: str) -> Delegation | None:
    """What the tool said about a delegate; None if it said nothing."""
    name = NAMES.get(delegate)
    if name is None:
        return None
    replaced = [match for match in _REPLACED.finditer(text) if name.lower() in match["kind"].lower()]
    words = replaced[-1][0].strip() if replaced else ""
    for match in _APPLIED.finditer(text):
        if match["name"].upper() == name:
            share = {"be completely": "all", "be partially": "part", "not be": "none"}[match["how"]]
            partitions = match["kernels"] or (replaced[-1]["partitions"] if replaced and share != "none" else None)
            kernels = int(partitions) if partitions else None
            spoken = words if words and share == "part" else match[0]
            return Delegation(delegate=delegate, share=share, partitions=kernels, words=spoken)  # type: ignore[arg-type]
    for match in _FAILED.finditer(text):
        if (match[1] or match[2]).upper() == name:
            return Delegation(delegate=delegate, share="none", words=match[0])
    if not replaced:
        return None
    some, whole = sum(int(match["some"]) for match in replaced), max(int(match["all"]) for match in replaced)
    share = "none" if not some else "all" if some >= whole else "part"
    partitions = replaced[-1]["partitions"]
    return Delegation(delegate=delegate, share=share, partitions=int(partitions) if partitions else None, words=words)  # type: ignore[arg-type]


def require_full(delegate: Delegate, found: Delegation | None, *, place: str) -> None:
    """Insist that a delegate took the whole network.

    Raises:
        Unsupported: it took none or a part of it, or the tool does not tell.
    """
    if found is not None and found.share == "all":
        return
    name = NAMES.get(delegate, delegate)
    if found is None:
        problem = f"This benchmark_model does not tell whether {name} ran the network, and all of it was required."
    elif found.share == "none":
        problem = f"{name} ran nothing of the network, all of it was required: its time would be the CPU's."
    else:
        problem = f"{name} ran only a part of the network, all of it was required."
    said = f" It says: {found.words}." if found is not None and found.words else ""
    raise Unsupported(
        problem + said,
        place=place,
        fix="choose a precision that it takes whole, another delegate, or leave out --require-full-delegation",
    )
