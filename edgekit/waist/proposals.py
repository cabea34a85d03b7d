"""Where a network can be cut so that what no device runs is left out, as options that can be pasted."""

import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple


class GraphStep(NamedTuple):
    """An operator: what it reads and makes, without constants; ``heavy`` if it multiplies matrices."""

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    heavy: bool


class Cut(NamedTuple):
    """Names for ``--inputs`` and ``--outputs``; empty if nothing is to be cut at that side."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def around(steps: Sequence[GraphStep], bad: Collection[int], outputs: Collection[str]) -> Cut | None:
    """The cut that leaves the bad steps out; None if they stand in the midst of the network.

    A bad step with more of the network behind it than before it goes with all that leads to it, another one
    with all that follows. What is left must hold more than half of the heavy steps.

    Args:
        steps: in the order of execution.
        bad: indices of steps.
        outputs: of the whole network.
    """
    makers = {name: i for i, step in enumerate(steps) for name in step.makes}
    readers: dict[str, list[int]] = defaultdict(list)
    for i, step in enumerate(steps):
        for name in step.reads:
            readers[name].append(i)
    before: set[int] = set()
    after: set[int] = set()
    for index in bad:
        leading = _closure(index, lambda i: [makers[name] for name in steps[i].reads if name in makers])
        following = _closure(index, lambda i: [j for name in steps[i].makes for j in readers[name]])
        behind = sum(steps[i].heavy for i in following) > sum(steps[i].heavy for i in leading)
        before |= leading if behind else set()
        after |= set() if behind else following
    left = [i for i in range(len(steps)) if i not in before and i not in after]
    if 2 * sum(steps[i].heavy for i in left) <= sum(step.heavy for step in steps):
        return None
    made = {name for i in left for name in steps[i].makes}
    read_before = [name for i in left for name in steps[i].reads if name not in made]
    wanted = {name for i in after for name in steps[i].reads} | set(outputs)
    ends = [name for i in left for name in steps[i].makes if name in wanted]
    return Cut(tuple(dict.fromkeys(read_before)) if before else (), tuple(dict.fromkeys(ends)) if after else ())


def _closure(start: int, beside: Callable[[int], list[int]]) -> set[int]:
    found: set[int] = set()
    pending = [start]
    while pending:
        index = pending.pop()
        if index not in found:
            found.add(index)
            pending += beside(index)
    return found


def command(path: Path, cut: Cut, shapes: Sequence[str] = (), *, finished: bool = False) -> str:
    """A command that builds what is left; it needs no data.

    Args:
        path: the model.
        cut: where to cut.
        shapes: for ``--shape``, of inputs whose sizes nothing tells.
        finished: the model is of integers, and stays in its precision.
    """
    words = ["edgekit", "build", str(path), "-t", "android"]
    words += [] if finished else ["--precision", "float32"]
    words += ["--inputs", ",".join(cut.inputs)] if cut.inputs else []
    words += [word for shape in shapes for word in ("--shape", shape)]
    words += ["--outputs", ",".join(cut.outputs)] if cut.outputs else []
    return shlex.join(words)


def advice(path: Path, cut: Cut | None, shapes: Sequence[str] = (), *, finished: bool = False) -> str:
    """What a message's fix says of a cut (see `command`); empty if there is none."""
    if cut is None:
        return ""
    return f"cut them off and do them in the app: `{command(path, cut, shapes, finished=finished)}`"
