"""Which learning rate is trained with."""

import pytest

from tests.lazy import Lazy

tf = Lazy("tensorflow")
rates = Lazy("edgekit.training.rates")


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ([0.5, 9.0], 0),  # the largest helps
        ([3.0, 1.2, 0.9], 1),  # the first that harms by less than a quarter, though a smaller one looks better
        ([float("nan"), float("inf"), 1.0], 2),
        ([3.0, 3.0, 3.0], 2),  # all harm
        ([0.8, 0.4, 0.19, 0.16, 0.3], 2),  # far from the end: the largest that comes near the best
    ],
)
def test_the_largest_rate_is_taken_that_does_no_harm_or_nearly_best(losses: list[float], chosen: int) -> None:
    weight, told = tf.Variable(1.0), iter([1.0, *losses])
    shares = []

    def train(share: float) -> None:
        assert float(weight) == 1  # each trial starts from where training starts
        shares.append(share)
        weight.assign(7.0)

    found = rates.largest(len(losses), train, lambda: next(told), [weight])
    assert found == pytest.approx(10 ** (-chosen / 2))
    assert float(weight) == 1
    assert len(shares) <= len(losses)


def test_rates_that_do_less_and_less_are_not_tried() -> None:
    tried, told = list[float](), iter([1.0, 3.0, 1.1, 1.2])
    assert rates.largest(6, tried.append, lambda: next(told), []) == pytest.approx(10**-0.5)
    assert len(tried) == 3


def test_a_trial_comes_to_rest() -> None:
    steps = rates.trial_steps(5, 280)
    assert 20 <= steps <= 280
    shares = [rates.falling(step, steps) for step in range(steps)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
