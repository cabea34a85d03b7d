"""Running blocks with the runner, a single file that works wherever Python and a runtime are.

`edgekit.runner.board` packed by `program` is that file. It is copied to the device and knows nothing
of edgekit. This module is its other side: it writes the order that the file reads, and reads the
answer. Drivers only differ in how they copy files and start a process.
"""

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from edgekit.errors import REMEDIES, DeviceError, Unsupported
from edgekit.profiles import Block, Device, Run, Stand, State

PROGRAM = "edgekit_runner.pyz"
"""What the file to copy is called."""

ORDER, ANSWER = "order.json", "answer.json"
"""What the runner reads from and writes into its folder."""

FETCHED = ("latencies.npy", "outputs.npz", "sensed.jsonl")
"""Files that an answer may come with."""


@cache
def program() -> bytes:
    """The file to copy: a zip that Python runs, the same bytes for the same code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        start = "from edgekit_runner.__main__ import main\n\nmain()\n"
        file.writestr(zipfile.ZipInfo("__main__.py"), start)
        for source in sorted((Path(__file__).parent / "board").glob("*.py")):
            file.writestr(zipfile.ZipInfo(f"edgekit_runner/{source.name}"), source.read_bytes())
    return packed.getvalue()


class Seen(msgspec.Struct, frozen=True):
    """What the runner says of the machine it is on (``look``)."""

    python: str
    os: str
    cpu: str | None
    abi: str
    cores: int
    runtimes: dict[str, str]
    problems: tuple[str, ...]
    state: State


RUNS: dict[str, tuple[str, ...]] = {
    "ai-edge-litert": (".tflite",),
    "tflite-runtime": (".tflite",),
    "tensorflow": (".tflite",),
    "openvino": (".xml", ".onnx"),
    "onnxruntime": (".onnx",),
}
"""Every runtime that the runner knows → suffixes of the files that it runs there."""


def order(stand: Stand, run: Run, out: str) -> bytes:
    """The order for one block: JSON for ``order.json``; ``out`` is the folder on the device for results."""
    plain = msgspec.to_builtins(run) | {
        "model": stand.model,
        "inputs": stand.inputs,
        "library": stand.library,
        "out": out,
    }
    return msgspec.json.encode(plain)


def block(answer: bytes, *, code: int, place: str, last_words: str = "") -> Block:
    """Read an answer.

    Args:
        answer: content of ``answer.json``, empty if there is none.
        code: exit code of the runner's process; negative for a signal.
        place: the device and file, for complaints.
        last_words: what the process printed.

    Raises:
        EdgekitError: the one that the runner reports.
        Unsupported: the process died, as it does where a file makes a native library abort.
    """
    try:
        plain: dict[str, Any] = json.loads(answer)
    except ValueError:
        words = (last_words.strip().splitlines() or ["it printed nothing"])[-1][:300]
        raise Unsupported(
            f"The process that ran the file ended with code {code}: {words}",
            place=place,
            fix="run it again; if it dies again, the file makes that runtime abort: try another precision or delegate",
        ) from None
    if "error" in plain:
        error = plain["error"]
        kind = REMEDIES.get(error["remedy"], DeviceError)
        raise kind(error["problem"], place=error["place"] or place, fix=error["fix"])
    return msgspec.convert(plain, Block)


def seen(answer: bytes, place: str) -> Seen:
    """Read what ``look`` printed.

    Raises:
        DeviceError: it printed something else.
    """
    try:
        return msgspec.json.decode(answer, type=Seen)
    except msgspec.MsgspecError as error:
        raise DeviceError(
            f"The runner does not answer as it should: {error}.",
            place=place,
            fix="check Python there: python3 --version",
        ) from error


def described(device: Device, found: Seen) -> Device:
    """A device with what the runner saw there."""
    suffixes = {suffix for runtime in found.runtimes for suffix in RUNS.get(runtime, ())}
    return msgspec.structs.replace(
        device,
        os=found.os,
        cpu=found.cpu,
        abi=found.abi,
        cores=found.cores,
        runtimes=found.runtimes,
        runs=tuple(suffix for suffix in (".tflite", ".xml", ".onnx") if suffix in suffixes),
        problems=device.problems + found.problems,
        state=found.state,
    )
