"""What ``[budget]`` demands of which target, and what is wrong with one."""

from pathlib import Path

import pytest

from edgekit import config
from edgekit.errors import InputError
from edgekit.nouns.budget import Demands


def project(folder: Path, text: str) -> config.Project:
    (folder / "edgekit.toml").write_text(text)
    return config.project(folder)


def test_a_targets_own_demands_go_before_those_of_all(tmp_path: Path) -> None:
    made = project(
        tmp_path,
        """
        [budget]
        max_drop = 0.01
        max_size = "4M"

        [budget.edgetpu]
        max_drop = 0.03
        min_mapped = 0.9
        """,
    )
    assert made.demands("android") == Demands(max_drop=0.01, max_size="4M")
    assert made.demands("edgetpu") == Demands(max_drop=0.03, max_size="4M", min_mapped=0.9)
    assert made.demands("edgetpu").accuracy.max_drop == 0.03


def test_what_options_say_holds_for_all(tmp_path: Path) -> None:
    made = project(tmp_path, 'max_drop = 0.02\n[budget.edgetpu]\nmax_size = "1M"\n')
    assert made.demands("edgetpu") == Demands(max_drop=0.02, max_size="1M")
    assert made.demands("android") == Demands(max_drop=0.02)
    assert config.Project().demands("android") == Demands()


def test_programs_say_the_same() -> None:
    made = config.from_keywords({"budget": {"max_size": "4M", "android": {"max_latency_ms": 3.0}}})
    assert made.demands("android") == Demands(max_size="4M", max_latency_ms=3.0)


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("[budget]\nmax_sise = 3", "unknown key `budget.max_sise`", "did you mean max_size?"),
        ("[budget]\nmax_drop = -1", "`budget.max_drop` is -1", "expected a number >= 0"),
        ("[budget]\nmax_size = 4", "`budget.max_size` is 4", "a text in quotes"),
        ('[budget]\nmax_size = "much"', "'much' is no size", "500M"),
        ('[budget.android]\nmax_peak_memory = "x"', "'x' is no size", "500M"),
        ("[budget.androit]\nmax_drop = 1", "no such target", "did you mean android?"),
        ("[budget.android]\nmin_mapped = 2", "`budget.android.min_mapped` is 2", "expected a number <= 1"),
        ("max_drop = 0.1\n[budget.android]\nmax_drop = 0.2", "both at the top and in [budget.android]", "[budget] alone"),
        ("max_drop = 0.1\n[budget]\nmax_drop = 0.2", "both at the top and in [budget]", "[budget] alone"),
        ("budget = 3", "`budget` is 3", "a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, problem: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        project(tmp_path, text)
    assert problem in caught.value.problem
    assert fix in caught.value.fix
