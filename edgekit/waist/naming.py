"""What users say of a source's tensors by name: bound values, and where to cut. Shared by the leaves."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.config import toml
from edgekit.errors import InputError
from edgekit.nouns.model import Constant, SourceOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def edited(options: SourceOptions) -> bool:
    """Whether the network that is built is another one than the file holds."""
    return bool(options.constants or options.inputs or options.outputs)


def bound(
    name: str, values: Constant, declared: Sequence[int | str | None] | None, dtype: "np.dtype[Any]"
) -> "NDArray[Any]":
    """The array that an input is bound to.

    Args:
        name: of the input, for complaints.
        values: in row-major order; a single one fills the input.
        declared: the input's shape, with names or None if it is open (then batch 1, and one size that follows
            from the number of values); None if even the rank is.
        dtype: of the input.

    Raises:
        InputError: there are too few or too many values, or one is none of that dtype.
    """
    import numpy as np  # noqa: PLC0415  a run that the cache answers needs no numbers

    shape = _shape(values, declared)
    if shape is None:
        shown = "[" + ", ".join(str(size if isinstance(size, int) else "?") for size in declared or []) + "]"
        raise InputError(
            f"{name} is {shown}, and {len(values)} values do not fill it.",
            place=f"--constant {name}",
            fix=f"give one value for all, or as many as it holds: --constant {name}=VALUE,VALUE,…",
        )
    array = np.asarray(values)
    made = np.full(shape, array[0], dtype) if len(values) == 1 else array.astype(dtype).reshape(shape)
    if dtype.kind in "iub" and not np.array_equal(
        made.reshape(-1).astype(np.float64), np.broadcast_to(array, made.size)
    ):
        raise InputError(
            f"{name} holds {dtype}, and {', '.join(map(str, values[:4]))} is none.",
            place=f"--constant {name}",
            fix="give whole numbers in its range" if dtype.kind in "iu" else "give true or false",
        )
    return made


def _shape(values: Constant, declared: Sequence[int | str | None] | None) -> tuple[int, ...] | None:
    """The shape that so many values fill; None if they do not."""
    if declared is None:
        return () if len(values) == 1 else (len(values),)
    sizes = [size if isinstance(size, int) and size >= 0 else None for size in declared]
    if sizes.count(None) > 1 and sizes[0] is None:
        sizes[0] = 1
    while sizes.count(None) > 1 and len(values) == 1:
        sizes[sizes.index(None)] = 1
    known = math.prod(size for size in sizes if size is not None)
    if sizes.count(None) == 1:
        if len(values) == 1:
            return tuple(1 if size is None else size for size in sizes)
        return None if known == 0 or len(values) % known else tuple(size or len(values) // known for size in sizes)
    fits = None not in sizes and len(values) in {1, known}
    return tuple(size for size in sizes if size is not None) if fits else None


def no_input(path: Path, name: str, known: Sequence[str], option: str) -> InputError:
    """The refusal of a name that no input has."""
    return InputError(
        f"{path.name} has no input {name!r}.",
        place=f"{option} {name}",
        fix=toml.nearest(name, tuple(known)) or f"its inputs are: {', '.join(known) or 'none'}",
    )


def require_tensors(path: Path, names: Sequence[str], known: Collection[str]) -> None:
    """Check that every name is a tensor's.

    Raises:
        InputError: one is not; the nearest is named.
    """
    for name in names:
        if name not in known:
            near = toml.nearest(name, tuple(known))
            raise InputError(
                f"{path.name} computes no tensor {name!r}.",
                place=f"--inputs or --outputs {name}",
                fix=(f"{near}; " if near else "") + f"`edgekit inspect {path} --tensors` lists them",
            )


def require_reached(path: Path, ends: Sequence[str], reached: Collection[str]) -> None:
    """Check that the chosen inputs are all that the outputs depend on, and no more.

    Raises:
        InputError: they are not.
    """
    if not ends:
        return
    if missing := sorted(set(reached) - set(ends)):
        raise InputError(
            f"What is kept of {path.name} depends on {', '.join(missing)} too.",
            place=f"--inputs {','.join(ends)}",
            fix=f"add it: --inputs {','.join([*ends, *missing])}, or bind it: --constant {missing[0]}=VALUE",
        )
    if idle := sorted(set(ends) - set(reached)):
        raise InputError(
            f"Nothing that is kept of {path.name} reads {', '.join(idle)}.",
            place=f"--inputs {','.join(ends)}",
            fix="leave it out, or keep an output that depends on it",
        )
