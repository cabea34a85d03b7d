"""Inputs of a fixed size taken at another: what is made of convolutions runs at any, whatever it was exported for."""

from pathlib import Path

import onnx

from edgekit.errors import InputError
from edgekit.sources.onnx import indices
from edgekit.sources.onnx.opening import reading, shapes
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, Running, complaint, made_up, run

Shapes = dict[str, tuple[int, ...]]


def left(model: onnx.ModelProto, wanted: Shapes) -> Shapes:
    """The declared shapes of inputs whose fixed sizes ``wanted`` leaves; open sizes are shown as wanted."""
    found = {}
    for value in shapes.true_inputs(model):
        sizes = shapes.dims(value) or list(wanted[value.name])
        own = tuple(size if isinstance(size, int) else wanted[value.name][axis] for axis, size in enumerate(sizes))
        if own != wanted[value.name]:
            found[value.name] = own
    return found


def taken(
    path: Path, model: onnx.ModelProto, wanted: Shapes, declared: Shapes
) -> tuple[onnx.ModelProto, Running, list[str]]:
    """The model at the sizes that were asked for, its session, and what is said of them.

    Args:
        path: of its file, for the message.
        model: as the user wrote it; not modified.
        wanted: the shapes of its inputs.
        declared: what `left` found.

    Raises:
        InputError: it does not run at these sizes.
        Unsupported: see `reading.session_of`.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # its bytes may be more than 2 GiB
    shapes.fix(copy, wanted)
    try:
        running = reading.session_of(path, copy)
    except InputError as error:  # the file itself is valid, or ONNX Runtime says below what is not
        reading.session_of(path, model)
        raise _refused(path, wanted, declared, error.problem.partition("invalid model: ")[2]) from error
    if (reason := _stopped(copy, running, wanted)) is not None:
        raise _refused(path, wanted, declared, reason)
    said = [
        f"{name} is taken as {shapes.shown(wanted[name])} (--shape); the model was exported for {shapes.shown(own)}, "
        "and what it holds for that size alone (anchors, positions) stays as it is"
        for name, own in declared.items()
    ]
    return copy, running, said


def _stopped(model: onnx.ModelProto, running: Running, wanted: Shapes) -> str | None:
    """Why it runs on no made-up inputs; None if it runs on some."""
    dtypes = {value.name: reading.dtype_of(value) for value in shapes.true_inputs(model)}
    limits = indices.limits(model, [name for name, dtype in dtypes.items() if dtype.kind in "iu"])
    reason = None
    for feed in made_up(wanted, dtypes, 0, limits):
        try:
            run(running, feed)
        except RUNTIME_ERRORS as error:
            reason = reason or complaint(error)
            continue
        return None
    return reason


def _refused(path: Path, wanted: Shapes, declared: Shapes, reason: str) -> InputError:
    asked = "; ".join(f"{name} {shapes.shown(wanted[name])}" for name in declared)
    own = " ".join(f"--shape {name}={','.join(map(str, sizes))}" for name, sizes in declared.items())
    return InputError(
        f"{path.name} does not run with {asked}; it was exported for another size. {reason}",
        place=str(path),
        fix=f"export it for that size, or build it at its own ({own})",
    )
