"""Networks whose layers compute in half or double precision, read as the float32 networks that they stand for.

``mixed_float16`` and its kin say on what hardware a network was trained, not what it is for: its
variables are float32 (under ``float16`` they are rounded once), and every target chooses its own
arithmetic. TFLite has no operators of float16, bfloat16 or float64. So the policies are changed in a copy of
the file before a library reads it, and what the change makes is measured.
"""

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np

from edgekit.errors import Unsupported, first_line
from edgekit.sources.keras.archive import Archive
from edgekit.sources.keras.libraries import FAILURES, tf
from edgekit.sources.keras.network import Fixed, sample
from edgekit.waist.tensors import IDENTICAL_DB, Array, sqnr_db

OTHERS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
"""Keras's names of policies and dtypes that compute in 16 or 64 bits."""

POLICIES = {"DTypePolicy", "Policy", "PolicyV1", "FloatDTypePolicy"}
"""Classes by which Keras 2 and 3 write a policy."""

QUANTIZED = {
    "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "Int4DTypePolicy", "GPTQDTypePolicy", "AWQDTypePolicy"
}  # fmt: skip
"""Classes of the policies that ``model.quantize()`` of Keras 3 gives layers."""

SEEDS = (0, 1, 2)
"""Of the random samples on which the two are compared."""


def others(archive: Archive) -> tuple[str, ...]:
    """The policies and dtypes of other than 32 bits that a file's configuration names."""
    found: dict[str, None] = {}
    _changed(archive.config, found)
    return tuple(found)


def refuse_quantized(path: Path, archive: Archive) -> None:
    """Stop at layers that Keras 3 quantized: most round activations anew at every run, as no operator of TFLite does.

    Raises:
        Unsupported: with the modes and the layers.
    """
    found = Counter(_quantized(archive.config))
    if found:
        raise Unsupported(
            f"{path.name} is quantized already, by Keras's quantize() ({', '.join(sorted(found))}; "
            f"{found.total()} layers): TFLite has no operators for its integers.",
            place=str(path),
            fix="save the model before model.quantize(); edgekit quantizes it (--precision int8 or dynamic-int8)",
        )


def _quantized(value: Any) -> Iterator[str]:
    """The modes of all quantized policies within a configuration."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _quantized(item)
    named = value.get("config") if isinstance(value, dict) else None
    if isinstance(named, dict) and isinstance(kind := value.get("class_name"), str) and kind in QUANTIZED:
        yield str(named.get("mode", kind))


@contextmanager
def in_float32(file: Path, archive: Archive, *, zipped: bool) -> Iterator[Path]:
    """A copy of a Keras file whose layers all have the policy float32, gone afterwards."""
    config = json.dumps(_changed(archive.config, {}))
    with TemporaryDirectory(prefix="edgekit-keras-") as folder:
        copy = Path(folder) / file.name
        if zipped:
            with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
                for member in old.infolist():
                    if member.filename == "config.json":
                        new.writestr("config.json", config)
                        continue
                    with old.open(member) as source, new.open(member.filename, "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target)
        else:
            shutil.copyfile(file, copy)
            with h5py.File(copy, "r+") as opened:
                opened.attrs["model_config"] = config.encode()
        yield copy


def _changed(value: Any, found: dict[str, None]) -> Any:
    """A configuration with float32 for every other; ``found`` collects what was replaced."""
    if isinstance(value, list):
        return [_changed(item, found) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _changed(item, found) for key, item in value.items()}
    kind, named = made.get("class_name"), made.get("config")
    if isinstance(kind, str) and kind in POLICIES and isinstance(named, dict) and named.get("name") in OTHERS:
        found[named["name"]] = None
        made["config"] = named | {"name": "float32"}
    for key in ("dtype", "compute_dtype", "variable_dtype"):
        if isinstance(made.get(key), str) and made[key] in OTHERS:
            found[made[key]] = None
            made[key] = "float32"
    return made


def told(fixed: Fixed) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the network computes in float32 against its own policy, on random samples; empty without such a policy.

    Returns:
        Notes, and warnings: where the own policy overflows, a user's app has no results to compare with.
    """
    network = fixed.network
    if network.as_saved is None:
        return (), ()
    named = ", ".join(network.policies)
    try:
        own = network.as_saved()
        samples = [sample(fixed, seed) for seed in SEEDS]
        dtypes = [port.dtype for port in own.inputs]
        results = [own.call(*[tf.constant(v.astype(d)) for v, d in zip(s, dtypes, strict=True)]) for s in samples]
        pairs = [
            (np.stack(wanted), np.stack(have))
            for wanted, have in zip(
                zip(*fixed.run_in_order(samples), strict=True),
                zip(*([tf.cast(tensor, tf.float32).numpy() for tensor in result] for result in results), strict=True),
                strict=True,
            )
        ]
    except FAILURES as error:
        return (f"read in float32 instead of {named}; what that changes is not known: {first_line(error)}",), ()
    return compared(named, pairs)


def compared(named: str, pairs: list[tuple[Array, Array]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is said of outputs in float32 beside those in the own policy, as notes and warnings."""
    read = f"read in float32 instead of {named}"
    if any((np.isfinite(wanted) & ~np.isfinite(have)).any() for wanted, have in pairs):
        return (), (
            f"{read}: in {named} the network itself gives NaN or infinity on random samples, in float32 it does not",
        )
    least = min(sqnr_db(wanted, have) for wanted, have in pairs)
    shown = "the same" if least == IDENTICAL_DB else f"{least:.1f} dB"
    return (f"{read}, which comes to {shown} of it on random samples",), ()
