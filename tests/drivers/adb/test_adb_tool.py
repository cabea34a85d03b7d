"""Where benchmark_model comes from: a path, the phone, a download that was asked for; each is checked first."""

import hashlib
import platform
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from edgekit.drivers.adb import AdbDriver, tool
from edgekit.errors import DeviceError, InputError, MissingTool
from edgekit.nouns.profile import Device
from tests.drivers.adb.conftest import PLACE, QUICK, found
from tests.drivers.adb.standin import Standin, install

DRIVER = AdbDriver()
HELP = b"usage: benchmark_model <flags>\nFlags:\n\t--graph=\tstring\toptional\tgraph file name\n"
INTEL = pytest.mark.skipif(platform.machine() != "x86_64", reason="the program written here is for x86-64")


def program(says: bytes, machine: int = 62, bits: int = 2) -> bytes:
    """A whole ELF program for Linux on x86-64 that writes a text and ends well."""
    base, head = 0x400000, 64 + 56
    code = (
        b"\xb8\x01\0\0\0\xbf\x01\0\0\0"  # mov eax, 1 (write); mov edi, 1
        + b"\x48\x8d\x35" + struct.pack("<i", 19 - 5)  # lea rsi, [rip + ...]: the text after the code
        + b"\xba" + struct.pack("<I", len(says))  # mov edx, length
        + b"\x0f\x05"  # syscall
        + b"\xb8\x3c\0\0\0\x31\xff\x0f\x05"  # mov eax, 60 (exit); xor edi, edi; syscall
    )  # fmt: skip
    text_at = len(code)
    code = code[:13] + struct.pack("<i", text_at - 17) + code[17:]
    size = head + len(code) + len(says)
    header = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code + says


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tools"


@pytest.fixture
def bare(phones: Callable[..., Standin]) -> Standin:
    """A phone without the tool, of an ABI whose programs this host can run."""
    phone = phones(tool=False)
    phone.prop("ro.product.cpu.abi", "x86_64")
    return phone


class Shop:
    """A web server that offers one file, or fails at it."""

    def __init__(self) -> None:
        self.content, self.status, self.promised, self.asked = b"", 200, None, 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.asked += 1
                self.send_response(shop.status)
                self.send_header("Content-Length", str(shop.promised or len(shop.content)))
                self.end_headers()
                self.wfile.write(shop.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/benchmark_model"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    made = Shop()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    monkeypatch.setattr(tool, "URLS", {"x86_64": made.url})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def opened(phone: Standin, model: Path, inputs: Path, binary: str | None) -> dict[str, str]:
    device = found(phone)
    deployment = DRIVER.open(device, model, inputs, msgspec.structs.replace(QUICK, benchmark_binary=binary), PLACE)
    DRIVER.close(device, deployment)
    assert list((phone.root / "data/local/tmp").glob("edgekit-*")) == []
    return deployment.settings


def test_without_a_tool_every_way_to_one_is_named(bare: Standin, model: Path, inputs: Path) -> None:
    bare.prop("ro.product.cpu.abi", "arm64-v8a")
    with pytest.raises(MissingTool, match="no benchmark_model on the phone") as caught:
        opened(bare, model, inputs, None)
    for words in ("--benchmark-binary PATH", tool.URLS["arm64-v8a"], "adb push PATH /data/local/tmp/benchmark_model"):
        assert words in caught.value.fix


def test_a_tool_on_the_path_is_found(bare: Standin, model: Path, inputs: Path) -> None:
    install(bare.root / "vendor/bin/benchmark_model")
    assert opened(bare, model, inputs, None)["tool"] == "/vendor/bin/benchmark_model"


def test_a_path_comes_first_and_goes_to_the_place(phone: Standin, model: Path, inputs: Path, tmp_path: Path) -> None:
    named = install(tmp_path / "mine")
    settings = opened(phone, model, inputs, str(named))
    assert settings["tool"] == f"/data/local/tmp/{PLACE}/benchmark_model"
    assert hashlib.sha256(named.read_bytes()).hexdigest().startswith(settings["runtime"].partition(", ")[2].rstrip(")"))


def test_a_path_that_is_not_there(phone: Standin, model: Path, inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        opened(phone, model, inputs, str(tmp_path / "none"))


def test_a_program_for_another_processor_is_not_sent(phone: Standin, model: Path, inputs: Path, tmp_path: Path) -> None:
    file = tmp_path / "linux_x86"
    file.write_bytes(program(HELP))
    with pytest.raises(InputError, match="for x86_64, the phone is arm64-v8a"):
        opened(phone, model, inputs, str(file))


def test_a_program_that_is_something_else(phone: Standin, model: Path, inputs: Path, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text("#!/bin/sh\necho label_image\n", encoding="utf8")
    with pytest.raises(InputError, match="does not answer --help as benchmark_model does, but: label_image"):
        opened(phone, model, inputs, str(file))


def test_the_phones_own_broken_tool_is_the_benchs_fault(phone: Standin, model: Path, inputs: Path) -> None:
    (phone.root / "data/local/tmp/benchmark_model").write_text("#!/bin/sh\nexit 9\n", encoding="utf8")
    with pytest.raises(DeviceError, match="does not answer --help"):
        opened(phone, model, inputs, None)


@pytest.mark.slow
@INTEL
def test_a_download_is_checked_kept_and_not_fetched_again(
    bare: Standin, shop: Shop, model: Path, inputs: Path, cache: Path
) -> None:
    shop.content = program(HELP)
    settings = opened(bare, model, inputs, "download")
    (kept,) = cache.iterdir()
    assert kept.name == f"benchmark_model-x86_64-{hashlib.sha256(shop.content).hexdigest()}"
    assert kept.name in settings["notes"]
    opened(bare, model, inputs, "download")
    opened(bare, model, inputs, None)  # what was agreed to once is used, without a network
    assert shop.asked == 1


def test_nothing_is_fetched_unless_asked_for(bare: Standin, shop: Shop, model: Path, inputs: Path) -> None:
    with pytest.raises(MissingTool, match="no benchmark_model on the phone"):
        opened(bare, model, inputs, None)
    assert shop.asked == 0


@INTEL
def test_a_download_that_does_not_answer_is_thrown_away(
    bare: Standin, shop: Shop, model: Path, inputs: Path, cache: Path
) -> None:
    shop.content = program(b"something else\n")
    with pytest.raises(MissingTool, match="does not run on the phone"):
        opened(bare, model, inputs, "download")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "status", "promised", "words"),
    [
        (b"", 404, None, "could not be downloaded"),
        (program(HELP), 200, 99999, r"broke off after \d+ of 99999 bytes"),
        (b"<html>please log in</html>", 200, None, "no program for the phone's processor"),
        (program(HELP, machine=183), 200, None, "no program for the phone's processor"),
    ],
    ids=["not there", "cut off", "a page", "another processor"],
)
def test_a_download_that_fails_leaves_nothing(
    bare: Standin,
    shop: Shop,
    model: Path,
    inputs: Path,
    cache: Path,
    content: bytes,
    status: int,
    promised: int | None,
    words: str,
) -> None:
    shop.content, shop.status, shop.promised = content, status, promised
    with pytest.raises(MissingTool, match=words):
        opened(bare, model, inputs, "download")
    assert not cache.exists() or list(cache.iterdir()) == []


def test_no_network_names_the_command(
    bare: Standin, model: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "URLS", {"x86_64": "http://127.0.0.1:9/benchmark_model"})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(MissingTool, match="Connection refused") as caught:
        opened(bare, model, inputs, "download")
    assert "curl -LO http://127.0.0.1:9/benchmark_model" in caught.value.fix


def test_an_abi_without_a_build(bare: Standin, model: Path, inputs: Path) -> None:
    with pytest.raises(MissingTool, match="publishes no benchmark_model for x86_64"):
        opened(bare, model, inputs, "download")


def test_a_kept_file_that_was_changed_is_not_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    file = cache / f"benchmark_model-arm64-v8a-{hashlib.sha256(b'a').hexdigest()}"
    file.write_bytes(b"b")
    assert tool.cached("arm64-v8a") is None
    assert not file.exists()
    file.write_bytes(b"a")
    assert tool.cached("arm64-v8a") == file


@pytest.mark.parametrize(
    ("abi", "machine", "bits", "fits"),
    [
        ("arm64-v8a", 183, 2, True),
        ("arm64-v8a", 40, 1, True),
        ("armeabi-v7a", 183, 2, False),
        ("arm64-v8a", 62, 2, False),
    ],
)
def test_processors(abi: str, machine: int, bits: int, fits: bool) -> None:
    assert (tool.wrong_machine(program(HELP, machine, bits), abi) == "") is fits


def test_the_addresses_are_googles_for_androids_processors() -> None:
    assert set(tool.URLS) <= set(tool.MACHINES)
    assert all(url.startswith("https://storage.googleapis.com/") for url in tool.URLS.values())


def test_a_device_without_an_abi_has_no_download() -> None:
    with pytest.raises(MissingTool, match="an unknown ABI"):
        tool.download(Device(id="x", kind="adb", title="x"))
