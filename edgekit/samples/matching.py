"""Fitting raw arrays to a network's inputs: names or order, shape, layout, dtype, finite values."""

from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np

from edgekit.errors import InputError
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.samples.content import Raw
from edgekit.samples.place import Place
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array

SINGLE_INPUT_KEYS = ("x", "data", "input", "inputs", "images", "samples")
"""Names that mean "the input" of a network with one input if a file holds several arrays."""

LAYOUTS: dict[tuple[int, ...], tuple[str, str]] = {(0, 2, 3, 1): ("NCHW", "NHWC"), (0, 3, 1, 2): ("NHWC", "NCHW")}
"""Transposition of a batch of images → the layout it comes from and the one it leads to."""

QUANTIZED = "the samples are int8, and the network takes floats: of quantized ones give (x - zero_point) * scale"
"""Signed bytes are hardly ever what a network of floats was trained on: another, quantized one was fed with them."""


def fit(
    raw: Raw, signature: Signature, place: str, room: Place
) -> tuple[dict[str, Array], tuple[str, ...], tuple[str, ...]]:
    """Raw arrays as the network wants them.

    Args:
        raw: what was read.
        signature: of the source.
        place: the file or function, for complaints.
        room: where arrays of another dtype are put.

    Returns:
        Each input's source name with ``[N, *source_shape]`` in the source's dtype, notes on
        what was changed to get there, and doubts whether it was right.

    Raises:
        InputError: names, shapes, dtypes or numbers of samples do not fit, or values are not finite.
    """
    matched, notes = _match(raw.arrays, signature.inputs, place)
    fitted: dict[str, Array] = {}
    doubts: list[str] = []
    for spec in signature.inputs:
        shaped, shape_note = _shape(spec, matched[spec.source_name], place)
        fitted[spec.source_name], dtype_note = _cast(spec, shaped, place, room)
        notes += shape_note + dtype_note
        if shaped.dtype == np.int8 and np.dtype(spec.source_dtype).kind == "f":
            doubts.append(f"{spec.source_name}: {QUANTIZED}")
        _require_finite(spec, fitted[spec.source_name], place)
    _require_equal_counts(fitted, place)
    return fitted, notes, tuple(doubts)


def _match(
    arrays: dict[str, Array], specs: tuple[TensorSpec, ...], place: str
) -> tuple[dict[str, Array], tuple[str, ...]]:
    wanted = [spec.source_name for spec in specs]
    if set(wanted) <= set(arrays):
        return {name: arrays[name] for name in wanted}, _left_out(arrays, wanted)
    if len(wanted) == 1:
        usual = next((name for name in SINGLE_INPUT_KEYS if name in arrays), None)
        name = next(iter(arrays)) if len(arrays) == 1 else usual
        if name is not None:
            return {wanted[0]: arrays[name]}, _left_out(arrays, (name,))
    known = set(wanted) & set(arrays)
    if len(arrays) == len(wanted) and not known:
        pairs = ", ".join(f"{found} → {name}" for found, name in zip(arrays, wanted, strict=True))
        note = () if all(name.startswith("#") for name in arrays) else (f"inputs were matched by order: {pairs}",)
        return dict(zip(wanted, arrays.values(), strict=True)), note
    raise InputError(
        f"The data holds {_list(arrays)}, the model wants {_list(wanted)}.",
        place=place,
        fix="name the arrays as the inputs are named, or give exactly one array for each input in their order",
    )


def _left_out(arrays: dict[str, Array], used: Sequence[str]) -> tuple[str, ...]:
    idle = [name for name in arrays if name not in used]
    return (f"arrays that are no input were left out: {', '.join(idle)}",) if idle else ()


def _list(names: "list[str] | dict[str, Array]") -> str:
    shown = [name.removeprefix("#") for name in names]
    return f"{len(shown)} array{'s' * (len(shown) != 1)} ({', '.join(shown[:12]) or 'none'}{', …' * (len(shown) > 12)})"


def _shape(spec: TensorSpec, values: Array, place: str) -> tuple[Array, tuple[str, ...]]:
    """``[N, *shape]``, ``[N, *shape[1:]]`` for batch 1, or the same but for axes of size 1."""
    want = spec.source_shape
    if values.size == 0 or values.ndim == 0:
        raise InputError(
            f"Input {spec.source_name} has no samples: its array has shape {list(values.shape)}.",
            place=place,
            fix="give at least one sample, with a leading sample axis",
        )
    if values.shape[1:] == want or (want[:1] == (1,) and values.shape[1:] == want[1:]):
        return values.reshape(len(values), *want), ()
    if [d for d in values.shape[1:] if d != 1] == [d for d in want if d != 1]:
        note = f"{spec.source_name}: samples of shape {list(values.shape[1:])} were read as {list(want)}"
        return values.reshape(len(values), *want), (note,)
    raise _shape_error(spec, values, place)


def _shape_error(spec: TensorSpec, values: Array, place: str) -> InputError:
    want = spec.source_shape
    tail = want[1:] if want[:1] == (1,) else want
    sides = f"Input {spec.source_name}: the data has shape {_dims(values.shape)}, the model wants {_dims(('N', *tail))}"
    if want[0] > 1 and values.shape[1:] == want[1:] and len(values) % want[0] == 0 and values.shape != want:
        return InputError(
            f"{sides}: the model takes {want[0]} at once.",
            place=place,
            fix=f"group the samples: x.reshape({', '.join(map(str, (-1, *want)))}), or export the model with batch 1",
        )
    axes = _transposition(values.shape, tail)
    if axes is not None:
        found, wanted = LAYOUTS.get(axes, ("another axis order", "this order"))
        return InputError(
            f"{sides}: this is {found}, not {wanted}.",
            place=place,
            fix=f"transpose the samples: x.transpose{axes}",
        )
    if values.shape in {want, tail}:
        return InputError(f"{sides}: the sample axis is missing.", place=place, fix="add it: x[np.newaxis]")
    return InputError(f"{sides}.", place=place, fix="preprocess the samples as they were for training")


def _transposition(shape: tuple[int, ...], tail: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(shape) != len(tail) + 1 or sorted(shape[1:]) != sorted(tail) or len(tail) > 5:
        return None
    orders = ((0, *axes) for axes in permutations(range(1, len(shape))))
    fitting = [axes for axes in orders if tuple(shape[axis] for axis in axes[1:]) == tail]
    return next((axes for axes in fitting if axes in LAYOUTS), fitting[0])


def _dims(shape: Iterable[str | int]) -> str:
    return "[" + ", ".join(str(d) for d in shape) + "]"


def _cast(spec: TensorSpec, values: Array, place: str, room: Place) -> tuple[Array, tuple[str, ...]]:
    """The source's dtype if no value changes by more than floating-point rounding."""
    want = np.dtype(spec.source_dtype)
    if values.dtype == want:
        return values, ()
    if values.dtype.kind not in "fiub" or want.kind not in "fiub":
        raise _dtype_error(
            spec, values, place, "these are no numbers", "save numeric arrays (allow_pickle is never used)"
        )
    _require_finite(spec, values, place)
    cast, exact = room.empty(values.shape, want), values.dtype.kind != "f" or want.kind != "f"
    for rows in pieces(values):
        with np.errstate(over="ignore", invalid="ignore"):
            cast[rows] = values[rows].astype(want)
            kept = not exact or np.array_equal(cast[rows].astype(values.dtype), values[rows])
        if not kept:
            reason = "values would change" if values.dtype.kind != "f" else "values have fractions or are out of range"
            raise _dtype_error(spec, values, place, reason, f"convert the samples to {want} yourself")
    note = f"{spec.source_name}: {values.dtype} samples were cast to {want} (no value changed)"
    return cast, (note,) if exact else ()


def _dtype_error(spec: TensorSpec, values: Array, place: str, reason: str, fix: str) -> InputError:
    return InputError(
        f"Input {spec.source_name}: the data is {values.dtype}, the model wants {spec.source_dtype}; {reason}.",
        place=place,
        fix=fix,
    )


def _require_finite(spec: TensorSpec, values: Array, place: str) -> None:
    if values.dtype.kind != "f":
        return
    bad = np.concatenate([~np.isfinite(values[r]).reshape(len(values[r]), -1).all(axis=1) for r in pieces(values)])
    if bad.any():
        masks = all(np.all(np.isfinite(part) | (part == -np.inf)) for part in map(values.__getitem__, pieces(values)))
        raise InputError(
            f"Input {spec.source_name}: {int(bad.sum())} of {len(values)} samples hold NaN or infinity "
            f"(the first is sample {int(np.argmax(bad))}).",
            place=place,
            fix="give -10000 in place of -inf, here and in the app: a softmax makes 0 of either, and integers have no "
            "infinity"
            if masks
            else "remove or repair these samples",
        )


def _require_equal_counts(fitted: dict[str, Array], place: str) -> None:
    counts = {name: len(values) for name, values in fitted.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise InputError(
            f"The inputs have different numbers of samples ({shown}).", place=place, fix="give every input as many"
        )
