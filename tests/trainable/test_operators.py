"""Each operator that is lifted computes what LiteRT computes, and its gradients are those of LiteRT."""

from pathlib import Path

import pytest

from tests.lazy import Lazy
from tests.trainable import cases
from tests.trainable.lifted import agreement_db, samples, slopes

lifting = Lazy("edgekit.trainable.lifting")
writing = Lazy("edgekit.trainable.writing")

ROUNDED = {"QUANTIZE"}
"""Cases whose slope is 0 almost everywhere, and that pass the gradient of what they round."""


@pytest.mark.parametrize("name", cases.CASES)
def test_an_operator_is_lifted(name: str, tmp_path: Path) -> None:
    path = cases.write(name, tmp_path)
    lifted = lifting.lift(path)
    values = samples(path)
    assert not lifted.notes
    assert agreement_db(lifted, values) >= (40 if name in ROUNDED else 80)
    assert writing.written(lifted) == path.read_bytes()
    by_gradients, by_litert = slopes(lifted, tmp_path, values)
    if name not in ROUNDED:
        assert by_gradients == pytest.approx(by_litert, rel=0.03, abs=0.03)


@pytest.mark.parametrize("name", cases.STOPPING)
def test_an_operator_without_a_gradient_computes_the_same(name: str, tmp_path: Path) -> None:
    lifted = lifting.lift(cases.write(name, tmp_path))
    assert agreement_db(lifted, samples(lifted.path)) >= 80
    assert lifted.notes
    assert all("stops training; no gradient reaches scale" in note for note in lifted.notes)
