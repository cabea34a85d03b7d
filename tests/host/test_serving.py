"""A child's replies: one for each request, whatever time it took."""

import io
import os
from collections.abc import Iterator

import pytest

from edgekit.errors import EndlessError
from edgekit.host import deadline, serving


def test_what_ends_just_as_it_is_found_late_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Iterator[EndlessError | None] = iter([EndlessError("late", place="net.onnx", fix="wait"), None])
    monkeypatch.setattr(deadline, "overdue", lambda: next(seen))
    pipe = io.BytesIO()
    serving._Writer(pipe).end_if_late()
    assert pipe.getvalue() == b""
    assert next(seen, "both were asked") == "both were asked"


def test_what_is_late_is_told_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "overdue", lambda: EndlessError("late", place="net.onnx", fix="wait"))
    monkeypatch.setattr(os, "_exit", lambda code: None)
    pipe = io.BytesIO()
    serving._Writer(pipe).end_if_late()
    assert b'"late","net.onnx","wait"' in pipe.getvalue()
