"""The report's page: complete, inert whatever names say, and a browser finds nothing wrong with it."""

import base64
import io
import itertools
import re
import shlex
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgekit.cli.build import verb as build_verb
from edgekit.config import recipes
from edgekit.nouns.building import Placement
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import SourceOptions
from edgekit.nouns.profile import Estimate
from edgekit.nouns.quantization import Quantization
from edgekit.report import html
from edgekit.report.html import Explained, again, pictures
from tests.measure.gated_folders import artifact, manifest, profile, spec
from tests.report.html.explained import HOSTILE, bare, full

SECTIONS = (
    "Files", "Size against latency", "What it was built from", "Recipe", "Where the error is born",
    "Operators, and where they run", "Latency, memory and energy", "Data", "Into an app", "Remarks", "Settings", "Build it again",
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


@pytest.fixture(scope="module")
def page() -> str:
    return html.page([full(), bare()])


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


@pytest.mark.parametrize("where", ["CPU", "GPU delegate, else CPU"])
def test_where_operators_run_is_told_of_every_file(where: str) -> None:
    places = tuple(Placement(index=i, operator="ADD", name="y", runs_on=where) for i in range(7))
    file = msgspec.structs.replace(artifact(), placements=places)
    assert f"7 on {where}." in Outline(html.page([Explained(Path("out"), manifest(file))])).text


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


def test_the_command_holds_what_was_demanded() -> None:
    file = artifact()
    judged = msgspec.structs.replace(file.verification, max_drop=0.01, min_sqnr_db=20.0)
    made = manifest(msgspec.structs.replace(file, verification=judged))
    made = msgspec.structs.replace(made, recipe=msgspec.structs.replace(made.recipe, sample_app=True))
    line = again.command(made)
    assert {"--max-drop 0.01", "--min-sqnr 20", "--sample-app"} <= set(re.findall(r"--\S+(?: [^- ]\S*)?", line))


def test_the_command_is_one_that_builds_the_same() -> None:
    """What the command line reads of it is what was said of source and quantization."""
    source = SourceOptions(
        shapes={"x": (1, 3, 8, 8)}, constants={"sr": (16000,), "on": (True, False)}, inputs=("a", "b"), outputs=("c",),
        keep_layout=True,
    )  # fmt: skip
    quantization = Quantization(ranges="minmax", per_channel=False, float_operators=(3, "SOFTMAX"))
    made = manifest(artifact())
    made = msgspec.structs.replace(
        made, source_options=source,
        recipe=msgspec.structs.replace(made.recipe, quantization=quantization, embed_preprocessing=True),
    )  # fmt: skip
    words = shlex.split(again.command(made), comments=True)
    context = build_verb.make_context("build", words[2:], resilient_parsing=False)
    said = {key: context.params[key] for key in SourceOptions.__struct_fields__ if context.params[key]}
    assert SourceOptions(**said) == source
    assert context.params["embed_preprocessing"]
    settings = context.params["settings"]["quantization"]
    assert settings == {"ranges": "minmax", "per_channel": False, "float_operators": (3, "SOFTMAX")}


def test_the_command_says_what_was_set_of_a_recipe() -> None:
    overrides = {"prune-channels": {"remove": 0.4, "repair": False, "augmentation": ["flip", "crop"]}}
    asked = recipes.recipe("prune-channels50", overrides)
    made = manifest(artifact())
    options = msgspec.structs.replace(made.recipe, recipe=asked.name, passes=asked.passes)
    words = shlex.split(again.command(msgspec.structs.replace(made, recipe=options)), comments=True)
    context = build_verb.make_context("build", words[2:], resilient_parsing=False)
    assert recipes.recipe(context.params["recipe"], context.params["settings"]["passes"]) == asked
    own = msgspec.structs.replace(options, recipe="mine")
    line = again.command(msgspec.structs.replace(made, recipe=own))
    assert "mine.toml of the same [[passes]]" in line
    assert "--recipe mine.toml" in line


def test_the_command_says_that_there_was_a_description() -> None:
    plain = manifest(artifact())
    described = msgspec.structs.replace(plain, description=Description(inputs=(ImageInput(name="x"),)))
    bare = msgspec.structs.replace(plain, description=Description())
    assert "[[input]]" in again.command(described)
    assert "[[input]]" not in again.command(bare)
