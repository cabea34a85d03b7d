"""Screens as text and HTML, in notebooks too."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from rich.table import Table

from edgekit.api import running
from edgekit.api.results import InspectResult
from edgekit.nouns.model import TensorRow
from edgekit.report import shown

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    '"><b onmouseover="alert(1)">',
    "&lt;b&gt; &amp;",
    "[red]bold[/red] :bomb:",
    "\x1b[31mred\x1b[0m\x07\r\n\x00",
    "\u202eright to left",
]


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[tuple[str, ...]] = set()
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add((tag, *sorted(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that rich takes for a notebook, whose page nobody may write to."""
    page = ModuleType("IPython.display")
    page.display = lambda *_: pytest.fail("something was put on the page")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)


@pytest.mark.usefixtures("notebook")
def test_a_result_is_shown_once_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("file", "verdict")
    table.add_row("model_int8.tflite", "pass")
    assert "model_int8.tflite" in shown.text(table)
    assert "model_int8.tflite" in shown.html(table)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("notebook")
def test_progress_in_a_notebook_is_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    with running.session(progress=True) as session:
        session.progress.begin("reading")
        session.progress.end("reading", from_cache=False)
    assert capsys.readouterr().err == "reading\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_on_a_page(name: str) -> None:
    row = TensorRow(name=name, shape=(1,), dtype="float32", operator=name, output=False)
    page = InspectResult(None, (row,))._repr_html_()
    found = Tags()
    found.feed(page)
    assert found.tags <= {("pre", "style"), ("span", "style")}
    assert not set(found.said) & set("\x1b\x07\r\x00\u202e")
    if name.isprintable():
        assert name in found.said
