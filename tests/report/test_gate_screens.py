"""What a gate found, for people and for CI: nothing in a name is markup."""

import xml.etree.ElementTree as ET

import pytest
from junitparser import JUnitXml

from edgekit.nouns.gating import Finding, Gate
from edgekit.report import gates, shown

HOSTILE = 'a|b`c<img src=x>\n**d** ]]> & "e"'

FOUND = Gate(
    baseline="edgekit-baseline.json",
    findings=(
        Finding(target="android", file="m.tflite", figure="size", against="budget", verdict="missed", value=5e6,
                limit=4e6, unit="B"),
        Finding(target="android", file="m.tflite", figure="latency", against="baseline", verdict="suspected",
                device="pi5", value=1.2, limit=1.0, unit="ms", reason="+20.0%"),
        Finding(target="android", file="m.tflite", figure="agreement", against="budget", verdict="met", value=0.99,
                limit=0.98),
        Finding(target="edgetpu", file="n.tflite", figure="energy", against="budget", verdict="unknown", device="tpu",
                limit=2.0, unit="mJ", reason="it was not measured"),
        Finding(target="edgetpu", file="n.tflite", figure="delegate time", against="budget", verdict="skipped"),
        Finding(target=HOSTILE, file=HOSTILE, figure="sqnr", against="baseline", verdict="missed", device=HOSTILE,
                value=20.0, limit=30.0, unit="dB", reason=HOSTILE),
    ),
)  # fmt: skip


def test_the_screen_says_what_missed_by_how_much() -> None:
    text = shown.text(gates.screen(FOUND))
    for words in ("+25.0%", "4.77 MiB", "+20.0%", "99.0%", "+1 points", "-10 dB", "failed: 3 of 6"):
        assert words in text, words
    passed = Gate(findings=FOUND.findings[1:3])
    assert "passed: 2 figures; 1 suspected" in shown.text(gates.screen(passed))


def test_junit_has_a_case_for_each_figure() -> None:
    document = gates.junit(FOUND)
    assert ET.fromstring(document).tag == "testsuites"
    read = JUnitXml.fromstring(document.decode())
    assert (read.tests, read.failures, read.skipped) == (6, 3, 1)
    cases = {case.name: case for suite in read for case in suite}
    assert cases["size (budget)"].is_failure
    assert "+25.0%" in cases["size (budget)"].result[0].message
    assert cases["latency on pi5 (baseline)"].is_passed


def test_markdown_keeps_its_table_whatever_names_say() -> None:
    lines = gates.markdown(FOUND).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 2 + len(FOUND.findings)
    assert {len([i for i, c in enumerate(row) if c == "|" and row[i - 1] != "\\"]) for row in rows} == {8}
    (told,) = (line for line in lines if line.startswith("- ") and "sqnr" in line)
    assert "\\<img" in told.partition("sqnr")[2]
    assert "\\*\\*d" in told.partition("sqnr")[2]


@pytest.mark.parametrize("text", ["`", "a`b", "``", "|", "a|`b"])
def test_code_is_closed_by_its_own_ticks(text: str) -> None:
    made = gates._code(text)
    ticks = len(made) - len(made.lstrip("`"))
    assert made.endswith("`" * ticks)
    assert "`" * ticks not in made[ticks:-ticks]
