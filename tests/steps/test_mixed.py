"""Which operators stay float: what is gained for what it costs, with those that read a tensor."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.nouns.diagnosis import Blame, Diagnosis, OperatorDiagnosis
from edgekit.nouns.verification import Agreement, Verification
from edgekit.steps import mixed
from edgekit.steps.mixed import FloatSet, OperatorCost, OperatorNoise


def row(place: int | None, output_db: float | None, weights: float, alone_db: float = 30.0) -> OperatorDiagnosis:
    causes = (("weights", weights / 2), ("bias", weights / 2), ("steps", 0.8 - weights), ("inputs", 0.2))
    blames = tuple(Blame(cause=cause, db=0.0, share=share, told="") for cause, share in causes)
    return OperatorDiagnosis(
        index=place, place=place, operator="CONV_2D", name="x", tensor="x", dtype="int8", alone_db=alone_db, accumulated_db=20.0,
        output_db=output_db, blames=blames,
    )  # fmt: skip


def test_an_operator_is_a_candidate_by_its_part_of_the_outputs_error() -> None:
    places = (
        OperatorCost(cost=5.0, readers=(1,)),
        OperatorCost(cost=1.0, readers=(2,)),
        OperatorCost(cost=2.0, readers=()),
    )
    found = Diagnosis(
        samples=1, output_db=9.0, operators=(row(None, 10.0, 0.0), row(0, 10.0, 0.25), row(2, None, 0.5)),
        operators_total=3,
    )  # fmt: skip
    made = mixed.candidates(found, places)
    assert made[0] == OperatorNoise(5.0, pytest.approx(0.025), pytest.approx(0.055), frozenset({1}))
    assert (made[2].weights, made[2].result) == (0.0, 0.0)
    assert made[1] == OperatorNoise(1.0, 0.0, 0.0, frozenset({2})), "what only moves values is there, for what it reads"
    float_already = msgspec.structs.replace(row(0, 10.0, 0.25), dtype="float32")
    again = msgspec.structs.replace(found, operators=(float_already,))
    assert (mixed.candidates(again, places)[0].weights, mixed.candidates(again, places)[0].result) == (
        made[0].weights,
        0,
    )
    unmeasured = Diagnosis(samples=1, output_db=9.0, operators=(row(0, None, 0.8, 20.0),), operators_total=1)
    assert mixed.candidates(unmeasured, places)[0].weights == pytest.approx(0.008)


def test_a_tensor_is_exact_only_if_all_that_read_it_are_float() -> None:
    operators = {
        0: OperatorNoise(1.0, 0.0, 1.0, frozenset({1, 2})),
        1: OperatorNoise(1.0, 0.0, 0.0, frozenset()),
        2: OperatorNoise(1.0, 0.0, 0.0, frozenset()),
    }
    (only,) = mixed.chain(operators)
    assert (only.places, only.cost, only.left) == ({0, 1, 2}, 3.0, 0.0)


def test_the_cheaper_of_two_that_gain_alike_comes_first() -> None:
    operators = {k: OperatorNoise(cost, 1.0, 0.0, frozenset({9})) for k, cost in enumerate((3.0, 1.0, 2.0))}
    assert [sorted(one.places) for one in mixed.chain(operators)] == [[1], [1, 2], [0, 1, 2]]
    heavy = {0: OperatorNoise(1.0, 9.0, 0.0, frozenset({9}), 60), 1: OperatorNoise(1.0, 1.0, 0.0, frozenset({9}), 40)}
    assert [sorted(one.places) for one in mixed.chain(heavy, most_macs=50)] == [[1]]
    assert not mixed.chain({0: OperatorNoise(1.0, 0.0, 0.0, frozenset())})


@given(
    st.lists(
        st.tuples(st.floats(0.1, 9), st.floats(0, 1), st.floats(0, 1), st.sets(st.integers(0, 9), max_size=3)),
        max_size=10,
    )
)
def test_sets_grow_in_places_and_cost_and_leave_less(drawn: list[tuple[float, float, float, set[int]]]) -> None:
    operators = {
        k: OperatorNoise(cost, own, result, frozenset(readers)) for k, (cost, own, result, readers) in enumerate(drawn)
    }
    made = mixed.chain(operators)
    for before, after in itertools.pairwise(made):
        assert before.places < after.places
        assert before.cost < after.cost
        assert before.left > after.left
    for one in made:
        assert 0 <= one.left <= 1 + 1e-9
        assert one.cost == pytest.approx(sum(operators[k].cost for k in one.places))


def test_what_makes_the_outputs_is_float_in_every_set_unless_it_is_most_of_the_network() -> None:
    operators = {k: OperatorNoise(1.0, 1.0 / (k + 1), 0.0, frozenset({k + 1} if k < 2 else ()), 10) for k in range(3)}
    assert [sorted(one.places) for one in mixed.chain(operators)] == [[2], [0, 2], [0, 1, 2]]
    assert [sorted(one.places) for one in mixed.chain(operators, most_macs=9)] == []
    assert [sorted(one.places) for one in mixed.chain(operators, most_macs=10)] == [[2]]


def test_sets_are_skipped_that_gain_little() -> None:
    chain = tuple(FloatSet(frozenset(range(k)), float(k), 0.7**k) for k in range(1, 8))
    assert [mixed.first(chain, left) for left in (0.8, 0.5, 0.1, 0.0)] == [1, 2, 7, 7]
    assert mixed.first(chain, 0.49 / 2, after=2) == 4
    assert mixed.first(chain, 1.0, after=3) == 4

    def judged(db: float | None, least_db: float | None) -> Verification:
        return Verification(
            samples=1,
            samples_origin="",
            outputs=(),
            sqnr_db=db,
            threshold_db=15.0,
            min_sqnr_db=least_db,
            verdict="miss",
        )

    assert mixed.needed(judged(20.0, 30.0)) == pytest.approx(0.1)
    assert mixed.needed(judged(29.9, 30.0)) == mixed.WORTH_BUILDING
    assert mixed.needed(judged(20.0, None)) == mixed.WORTH_BUILDING


def test_the_share_of_choices_that_change_grows_with_the_amplitude_of_the_error() -> None:
    agreed = Agreement(output="y", identical=False, sqnr_db=20.0, max_abs_error=1.0, cosine=None, top1_agreement=0.96)
    missed = Verification(
        samples=1, samples_origin="", outputs=(agreed,), sqnr_db=20.0, threshold_db=15.0, min_agreement=0.98, verdict="miss",
    )  # fmt: skip
    assert mixed.needed(missed) == pytest.approx(0.25)
    assert mixed.needed(msgspec.structs.replace(missed, min_agreement=0.95)) == mixed.WORTH_BUILDING
    assert mixed.needed(msgspec.structs.replace(missed, min_sqnr_db=30.0)) == pytest.approx(0.1)
    assert mixed.needed(msgspec.structs.replace(missed, min_agreement=1.0)) == 0


def test_a_set_that_gained_less_than_was_foretold_is_followed_by_one_that_promises_more() -> None:
    assert mixed.next_part(0.5, 20.0, 23.01) == pytest.approx(0.25, rel=0.01)
    assert mixed.next_part(0.5, 20.0, 30.0) == pytest.approx(0.25), "more than was foretold is luck"
    assert mixed.next_part(0.5, 20.0, 21.505) == pytest.approx(0.125, rel=0.01)
    assert mixed.next_part(0.5, 20.0, 19.0) == pytest.approx(0.5 * 0.5**10), "never more than so much"
    assert mixed.next_part(0.5, 20.0, None) == mixed.next_part(0.5, None, 20.0) == pytest.approx(0.25)
