"""The commands that fill docs/explanation/measurement.md, and what stands there."""

import re
from pathlib import Path

import msgspec
import pytest

from edgekit.measure.statistics import compare
from edgekit.nouns.profile import Comparison
from tests.studies.measurement import aa, ab, page
from tests.studies.measurement.pairs import SHORT, Arm, local, medians

EVEN = compare([1.0, 1.1] * 5, [1.1, 1.0] * 5)
FASTER = compare([1.0] * 10, [2.0] * 10)
SLOWER = compare([2.0] * 10, [1.0] * 10)


def test_a_section_is_replaced_and_nothing_else() -> None:
    text = "before\n<!-- A/A -->\nold\n<!-- /A/A -->\nafter\n<!-- A/B -->\n<!-- /A/B -->\n"
    once = page.replaced(text, "A/A", "new\n")
    assert once == "before\n<!-- A/A -->\n\nnew\n\n<!-- /A/A -->\nafter\n<!-- A/B -->\n<!-- /A/B -->\n"
    assert page.replaced(once, "A/A", "new") == once
    with pytest.raises(ValueError, match="no section elsewhere"):
        page.replaced(text, "elsewhere", "new")


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    # Clopper & Pearson's intervals as scipy 1.18 gives them: binomtest(count, n).proportion_ci(method="exact").
    [(0, 20, 0.0, 0.1684), (1, 20, 0.0013, 0.2487), (2, 40, 0.0061, 0.1692), (10, 20, 0.2720, 0.7280), (20, 20, 0.8316, 1.0)],
)  # fmt: skip
def test_the_interval_of_a_share_is_the_exact_one(count: int, n: int, low: float, high: float) -> None:
    assert aa.share(count, n) == pytest.approx((low, high), abs=0.0015)


def test_the_page_of_a_a_counts_what_was_called() -> None:
    text = aa.section([EVEN] * 19 + [FASTER], 0.17)
    assert "| 20 | 10 | 1 | 5.0% (0." in text
    assert "| 0.500, 1.000 |" in text
    assert text.count("\n| ") == 3


def test_a_b_is_found_when_most_repetitions_agree() -> None:
    assert ab.verdicts([FASTER, FASTER, SLOWER, EVEN]) == (2, 1, 1)
    assert ab.found_one_way([FASTER, FASTER, EVEN])
    assert ab.found_one_way([SLOWER])
    assert not ab.found_one_way([FASTER, EVEN])
    assert not ab.found_one_way([FASTER, FASTER, FASTER, SLOWER])
    assert "| 10 | 2, 0, 0 | 0.500 | 0.500–0.500 | 0.50, 0.50 |" in ab.section({"a": [FASTER, FASTER]})


def test_the_page_holds_the_result_of_every_command() -> None:
    text = page.PAGE.read_text(encoding="utf8")
    for name, command in (("A/A", "aa"), ("A/B", "ab"), ("coverage", "coverage"), ("cross-check", "crosscheck")):
        found = re.search(f"<!-- {name} -->(.*)<!-- /{name} -->", text, flags=re.DOTALL)
        assert found is not None
        assert f"`python -m tests.studies.measurement.{command}" in found[1]


def test_a_file_was_run_by_all_three_tools() -> None:
    section = page.PAGE.read_text(encoding="utf8").partition("<!-- cross-check -->")[2].partition("<!-- /cross")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in section.splitlines() if row.startswith("| ")]
    tools: dict[str, set[str]] = {}
    for ours, theirs in zip(cells[2::2], cells[3::2], strict=True):
        tools.setdefault(ours[0], {ours[1]}).add(theirs[1])
        assert theirs[-1] in {"yes", "no"}, theirs
    assert {"edgekit", "benchmark_app", "litert-benchmark"} in tools.values()


@pytest.mark.shared
@pytest.mark.slow
def test_real_blocks_are_measured_in_pairs(shared: Path) -> None:
    file = shared / aa.MODEL
    with local() as bench:
        one = medians(bench, [Arm("A", file), Arm("B", file, 2)], 2, 0, msgspec.structs.replace(SHORT, min_s=0.05))
    assert [len(side) for side in one] == [2, 2]
    assert all(0 < value < 1000 for side in one for value in side)
    assert isinstance(compare(*one), Comparison)
