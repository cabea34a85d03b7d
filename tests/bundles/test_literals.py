"""Text in code: it reads as the text that it was, and never as code."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundles import literals, rendering
from edgekit.bundles.literals import Text

ANY = st.text(st.characters(codec="utf8"))


@given(ANY)
def test_python(text: str) -> None:
    assert ast.literal_eval(literals.python(text)) == text


@given(ANY)
def test_cpp_is_bytes_of_utf8(text: str) -> None:
    body = literals.c(text)[1:-1]
    found = bytearray()
    while body:
        if body[0] != "\\":
            found += body[0].encode()
            body = body[1:]
        elif body[1] in '"\\?':
            found += body[1].encode()
            body = body[2:]
        else:
            found.append(int(body[1:4], 8))
            body = body[4:]
    assert found.decode() == text


@given(ANY)
def test_kotlin_is_ascii_without_templates(text: str) -> None:
    body = literals.kotlin(text)[1:-1]
    assert body.isascii()
    assert body.isprintable()
    plain = body.replace("\\\\", "").replace('\\"', "").replace("\\$", "")
    assert not {'"', "$"} & set(plain)
    if "\\" not in text and '"' not in text and "$" not in text:
        assert body.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16") == text


@given(st.text())
def test_comments_stay_comments(text: str) -> None:
    line = literals.comment(text)
    assert len(line.splitlines()) <= 1
    assert not any(mark in line for mark in ("*/", "/*", "\\"))


def test_numbers() -> None:
    assert literals.float32(0.1) == "0.1"
    assert float(literals.float64(0.003921568859368563)) == 0.003921568859368563


def test_a_name_needs_a_filter(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / "a.txt.jinja").write_text("{{ title }}")
    monkeypatch.setattr(rendering, "TEMPLATES", tmp_path)
    with pytest.raises(ValueError, match="through a filter"):
        rendering.render("kind", {"title": Text('"; evil()')}, tmp_path / "out")


def test_rendering_is_tidy_and_names_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kind" / "{package}"
    folder.mkdir(parents=True)
    (folder / "{package}.kt.jinja").write_text("\n\na {{ package }}  \n\n\n\nb\n\n")
    (folder / "none.kt.jinja").write_text("{% if not package %}a{% endif %}\n")
    (folder / "raw.bin").write_bytes(b"\x00 {{")
    (folder / "_part.kt.jinja").write_text("part")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "of_a_linter").write_text("no template")
    monkeypatch.setattr(rendering, "TEMPLATES", tmp_path)
    for out in ("one", "two"):
        assert rendering.render("kind", {"package": "net"}, tmp_path / out) == ("net/net.kt", "net/raw.bin")
    assert (tmp_path / "one" / "net" / "net.kt").read_text() == "a net\n\nb\n"
    assert (tmp_path / "one" / "net" / "raw.bin").read_bytes() == b"\x00 {{"
