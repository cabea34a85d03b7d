"""How much work the search for an int8 file may take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.backends.tflite import attempts, effort, integer, ranges, search
from edgekit.backends.tflite.judge import EDGES, Candidate, best, worth_keeping
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.equalization import observing
from edgekit.waist import graph
from edgekit.waist.trial import Trial
from tests import networks

SIZES = st.builds(
    effort.Size, bytes=st.integers(1, 1 << 32), operators=st.integers(1, 10_000), macs=st.integers(0, 10**13)
)


@given(SIZES, st.integers(1, 5_000), st.booleans())
def test_samples_are_bounded_by_work_and_never_too_few(size: effort.Size, samples: int, in_order: bool) -> None:
    seen = effort.observed(size, samples, in_order=in_order)
    few = min(samples, effort.FEWEST_SAMPLES)
    assert few <= len(seen) <= samples
    assert len(seen) * size.macs <= max(effort.OBSERVED_MACS, few * size.macs)
    assert (np.diff(seen) > 0).all()
    assert seen[0] == 0
    assert not in_order or seen[-1] == len(seen) - 1


@given(SIZES, SIZES, st.integers(1, 200))
def test_larger_networks_get_no_more_candidates(one: effort.Size, more: effort.Size, runs: int) -> None:
    both = effort.Size(one.bytes + more.bytes, one.operators + more.operators, one.macs + more.macs)
    assert effort.FEWEST_CANDIDATES <= effort.candidates(both, runs) <= effort.candidates(one, runs)


def test_ordinary_networks_are_searched_as_long_as_it_helps() -> None:
    """ResNet-50, and two LSTMs unrolled to 1,791 operators."""
    for size in (effort.Size(102_000_000, 75, 4_100_000_000), effort.Size(200_000, 1_791, 400_000)):
        assert effort.candidates(size, 4 + EDGES) >= 10 + search.most(size.operators)
        assert len(effort.observed(size, 256)) == 256


LEVELS = st.sampled_from([1.0, 9.0, 10.0, 12.5, 20.0])


@given(st.lists(st.tuples(st.integers(0, 3), LEVELS, st.none() | LEVELS), min_size=1, max_size=12))
def test_no_file_is_dropped_that_might_be_chosen(found: list[tuple[int, float, float | None]]) -> None:
    operator = graph.Operator(index=0, name="ADD", inputs=(), outputs=())
    plan = QuantizationPlan(Path("model.tflite"), lambda _: {})
    made = [
        Candidate(b"", str(k), "", np.array([10 ** (-db / 10)]), (operator,) * floats, plan, varying_db)
        for k, (floats, db, varying_db) in enumerate(found)
    ]
    kept: list[Candidate] = []
    for candidate in made:
        kept = worth_keeping([*kept, candidate])
    chosen, wanted = best(kept), best(made)
    assert (len(chosen.floats), chosen.signal_db) == (len(wanted.floats), wanted.signal_db)


def test_what_changes_between_samples_decides_and_not_what_all_share() -> None:
    """Logits that are all about -11: 20 dB of that say nothing if a file makes the same of every sample."""
    plan = QuantizationPlan(Path("model.tflite"), lambda _: {})
    same = Candidate(b"", "", "", np.array([0.01]), (), plan, varying_db=0.0)
    other = Candidate(b"", "", "", np.array([0.02]), (), plan, varying_db=15.0)
    assert best([same, other]) is other
    assert worth_keeping([same, other]) == [other]


def quantized(tmp_path: Path, count: int = 40) -> integer.Quantized:
    waist = networks.classifier(tmp_path / "waist.tflite", logits=4)
    samples = networks.samples(networks.signature(waist), count)
    with Trial() as trial:
        return integer.quantize(
            waist, {"image": samples["source_image"]}, trial, QuantizationSettings(equalization="off")
        )


def test_a_large_network_is_quantized_with_less_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not quantized(tmp_path).notes
    monkeypatch.setattr(effort, "SEARCH_S", 1e-9)
    monkeypatch.setattr(effort, "OBSERVED_MACS", 1)
    monkeypatch.setattr(attempts, "POOR_DB", 1_000.0)
    made = quantized(tmp_path)
    assert made.notes == (
        "a large network: ranges are of 16 of 40 samples",
        "a large network: only 4 candidates were tried, where it loses its signal was not searched for",
    )
    assert made.candidate.sqnr_db > 20


def test_saturating_functions_are_looked_at_once(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "waist.tflite")
    main, samples = graph.read(waist)[0], networks.samples(networks.signature(waist), 8)
    seen = observing.observe(waist, main, {"image": samples["source_image"]}, np.arange(4), 0).activations
    known: dict[int, Any] = ranges.saturated(main, seen)
    assert known
    for method in ranges.METHODS:
        assert ranges.choose(main, seen, method, known=known) == ranges.choose(main, seen, method)
