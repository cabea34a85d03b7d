"""Does a device compute what this host computes? The verdict, and the first operator that differs.

Knows no kind of device: whoever asks hands in two functions, one that runs a file on the host and one
that runs it on the device (`Runs`).

| operators of the file | must agree |
| --- | --- |
| all integer, conversions at the border aside | bit for bit: integer kernels round by specification, not by order |
| floating point with int8 weights, if activations are quantized on the way | to 40 dB (`HYBRID_DB`) |
| any other in floating point | to 60 dB, as float32 files must everywhere in edgekit (`edgekit.verify.THRESHOLDS_DB`) |

Float kernels add in another order on another processor. Seen with MLPerf Tiny's ResNet between x86-64 and
Cortex-A76: float32 125 dB, float16 126–130 dB, dynamic int8 weights 82 dB; int8 and int16x8 bit for bit.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit import verify
from edgekit.errors import Unsupported
from edgekit.nouns.profile import Delegate, DeviceVerification
from edgekit.waist import graph
from edgekit.waist.tensors import Array, sqnr_db

Runs = Callable[[Path, dict[str, Array]], dict[str, Array]]
"""Runs a file: its path and inputs ``[N, *shape]`` by name → outputs ``[N, *shape]`` by name."""

BORDER = {"QUANTIZE", "DEQUANTIZE", "CAST"}
"""Operators that may carry real values in a file that computes in integers."""

HYBRID_DB = 40.0
"""The least agreement if activations are quantized on the way (dynamic-int8).

A last bit of a float may become a whole step of 8 bits there: single values in the 82 dB seen. A wrong
kernel falls below 20 dB.
"""

UNSEEN = {"str", "type13", "type14"}
"""Dtypes whose tensors are no numbers: text, resources, variants."""

LONG = 80
"""Characters of a tensor's name that are shown: converters join the names of all that they fused."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first operator, in the order of execution, whose result differs beyond what is allowed."""

    index: int
    operator: str
    tensor: str
    differing: int
    elements: int
    max_abs_error: float
    sqnr_db: float

    def __str__(self) -> str:
        """In words, for reports."""
        tensor = self.tensor if len(self.tensor) <= LONG else self.tensor[:LONG] + "…"
        return (
            f"operator {self.index} {self.operator}, tensor {tensor}: {self.differing} of {self.elements} "
            f"values differ, by up to {self.max_abs_error:g} ({self.sqnr_db:.1f} dB)"
        )


def least_db(file: Path, delegate: Delegate = "xnnpack") -> float | None:
    """How closely a file's outputs must agree, in dB; None if they must be bit-identical.

    A phone's GPU computes in float16, integers too, and what NNAPI chooses is not known: there float16's
    limit holds, and for files in integers that of their precision (`edgekit.verify.THRESHOLDS_DB`).
    """
    if delegate in {"gpu", "nnapi"}:
        kinds = {_kind(operator, part) for part in graph.read(file) for operator in part.operators}
        return verify.THRESHOLDS_DB["float16" if kinds != {"integer"} else "int8"]
    if file.suffix != ".tflite":
        return verify.THRESHOLDS_DB["float32"]
    kinds = {_kind(operator, part) for part in graph.read(file) for operator in part.operators}
    if "hybrid" in kinds:
        return HYBRID_DB
    return verify.THRESHOLDS_DB["float32"] if "float" in kinds else None


def _kind(operator: graph.Operator, part: graph.Graph) -> str:
    """In what an operator computes: integer, float, or both (hybrid: integer weights, float activations)."""
    made = [part.tensors[tensor].dtype for tensor in operator.outputs if tensor >= 0]
    if operator.name in BORDER or not any(dtype.startswith(("float", "complex")) for dtype in made):
        return "integer"
    weights = [part.tensors[tensor] for tensor in operator.inputs[1:] if tensor >= 0]
    return "hybrid" if any(w.constant_bytes and w.scales and w.dtype in {"int8", "int4"} for w in weights) else "float"


def verified(
    file: Path,
    inputs: dict[str, Array],
    *,
    run_host: Runs,
    run_device: Runs,
    device: str,
    runtime: Callable[[], str],
    folder: Path,
    delegate: Delegate = "xnnpack",
) -> DeviceVerification:
    """Run a file on both sides and judge; if they differ, find out where that begins.

    Args:
        file: the artifact.
        inputs: ``[N, *shape]`` for each input, under the file's names, in its dtypes.
        run_host: runs a file here.
        run_device: runs a file there.
        device: its id, for the record.
        runtime: name and version of what ran it there, asked after the run.
        folder: where the copy with more outputs may be written.
        delegate: what took the operators there.

    Raises:
        EdgekitError: as the two functions raise it.
    """
    here, there = run_host(file, inputs), run_device(file, inputs)
    judged = judge(here, there, least=least_db(file, delegate), device=device, runtime=runtime())
    if judged.verdict == "pass" or judged.first_difference or file.suffix != ".tflite":
        return judged
    found = first_difference(file, _worst_sample(here, there, inputs), run_host, run_device, folder)
    return msgspec.structs.replace(judged, first_difference=found)


def judge(
    here: dict[str, Array], there: dict[str, Array], *, least: float | None, device: str, runtime: str
) -> DeviceVerification:
    """The verdict from outputs of both sides, by name; the worst output decides.

    A missing output or another shape is a failure, not an error: it is the device that is judged.

    Args:
        here: the host's outputs.
        there: the device's.
        least: as `least_db` gives it.
        device: its id, for the record.
        runtime: what ran the file there, for the record.
    """
    samples = len(next(iter(here.values())))
    if wrong := _mismatch(here, there):
        return DeviceVerification(
            device=device,
            runtime=runtime,
            samples=samples,
            identical=False,
            sqnr_db=None,
            max_abs_error=None,
            verdict="fail",
            first_difference=wrong,
        )
    agreements = verify.compare(here, there)
    known = [agreement.sqnr_db for agreement in agreements if agreement.sqnr_db is not None]
    identical = all(agreement.identical for agreement in agreements)
    near = least is not None and min(known, default=least) >= least
    return DeviceVerification(
        device=device,
        runtime=runtime,
        samples=samples,
        identical=identical,
        sqnr_db=min(known, default=None),
        max_abs_error=max(agreement.max_abs_error for agreement in agreements),
        verdict="pass" if identical or near else "fail",
    )


def _mismatch(here: dict[str, Array], there: dict[str, Array]) -> str:
    for name, expected in here.items():
        if name not in there:
            return f"the device gives no output {name}"
        if there[name].shape != expected.shape or there[name].dtype != expected.dtype:
            got, wanted = there[name], expected
            return f"output {name} is {got.dtype} {got.shape[1:]} there, {wanted.dtype} {wanted.shape[1:]} here"
    return ""


def _worst_sample(here: dict[str, Array], there: dict[str, Array], inputs: dict[str, Array]) -> dict[str, Array]:
    """The one sample whose outputs differ most: all tensors of one are enough to look at."""
    samples = len(next(iter(here.values())))
    levels = [min(sqnr_db(here[name][i], there[name][i]) for name in here) for i in range(samples)]
    worst = int(np.argmin(levels))
    return {name: values[worst : worst + 1] for name, values in inputs.items()}


def exposed(file: Path) -> tuple[bytes, dict[str, tuple[int, str, str]]]:
    """A copy of a ``.tflite`` file in which every operator's results are outputs too.

    Returns:
        Its content, and for each output's name in it (operator's index, operator, tensor's own name) in
        the order of execution. Names are made unique by the tensor's index.
    """
    model = graph.load(file)
    main, described = model.subgraphs[0], graph.describe(model)[0]
    origin = {}
    for operator in described.operators:
        for tensor in operator.outputs:
            if tensor < 0 or described.tensors[tensor].dtype in UNSEEN or tensor in described.inputs:
                continue
            name = f"{tensor}:{described.tensors[tensor].name}"
            main.tensors[tensor].name = name.encode()
            origin[name] = (operator.index, operator.name, described.tensors[tensor].name)
    wanted = [int(name.partition(":")[0]) for name in origin]
    main.outputs = np.asarray(wanted, np.int32)
    model.signatureDefs = None  # it would name the outputs of before
    return graph.pack(model), origin


def first_difference(file: Path, inputs: dict[str, Array], run_host: Runs, run_device: Runs, folder: Path) -> str:
    """The first operator whose result differs, in words; if none does alone, that is said.

    Args:
        file: a ``.tflite`` file whose outputs differ.
        inputs: one sample, ``[1, *shape]`` for each input.
        run_host: runs a file here.
        run_device: runs a file there.
        folder: where the copy with more outputs may be written.
    """
    content, origin = exposed(file)
    copy = folder / f"{file.stem}.exposed.tflite"
    copy.write_bytes(content)
    try:
        here, there = run_host(copy, inputs), run_device(copy, inputs)
    except Unsupported as error:
        return f"unknown: the copy in which every result is an output does not run ({error.problem})"
    finally:
        copy.unlink(missing_ok=True)
    found = compared(origin, here, there, least=least_db(file))
    return str(found) if found else "none alone: it is only seen where operators run fused"


def compared(
    origin: dict[str, tuple[int, str, str]], here: dict[str, Any], there: dict[str, Any], *, least: float | None
) -> Difference | None:
    """The first of the results, in the order of ``origin``, that differs beyond what is allowed."""
    for name, (index, operator, tensor) in origin.items():
        a, b = here[name], there[name]
        if np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
            continue
        level = sqnr_db(a, b)
        if least is None or a.dtype.kind not in "fc" or level < least:
            apart = a.astype(np.float64) - b.astype(np.float64)
            return Difference(
                index=index,
                operator=operator,
                tensor=tensor,
                differing=int(np.count_nonzero(apart)),
                elements=apart.size,
                max_abs_error=float(np.abs(apart[np.isfinite(apart)]).max(initial=0.0)),
                sqnr_db=level,
            )
    return None
