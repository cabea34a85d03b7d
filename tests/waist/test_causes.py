"""What is told of what an error comes from."""

import numpy as np
import pytest

from edgekit.waist import causes


@pytest.mark.parametrize(
    ("count", "told"), [(1, "less than 0.01% of its values"), (5, "less than 0.01%"), (20, "0.02%"), (30_000, "30.00%")]
)
def test_a_share_of_clipped_values_is_never_told_as_nothing(count: int, told: str) -> None:
    truth = np.zeros(100_000)
    truth[:count] = 3.0
    found = dict(causes.of_range(truth, (-1.0, 1.0), 0.1, lambda values: values))
    assert found["clipping"][1].startswith(told)
    assert found["clipping"][2]["outside"] == count / 100_000
