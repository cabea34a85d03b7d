"""The report's page: complete, inert whatever names say, and a browser finds nothing wrong with it."""

import base64
import io
import itertools
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.profile import Estimate, OperatorTime
from edgekit.nouns.recipe import FineTune, PassReport, Weighed
from edgekit.report import html
from edgekit.report.html import Explained, pictures
from tests.measure.gated_folders import artifact, manifest, profile, spec

HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>{{ 7*7 }}"\'&\u202e'

SECTIONS = (
    "Files", "Size against latency", "What it was built from", "Recipe", "Where the error is born",
    "Operators, and where they run", "Latency, memory and energy", "Data", "Remarks", "Settings", "Build it again",
)  # fmt: skip


class Outline(HTMLParser):
    """Tags, ids, headings and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.text = ""
        self._within = ""
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._within = tag
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.links += [value or ""] if name in {"src", "href", "xlink:href", "data"} else []
            self.handlers += [name] if name.startswith("on") else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if re.fullmatch("h[1-6]", self._within):
            level, said = self.headings[-1]
            self.headings[-1] = level, said + data


def full(name: str = "net") -> Explained:
    file = artifact(name=f"{name}.tflite")
    times = (OperatorTime(name=name, kind="CONV_2D", mean_ms=1.0, runs_on="xnnpack"),)
    seen = profile(
        file, [1.0, 1.1, 0.9, 1.2, 1.0, 1.05], energy_mj=[3.0] * 6, operators=times, raw="p.npz", flags=(name,)
    )
    weighed = Weighed(parameters=10, macs=20, zeros=0.1, bytes=40, gzip_bytes=30, metric=0.9)
    made = manifest(file, profiles=[seen], model=name, target=name)
    made = msgspec.structs.replace(
        made,
        passes=(PassReport(settings=FineTune(), seconds=3.0, before=weighed, after=weighed, notes=(name,)),),
        unavailable={name: name},
        calibration=made.evaluation and msgspec.structs.replace(made.evaluation, origin=name, warnings=(name,)),
        source=msgspec.structs.replace(made.source, warnings=(name,), producer=name, signature=msgspec.structs.replace(
            made.source.signature, inputs=(spec("x", 1, 8, 8, 3),))),
        description=Description(inputs=(ImageInput(name="x", channels="BGR"),)),
    )  # fmt: skip
    blocks = {f"latencies_ms_{i}": np.full(40, 1.0 + 0.1 * i) for i in range(6)}
    pixels = np.random.default_rng(0).uniform(0, 1, (20, 1, 8, 8, 3)).astype(np.float32)
    return Explained(Path(name), made, {"p.npz": blocks}, {"x": pixels})


@pytest.fixture(scope="module")
def page() -> str:
    return html.page([full(), Explained(Path("bare"), bare())])


def bare() -> Manifest:
    file = msgspec.structs.replace(artifact(), verification=None)
    return manifest(file, target="edgetpu")


def test_every_section_is_there_and_the_verdict_first(page: str) -> None:
    outline = Outline(page)
    said = [text.strip() for _, text in outline.headings]
    for section in SECTIONS:
        assert section in said, section
    assert outline.text.index("It computes what its source computes") < outline.text.index("SQNR")
    levels = [level for level, _ in outline.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= sooner + 1 for sooner, later in itertools.pairwise(levels))
    assert outline.tags["svg"] == 3  # size against latency, blocks, ranges
    assert outline.tags["img"] == 1


def test_what_is_not_known_is_left_out_with_its_reason(page: str) -> None:
    reasons = re.findall(r'<p class="missing">Left out: (.*?)</p>', page)
    assert any("edgekit profile" in reason for reason in reasons)
    assert any("no recipe" in reason for reason in reasons)
    assert any("energy: it was not measured" in reason for reason in reasons) or "mJ gross" in page
    assert "None" not in Outline(page).text


def test_figures_are_told_as_on_the_screen() -> None:
    file = artifact(name="net.xml")
    seen = profile(file, [1.0, 1.1, 0.9, 1.2, 1.0, 1.05])
    assert seen.latency is not None
    half = msgspec.structs.replace(seen.latency, p99_ms=Estimate(value=1.2, low=1.1))
    view = Explained(Path("out"), manifest(file, profiles=[msgspec.structs.replace(seen, latency=half)]))
    text = Outline(html.page([view])).text
    assert "1.2 ms (≥ 1.1)" in text
    assert "1 thread, litert 2, full" in text  # only LiteRT has delegates


def test_a_page_takes_nothing_from_elsewhere(page: str) -> None:
    outline = Outline(page)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in outline.links)
    assert "default-src 'none'" in page
    assert not outline.tags["script"] + outline.tags["link"] + outline.tags["iframe"]
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_ids_are_there_once(page: str) -> None:
    repeated = {name: n for name, n in Counter(Outline(page).ids).items() if n > 1}
    assert not repeated
    for target in re.findall(r'(?:url\(#|href="#|aria-labelledby=")([^)"]+)', page):
        assert f'id="{target}"' in page, target


def test_hostile_names_are_text() -> None:
    outline = Outline(html.page([full(HOSTILE)]))
    assert not outline.tags["script"]
    assert outline.tags["img"] == 1  # the contact sheet
    assert not outline.handlers
    assert outline.text.count("{{ 7*7 }}") > 5
    assert "49" not in outline.text.partition("Build it again")[2]
    assert "\u202e" not in outline.text


def test_the_same_build_gives_the_same_page() -> None:
    assert html.page([full()]) == html.page([full()])


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_contact_sheet_shows_the_channels_as_they_are_named(channels: str) -> None:
    red = np.zeros((1, 1, 4, 4, 3), np.float32)
    red[..., 0 if channels == "RGB" else 2] = 1.0
    url = pictures.sheet(spec("x", 1, 4, 4, 3), red, channels)
    seen = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
    assert seen.getpixel((50, 50)) == (255, 0, 0)
    nchw = pictures.sheet(spec("x", 1, 3, 4, 4), np.moveaxis(red, -1, 2), channels)
    assert nchw == url
    assert pictures.sheet(spec("x", 1, 7), np.zeros((2, 1, 7), np.float32), channels) == ""


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("Chromium is not installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    return subprocess.run([found, *options, *arguments], capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
def test_a_browser_shows_it_without_complaint_or_request(tmp_path: Path) -> None:
    where = tmp_path / "report.html"
    where.write_text(html.page([full(HOSTILE), full()]), encoding="utf8")
    log = tmp_path / "net.json"
    seen = chromium(f"--log-net-log={log}", "--virtual-time-budget=3000", "--dump-dom", where.as_uri())
    assert "CONSOLE" not in seen.stderr, [line for line in seen.stderr.splitlines() if "CONSOLE" in line]
    outline: Any = Outline(seen.stdout)
    assert not outline.tags["script"]
    assert "taken" not in seen.stdout.partition("<title>")[2].partition("</title>")[0].replace(HOSTILE[:50], "")[:5]
    asked = set(re.findall(r'"url":"((?:https?|file)://[^"]*)"', log.read_text()))
    assert {url for url in asked if url.startswith("file:")} <= {where.as_uri()}


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1100])
def test_nothing_is_wider_than_the_screen(width: int, tmp_path: Path) -> None:
    page = html.page([full("a_rather_long_name_of_a_network_" * 4), full()])
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    told = "<script>document.title=document.documentElement.scrollWidth+' '+innerWidth</script></body>"
    (tmp_path / "frame.html").write_text(page.replace("</body>", told), encoding="utf8")
    frame = f"<iframe id=f src=frame.html width={width} height=900 style='border:0'></iframe>"
    read = "<script>f.onload=()=>document.title=f.contentDocument.title</script>"
    (tmp_path / "outer.html").write_text(frame + read)
    seen = chromium(
        "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "outer.html").as_uri()
    )
    found = re.search(r"<title>(\d+) (\d+)</title>", seen.stdout)
    assert found is not None, seen.stdout[:500]
    assert int(found[1]) <= int(found[2]) == width
