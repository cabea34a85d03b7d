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
    ],
)
def test_the_largest_harmless_rate_is_taken(losses: list[float], chosen: int) -> None:
    weight, told = tf.Variable(1.0), iter([1.0, *losses])
    shares = []

    def train(share: float) -> None:
        assert float(weight) == 1  # each trial starts from where training starts
        shares.append(share)
        weight.assign(7.0)

    found = rates.largest(len(losses), train, lambda: next(told), [weight])
    assert found == pytest.approx(10 ** (-chosen / 2))
    assert float(weight) == 1
    assert len(shares) == chosen + 1


def test_a_trial_comes_to_rest() -> None:
    steps = rates.trial_steps(5, 280)
    assert 20 <= steps <= 280
    shares = [rates.falling(step, steps) for step in range(steps)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
