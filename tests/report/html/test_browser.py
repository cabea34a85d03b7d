"""The report in a real browser: what it says to the console, asks of the network, and is like on a phone or by ear."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from edgekit.report import html
from edgekit.report.html import Explained
from tests.report.html.explained import HOSTILE, bare, full

pytestmark = pytest.mark.slow

SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def written(folder: Path, *parts: Explained) -> Path:
    where = folder / "report.html"
    where.write_text(html.page(list(parts)), encoding="utf8")
    return where


def test_it_says_nothing_asks_for_nothing_and_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    where = written(tmp_path, full(HOSTILE), full())
    page = browser.new_page(bypass_csp=True)  # names must be inert by themselves, too
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(where.as_uri(), wait_until="networkidle")
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [where.as_uri()]
    assert page.locator("script").count() == 0
    assert not page.title().startswith("taken")
    page.close()


@pytest.mark.parametrize("width", [360, 1100])
def test_nothing_is_wider_than_the_screen(browser: Browser, width: int, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(written(tmp_path, full("a_rather_long_name_of_a_network_" * 4), full()).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("part", [bare(), full()], ids=["bare", "full"])
def test_axe_finds_nothing_serious(browser: Browser, part: Explained, scheme: str, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # the page allows no script, not even axe
    page = context.new_page()
    page.goto(written(tmp_path, part).as_uri())
    found = Axe().run(page).response
    assert len(found["passes"]) > 10
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found["violations"] if one["impact"] in SERIOUS]
    context.close()


def test_axe_is_not_deaf(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.set_content("<p style='color: #aaa; background: #fff'>pale</p><img src='data:,'>")
    ids = {one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS}
    assert {"color-contrast", "image-alt"} <= ids
    page.close()
