"""The report that a build leaves in each folder."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit import cli
from edgekit.errors import InputError
from tests import networks

pytestmark = [pytest.mark.reports, pytest.mark.slow]


def built(*more: str) -> str:
    words = ["build", "model.tflite", "-t", "android", "--precision", "float32", *more]
    done = CliRunner().invoke(cli.edgekit, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_each_folder_gets_a_report_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    networks.classifier(tmp_path / "model.tflite")
    page = tmp_path / "dist/model/android/report.html"
    assert "report" not in built("--no-report")
    assert not page.exists()

    assert f"next, in {page.parent.relative_to(tmp_path)}/: report.html explains it\n" in built()
    assert "report.html" in json.loads((page.parent / "manifest.json").read_text())["extras"]
    first = page.read_bytes()
    os.utime(page, (1, 1))
    assert "report.html explains" in built()  # of the same manifest
    assert page.stat().st_mtime == 1

    page.write_bytes(first.replace(b"manifest-", b"other-"))
    assert "no report.html" not in built()
    assert b"other-" not in page.read_bytes()

    def refused(*_: object) -> None:
        raise InputError("Nothing can be written there.", place="x", fix="y")

    monkeypatch.setattr("edgekit.verbs.report.report", refused)
    page.write_bytes(first.replace(b"manifest-", b"other-"))
    assert "no report.html: Nothing can be written there." in built()
