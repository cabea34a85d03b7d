"""Settings at the ends of what they may be: each pass gives a network of finite numbers, or says what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine import registry
from edgekit.errors import InputError
from edgekit.nouns.recipe import Cluster, Distill, FineTune, PassSettings, Prune, PruneChannels, name_of
from edgekit.waist import graph
from tests.training import digits

pytestmark = pytest.mark.study

EXTREMES: dict[str, tuple[Any, ...]] = {
    "batch_size": (1, 4096), "learning_rate": (1e-30, 1e30), "rates": (12,), "warmup": (0.0, 1.0),
    "weight_decay": (1e30,), "l1": (1e30,), "dropout": (0.999,), "label_smoothing": (0.999,),
    "clip_norm": (1e-30, 1e30), "holdout": (0.0, 0.99), "patience": (100_000,), "temperature": (1e-30, 100.0),
    "alpha": (0.0, 1.0),
}  # fmt: skip

OWN: tuple[PassSettings, ...] = (
    Prune(epochs=1, sparsity=1e-9), Prune(epochs=1, sparsity=1 - 1e-9), Cluster(epochs=1, clusters=2),
    Cluster(epochs=1, clusters=256), Distill(epochs=1, width=1e-9), Distill(epochs=1, width=1 - 1e-9),
    PruneChannels(remove=1e-9), PruneChannels(remove=1 - 1e-9), PruneChannels(floor=1.0), PruneChannels(multiple=256),
    PruneChannels(rounds=100),
)  # fmt: skip

CASES = [FineTune(epochs=1, **{key: value}) for key, values in EXTREMES.items() for value in values]


def said(settings: PassSettings) -> str:
    usual = type(settings)()
    own = {key for key in settings.__struct_fields__ if getattr(settings, key) != getattr(usual, key)}
    return "-".join((name_of(settings), *(f"{key}={getattr(settings, key)}" for key in sorted(own - {"epochs"}))))


@pytest.mark.parametrize("settings", [*CASES, *OWN], ids=said)
def test_a_pass_at_an_end_of_its_settings_is_finite_or_refuses(settings: PassSettings, tmp_path: Path) -> None:
    path = digits.network(tmp_path / "net.tflite", width=4)
    (tmp_path / "out").mkdir()
    leaf = registry.leaf("passes", name_of(settings).replace("-", "_"))
    try:
        made = leaf.apply(digits.task(tmp_path, path, settings, labels=True), tmp_path / "out")
    except InputError as error:
        assert error.fix  # noqa: PT017  either is right
        return
    tree = graph.load(tmp_path / "out" / made.file)
    for index, tensor in enumerate(graph.describe(tree)[0].tensors):
        values = graph.constant(tree, 0, index) if tensor.dtype == "float32" else None
        assert values is None or np.isfinite(values).all(), tensor.name
