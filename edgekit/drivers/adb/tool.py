"""benchmark_model: the one a user names, the phone's own, or Google's, fetched only when asked for.

A fetched file must be a program for the phone's processor and answer ``--help`` there; then it is kept
in the cache under its SHA-256. Source of the addresses: LiteRT's documentation, "Performance
measurement" (native benchmark binary, nightly builds of the classic tool, which alone writes outputs and
times operators). Source of the numbers of processors: the ELF specification's ``e_machine``.
"""

import hashlib
import shlex
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Literal, NamedTuple

from edgekit.drivers.adb.bridge import Phone
from edgekit.drivers.adb.finding import TOOLS
from edgekit.errors import DeviceError, InputError, MissingTool
from edgekit.host import replacing
from edgekit.host.cachedir import cache_folder
from edgekit.nouns.profile import Device

NIGHTLY = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"

URLS = {
    "arm64-v8a": f"{NIGHTLY}/android_aarch64_benchmark_model",
    "armeabi-v7a": f"{NIGHTLY}/android_arm_benchmark_model",
}
"""ABI (``ro.product.cpu.abi``) → where Google publishes the tool; there is none for x86."""

DOWNLOAD = "download"
"""What ``--benchmark-binary`` takes instead of a path to have it fetched."""

MACHINES = {"arm64-v8a": (2, 183), "armeabi-v7a": (1, 40), "x86_64": (2, 62), "x86": (1, 3)}
"""ABI → ELF class (1: 32 bits, 2: 64 bits) and machine."""

HEADER = 52
"""Bytes of the shorter ELF header."""

LARGEST = 200 << 20
"""Bytes after which a download is given up; the tool has 4 to 10 MiB."""

PATIENCE_S = 30.0

Generation = Literal["classic", "litert"]


class Tool(NamedTuple):
    """A benchmark_model on a phone: path, generation, first 12 digits of its SHA-256, remarks."""

    path: str
    generation: Generation
    digest: str
    notes: tuple[str, ...] = ()


def place_tool(phone: Phone, device: Device, binary: str | None, folder: str) -> Tool:
    """See that there is a tool on the phone that answers.

    Args:
        phone: where.
        device: as it was found, for its ABI.
        binary: a path on this host, `DOWNLOAD`, or None for what there is.
        folder: where to put it if it is not there yet.

    Raises:
        InputError: the path that was given holds no such program.
        MissingTool: there is none, with every way to get one; or the download failed.
        DeviceError: the phone went away.
    """
    kept = None
    if binary == DOWNLOAD:
        kept = cached(device.abi) or download(device)
    elif binary is not None:
        return _sent(phone, device, Path(binary), folder)
    else:
        for path in TOOLS:
            said = phone.shell(f"command -v {path}")
            if not said.code:
                return _own(phone, device, said.stdout.strip())
        kept = cached(device.abi)
    if kept is None:
        raise missing(device)
    try:
        return _sent(phone, device, kept, folder)._replace(notes=(f"benchmark_model is the one kept as {kept.name}",))
    except InputError as error:
        kept.unlink(missing_ok=True)
        raise MissingTool(
            "The benchmark_model that was downloaded does not run on the phone.", place=device.id, fix=_ways(device)
        ) from error


def _own(phone: Phone, device: Device, path: str) -> Tool:
    try:
        return answering(phone, path)
    except InputError as error:  # no option named it, so none can be mended
        raise DeviceError(error.problem, place=f"{device.id}:{path}", fix=_ways(device)) from error


def missing(device: Device) -> MissingTool:
    """There is no benchmark_model."""
    return MissingTool(
        "There is no benchmark_model on the phone.", place=f"{device.id}: {TOOLS[0]} and its PATH", fix=_ways(device)
    )


def _ways(device: Device) -> str:
    url = URLS.get(device.abi or "")
    fetch = f"--benchmark-binary download (fetches {url}), or " if url else ""
    return f"{fetch}--benchmark-binary PATH, or: adb push PATH {TOOLS[0]} and adb shell chmod 755 {TOOLS[0]}"


def _sent(phone: Phone, device: Device, file: Path, folder: str) -> Tool:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"The benchmark_model cannot be read: {error.strerror}.", place=str(file), fix="name the file itself"
        ) from error
    problem = wrong_machine(content, device.abi)
    if problem:
        raise InputError(problem, place=str(file), fix=_ways(device))
    path = f"{folder}/benchmark_model"
    phone.push(content, path, mode=0o755)
    return answering(phone, path, str(file))


def answering(phone: Phone, path: str, named: str = "") -> Tool:
    """Ask a tool on the phone for its flags, which tell its generation.

    Raises:
        InputError: it does not answer as benchmark_model does.
    """
    quoted = shlex.quote(path)
    said = phone.shell(f"chmod 755 {quoted} 2>/dev/null; sha256sum {quoted}; {quoted} --help 2>&1", limit_s=PATIENCE_S)
    digest, _, text = said.stdout.partition("\n")
    if "--graph" not in text:
        words = (text.strip().splitlines() or ["nothing"])[0][:200]
        raise InputError(
            f"The program does not answer --help as benchmark_model does, but: {words}",
            place=named or path,
            fix="give the benchmark_model for Android, not for Linux, and for the phone's ABI",
        )
    return Tool(path, "litert" if "--dispatch_library_path" in text else "classic", digest.split(" ")[0][:12])


def wrong_machine(content: bytes, abi: str | None) -> str:
    """Why a program cannot run on an ABI; empty if it can, or if it is no ELF file (a script may do)."""
    wanted = MACHINES.get(abi or "")
    if content[:4] != b"\x7fELF" or wanted is None:
        return ""
    if len(content) < HEADER:
        return "The program is cut off."
    found = content[4], int.from_bytes(content[18:20], "little")
    if found == wanted or (abi == "arm64-v8a" and found == MACHINES["armeabi-v7a"]):
        return ""
    names = {machine: name for name, machine in MACHINES.items()}
    return f"The program is for {names.get(found, f'another processor (ELF machine {found[1]})')}, the phone is {abi}."


def cached(abi: str | None) -> Path | None:
    """The newest kept tool for an ABI whose content is what its name says."""
    files = (cache_folder() / "tools").glob(f"benchmark_model-{abi}-*")
    for file in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        if hashlib.sha256(file.read_bytes()).hexdigest() == file.name.rpartition("-")[2]:
            return file
        file.unlink(missing_ok=True)
    return None


def download(device: Device) -> Path:
    """Fetch the tool for a phone and keep it.

    Raises:
        MissingTool: there is none for its ABI, the network does not reach it, or what came is something else.
    """
    url = URLS.get(device.abi or "")
    if url is None:
        raise MissingTool(
            f"Google publishes no benchmark_model for {device.abi or 'an unknown ABI'}.",
            place=device.id,
            fix=_ways(device) + "; it is built from https://github.com/google-ai-edge/LiteRT (tflite/tools/benchmark)",
        )
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310  one of the constants above
            content = answer.read(LARGEST)
            promised = answer.headers.get("Content-Length")
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise MissingTool(
            f"benchmark_model could not be downloaded: {getattr(error, 'reason', error)}.",
            place=url,
            fix=f"fetch it where there is a network: curl -LO {url}, and name it with --benchmark-binary PATH",
        ) from error
    if promised is not None and promised != str(len(content)):
        raise MissingTool(
            f"The download of benchmark_model broke off after {len(content):,} of {promised} bytes.",
            place=url,
            fix="run it again",
        )
    if content[:4] != b"\x7fELF" or wrong_machine(content, device.abi):
        raise MissingTool(
            "What was downloaded is no program for the phone's processor.",
            place=url,
            fix="look at the address with a browser: a proxy or a login page may stand in between",
        )
    return _keep(content, device.abi or "")


def _keep(content: bytes, abi: str) -> Path:
    into = cache_folder() / "tools"
    into.mkdir(parents=True, exist_ok=True)
    file = into / f"benchmark_model-{abi}-{hashlib.sha256(content).hexdigest()}"
    replacing.write(file, content)
    return file
