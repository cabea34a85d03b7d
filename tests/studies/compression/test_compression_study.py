"""The study's own arithmetic."""

import pytest

from tests.studies.compression import page
from tests.studies.compression.cases import CASES
from tests.studies.compression.data import PIECES, encoded, pieces
from tests.studies.compression.trial import Trial, place


def test_each_case_has_a_file_of_its_own() -> None:
    assert len({place(case, 0) for case in CASES}) == len(CASES)


def test_the_interval_is_student_s() -> None:
    assert page.interval([1.0]) == (1.0, None)
    mean, half = page.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.303 / 3**0.5)


def test_word_pieces_spell_their_words() -> None:
    vocabulary = pieces(["the film is great", "the films are great", "the film"] * 3)
    names = {number: piece for piece, number in vocabulary.items()}
    numbers = [number for number in encoded("the films is great", vocabulary) if number]
    assert "".join(names[number] for number in numbers).replace("_", " ").strip() == "the films is great"
    assert len(vocabulary) <= PIECES - 2
    assert encoded("ξ", vocabulary)[:2] == [1, 0]


def test_without_labels_decibels_are_told() -> None:
    both = {
        name: [Trial(int8_db=value, samples=9, parameters=1, macs=1, bytes=(1, 1, 1))]
        for name, value in ((page.PTQ, 25.0), ("qat", 28.5))
    }
    cases = [case for case in CASES if not case.base.labels]
    told = page.page([page.Row(case, both[case.name]) for case in cases], 0)
    assert "| 25.0 dB |" in told
    assert "| +3.0 dB | +3.5 dB | yes |" in told


def test_a_page_of_nothing_and_of_failures_can_be_written() -> None:
    assert "not done" in page.page([], 5)
    failed = page.Row(CASES[0], [Trial(error="it broke")])
    assert "it broke" in page.page([failed], 0)
