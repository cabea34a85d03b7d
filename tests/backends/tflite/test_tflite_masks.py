"""Attention masks in int8: whatever says "not this one" must not cost the scores their levels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite.ready import masks
from edgekit.equalization import observing
from edgekit.waist import graph, run
from tests import networks
from tests.backends.integers import Quantized, normal

LEAST = float(np.finfo(np.float32).min)
TOKENS, WIDTH = 6, 8

MILD_DB = 26.0
"""What such a block reaches in int8 with a mask of -100, whatever the form."""


def fully_connected(net: networks.Network, x: int, width: int, seed: int) -> int:
    weights = net.constant(f"k{seed}", networks.weights(width, WIDTH, seed=seed))
    bias = net.constant(f"b{seed}", np.zeros(width, np.float32))
    return net.operator(
        "FULLY_CONNECTED", [x, weights, bias], (1, TOKENS, width), kind="FullyConnectedOptions", keepNumDims=True
    )


def causal(value: float) -> Any:
    hidden = np.triu(np.ones((1, TOKENS, TOKENS), bool), 1)
    return np.where(hidden, np.float32(value), np.float32(0))


class Form:
    """Scores ``[1, T, T]`` with a causal mask, or with that of an input ``m`` [1, 1, T] of zeros and ones."""

    def __init__(self, net: networks.Network, value: float, mask: int) -> None:
        self.net, self.value, self.mask = net, value, mask
        self.made: dict[str, int] = {}

    def __call__(self, form: str, scores: int) -> int:
        narrow = (1, 1, TOKENS)
        where_causal = causal(1.0) > 0
        bias = np.linspace(-3, 0, TOKENS, dtype=np.float32) * np.ones((1, TOKENS, 1), np.float32)
        made = {
            "add": lambda: self.op("ADD", scores, causal(self.value)),
            "add first": lambda: self.op("ADD", causal(self.value), scores),
            "subtract": lambda: self.op("SUB", scores, -causal(self.value)),
            "scaled after": lambda: self.op("MUL", self.op("ADD", scores, causal(self.value)), [0.5]),
            "bias and mask": lambda: self.op("ADD", scores, np.where(where_causal, self.value, bias)),
            "wide bias and mask": lambda: self.op("ADD", scores, np.where(where_causal, self.value, 3 * bias + 4)),
            "less bias and mask": lambda: self.op("SUB", scores, np.where(where_causal, -self.value, -3 * bias - 4)),
            "select": lambda: self.select(self.constant(where_causal), scores),
            "(1 - m) c": lambda: self.op("ADD", scores, self.hidden("SUB", [1.0], self.mask, self.value)),
            "(m - 1) c": lambda: self.op("ADD", scores, self.hidden("SUB", self.mask, [1.0], -self.value)),
            "m c - c": lambda: self.op(
                "ADD", scores, self.op("ADD", self.op("MUL", self.mask, [-self.value], narrow), [self.value], narrow)
            ),
            "(1 - m m) c": lambda: self.op("ADD", scores, self.outer()),
            "causal and (1 - m m) c": lambda: self.op("ADD", scores, self.outer(1 - causal(1.0))),
            "causal + (1 - m m) c": lambda: self.op("ADD", self.op("ADD", scores, causal(self.value)), self.outer()),
            "causal + (1 - m) c": lambda: self.op("ADD", self.op("ADD", scores, causal(self.value)), self.padding()),
            "(causal + (1 - m) c)": lambda: self.op("ADD", scores, self.once("both", self.both)),
            "three, (1 - m) c": lambda: self.op("ADD", self.op("ADD", self.padding(), scores), self.once("both", self.both)),
            "scores m - (1 - m) c": lambda: self.op(
                "SUB", self.op("MUL", scores, self.mask), self.hidden("SUB", [1.0], self.mask, -self.value)
            ),
            "where m": lambda: self.select(
                self.net.operator("EQUAL", [self.mask, self.constant(np.zeros(1, np.float32))], narrow, dtype="bool", kind="EqualOptions"),
                scores,
            ),
        }  # fmt: skip
        return made[form]()

    def constant(self, values: Any) -> int:
        return self.net.constant(f"c{len(self.net.subgraph.tensors)}", values)

    def op(self, kind: str, a: Any, b: Any, shape: tuple[int, ...] = (1, TOKENS, TOKENS)) -> int:
        operands = [x if isinstance(x, int) else self.constant(np.asarray(x, np.float32)) for x in (a, b)]
        return self.net.operator(kind, operands, shape, kind=f"{kind.title()}Options")

    def hidden(self, kind: str, a: Any, b: Any, value: float) -> int:
        narrow = (1, 1, TOKENS)
        return self.op("MUL", self.op(kind, a, b, narrow), [value], narrow)

    def once(self, name: str, make: Callable[[], int]) -> int:
        """What all blocks share."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def padding(self) -> int:
        return self.once("padding", lambda: self.hidden("SUB", [1.0], self.mask, self.value))

    def both(self) -> int:
        return self.op("ADD", causal(self.value), self.padding())

    def outer(self, more: Any = 1.0) -> int:
        """(1 - m mᵀ) c: rows of tokens that are not there are masked whole."""
        row, column = (1, 1, TOKENS), (1, TOKENS, 1)
        turned = self.net.operator(
            "RESHAPE", [self.mask, self.constant(np.array(column, np.int32))], column, kind="ReshapeOptions"
        )
        both = self.op("MUL", self.op("MUL", self.op("MUL", self.mask, [1.0], row), turned), more)
        return self.op("MUL", self.op("SUB", [1.0], both), [self.value])

    def select(self, condition: int, scores: int) -> int:
        shape = (1, TOKENS, TOKENS)
        other = self.constant(np.full(shape, self.value, np.float32))
        return self.net.operator("SELECT_V2", [condition, other, scores], shape, kind="SelectV2Options")


def attention(path: Path, form: str, value: float, blocks: int = 1) -> Path:
    """x [1, T, W] through blocks of masked self-attention with a residual; ``m`` is an input where the form needs it."""
    net = networks.Network()
    x = net.input("x", (1, TOKENS, WIDTH))
    mask = net.input("m", (1, 1, TOKENS)) if " c" in form or "where" in form else 0
    masked = Form(net, value, mask)
    for block in range(blocks):
        query, key, value_ = (fully_connected(net, x, WIDTH, 3 * block + part) for part in range(3))
        scores = net.operator("BATCH_MATMUL", [query, key], (1, TOKENS, TOKENS), kind="BatchMatMulOptions", adjY=True)
        scores = masked(form, scores)
        shares = net.operator("SOFTMAX", [scores], (1, TOKENS, TOKENS), kind="SoftmaxOptions", beta=1.0)
        mixed = net.operator("BATCH_MATMUL", [shares, value_], (1, TOKENS, WIDTH), kind="BatchMatMulOptions")
        x = net.operator("ADD", [x, mixed], (1, TOKENS, WIDTH), name=f"y{block}", kind="AddOptions")
    return net.save(path, x)


def samples(path: Path, *, left: bool = False) -> dict[str, Any]:
    """``left``: the padding comes first, so that a causal mask hides some rows whole."""
    given = normal(path)
    if "source_m" in given:
        lengths = np.random.default_rng(1).integers(1, TOKENS + 1, len(given["source_m"]))
        there = np.arange(TOKENS)[:: -1 if left else 1] < lengths[:, None]
        given["source_m"] = there.astype(np.float32).reshape(-1, 1, 1, TOKENS)
    return given


def quantized(path: Path, given: dict[str, Any], folder: Path) -> Quantized:
    """A file whose channels are not evened: that would be another network to quantize, with the same masks."""
    return Quantized(path, given, folder, settings={"equalization": "off"})


@pytest.mark.parametrize(
    ("form", "value", "blocks"),
    [
        ("add", -1e4, 1), ("add", -65504.0, 1), ("add", -1e9, 2), ("add", LEAST, 1), ("add", -np.inf, 2),
        ("add first", -1e9, 1), ("subtract", -1e9, 1), ("scaled after", -1e9, 1),
        ("select", -1e4, 1), ("select", -1e9, 1), ("select", -np.inf, 2), ("select", LEAST, 1),
        ("bias and mask", -1e9, 1), ("bias and mask", -np.inf, 1),
        ("wide bias and mask", -1e9, 2), ("wide bias and mask", -np.inf, 1), ("less bias and mask", LEAST, 2),
        ("(1 - m) c", -1e4, 2), ("(1 - m) c", LEAST, 1), ("(1 - m) c", -1e9, 3), ("(m - 1) c", -1e9, 1),
        ("(1 - m m) c", -1e4, 1), ("(1 - m m) c", -1e6, 2), ("(1 - m m) c", -1e9, 2), ("(1 - m m) c", LEAST, 1),
        ("causal + (1 - m m) c", -1e4, 1), ("causal and (1 - m m) c", -1e9, 2), ("causal and (1 - m m) c", LEAST, 1),
        ("scores m - (1 - m) c", LEAST, 1), ("m c - c", -1e9, 1), ("m c - c", LEAST, 1), ("where m", -1e9, 1), ("where m", -np.inf, 1),
    ],
)  # fmt: skip
def test_a_mask_costs_no_more_than_a_mild_one(form: str, value: float, blocks: int, tmp_path: Path) -> None:
    path = attention(tmp_path / "waist.tflite", form, value, blocks)
    made = quantized(path, samples(path), tmp_path / "out")
    assert min(made.sqnr_db().values()) > MILD_DB


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("add", -1e9),
        ("select", -np.inf),
        ("(1 - m) c", LEAST),
        ("m c - c", -1e9),
        ("wide bias and mask", -1e9),
        ("less bias and mask", LEAST),
    ],
)
def test_the_clamped_network_is_the_same(form: str, value: float, tmp_path: Path) -> None:
    path = attention(tmp_path / "waist.tflite", form, value, blocks=2)
    given = {name.removeprefix("source_"): values for name, values in samples(path).items()}
    model = graph.load(path)
    seen = observing.observe(path, graph.read(path)[0], given, np.arange(4), seed=0)
    changed, _ = masks.clamp(model, seen.activations)
    assert changed == 2
    clamped = tmp_path / "clamped.tflite"
    clamped.write_bytes(graph.pack(model))
    (wanted,), (got,) = run.run(path, given).values(), run.run(clamped, given).values()
    assert np.abs(wanted - got).max() < 1e-6
    if form == "m c - c":  # computed in another way: a bound in front of the sum, which stays float
        return
    small = [
        graph.constant(model, 0, tensor)
        for operator in graph.describe(model)[0].operators
        for tensor in operator.inputs
    ]
    assert all(np.abs(values).max() < 1e3 for values in small if values is not None and values.dtype == np.float32)


def test_a_row_that_is_masked_whole_is_uniform_as_in_float32(tmp_path: Path) -> None:
    """-1e9 swallows the scores that it is added to; a clamped mask must not let them through again."""
    path = attention(tmp_path / "waist.tflite", "(1 - m m) c", -1e9)
    made = quantized(path, samples(path), tmp_path / "out")
    given = {name: values[:1].copy() for name, values in made.samples.items()}
    given["source_m"][:] = 0
    assert made.sqnr_db(given)["y0"] > MILD_DB


def test_two_masks_that_are_added_keep_their_levels(tmp_path: Path) -> None:
    """In a row that is masked whole what both of them mask has no share, and all else the same one."""
    path = attention(tmp_path / "waist.tflite", "causal + (1 - m m) c", -1e9, blocks=2)
    assert quantized(path, samples(path), tmp_path / "out").sqnr_db()["y1"] > MILD_DB - 4  # twice as wide a range


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("causal + (1 - m) c", -1e4),
        ("causal + (1 - m) c", LEAST),
        ("(causal + (1 - m) c)", -1e4),
        ("(causal + (1 - m) c)", LEAST),
        ("three, (1 - m) c", -1e9),
    ],
)
def test_rows_that_two_masks_hide_whole(form: str, value: float, tmp_path: Path) -> None:
    """All masks of a softmax have one depth, and those of all blocks that share one: -1e4 gave 3 dB without."""
    path = attention(tmp_path / "waist.tflite", form, value, blocks=2)
    given = samples(path, left=True)
    assert quantized(path, given, tmp_path / "out").sqnr_db()["y1"] > MILD_DB - 4


def test_sums_without_number_are_no_masks(tmp_path: Path) -> None:
    """A sum of a sum with itself, 60 times, has 2^60 terms; a sum of 2,000 is deep."""
    net = networks.Network()
    x = y = net.input("x", (1, 4))
    for _ in range(60):
        y = net.operator("ADD", [y, y], (1, 4), kind="AddOptions")
    for _ in range(2000):
        y = net.operator("ADD", [y, x], (1, 4), kind="AddOptions")
    path = net.save(tmp_path / "waist.tflite", net.operator("SOFTMAX", [y], (1, 4), kind="SoftmaxOptions", beta=1.0))
    assert masks.clamp(graph.load(path), {}) == (0, frozenset())


def test_shares_that_a_mask_leaves_are_divided_by_their_sum_in_floats(tmp_path: Path) -> None:
    """p·m / Σ p·m, with little left of p: 13 dB with the shares in 256 levels."""
    net = networks.Network()
    x, mask = net.input("x", (1, TOKENS, TOKENS)), net.input("m", (1, 1, TOKENS))
    form, shape = Form(net, 0.0, mask), (1, TOKENS, TOKENS)
    shares = net.operator("SOFTMAX", [x], shape, kind="SoftmaxOptions", beta=4.0)
    left = form.op("MUL", shares, mask)
    axis = form.constant(np.array([2], np.int32))
    total = net.operator("SUM", [left, axis], (1, TOKENS, 1), kind="ReducerOptions", keepDims=True)
    again = form.op("DIV", left, form.op("ADD", total, [1e-6], (1, TOKENS, 1)))
    path = net.save(tmp_path / "waist.tflite", form.op("ADD", again, [0.0]))
    made = quantized(path, samples(path), tmp_path / "out")
    assert min(made.sqnr_db().values()) > MILD_DB
    assert "SOFTMAX" in made.floats()


def test_what_is_masked_is_not_attended(tmp_path: Path) -> None:
    """-1e4 wrapped round in the int8 ADD kernel: tokens after the present one changed what came out."""
    path = attention(tmp_path / "waist.tflite", "add", -1e4)
    given = samples(path)
    made = quantized(path, given, tmp_path / "out")
    changed = {"source_x": given["source_x"].copy()}
    changed["source_x"][..., -1, :] += 1
    before, after = (made.outputs(each)["source_y0"] for each in (given, changed))
    assert np.array_equal(before[..., :-1, :], after[..., :-1, :])


def test_scores_that_are_low_by_nature_are_no_masks(tmp_path: Path) -> None:
    """Logits from -400 to 100 without a gap stay as they are, and so do masks that are an output as well."""
    net = networks.Network()
    x = net.input("x", (1, 16))
    logits = net.operator(
        "ADD", [x, net.constant("bias", np.linspace(-60, 0, 16, dtype=np.float32))], (1, 16), kind="AddOptions"
    )
    path = net.save(
        tmp_path / "waist.tflite", net.operator("SOFTMAX", [logits], (1, 16), kind="SoftmaxOptions", beta=1.0)
    )
    given = {"x": (normal(path)["source_x"] * 80).astype(np.float32)}
    seen = observing.observe(path, graph.read(path)[0], given, np.arange(4), seed=0)
    assert masks.clamp(graph.load(path), seen.activations) == (0, frozenset())


def test_a_mask_that_is_an_output_as_well_stays_what_it_is(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, TOKENS, TOKENS))
    scores = Form(net, -1e9, x)("add", x)
    shares = net.operator("SOFTMAX", [scores], (1, TOKENS, TOKENS), name="shares", kind="SoftmaxOptions", beta=1.0)
    path = net.save(tmp_path / "waist.tflite", shares, scores)
    made = quantized(path, normal(path), tmp_path / "out")
    assert made.sqnr_db()["shares"] > 30
    assert made.sqnr_db()["add_0"] > 100
    assert "clamp a mask" in made.floats()


@pytest.mark.parametrize("first", [True, False])
def test_operators_without_results_are_passed_over(first: bool, tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    y = net.operator("SOFTMAX", [x], (1, 4), kind="SoftmaxOptions", beta=1.0)
    net.operator("ASSIGN_VARIABLE", [x if first else y, y], (1,))
    net.subgraph.operators[-1].outputs = []
    assert masks.clamp(graph.load(net.save(tmp_path / "waist.tflite", y)), {}) == (0, frozenset())


@pytest.mark.parametrize("logits", [100.0, 1_000.0, 10_000.0])
def test_a_sure_classifiers_scores_are_no_masks(logits: float, tmp_path: Path) -> None:
    """Its losing classes lie hundreds below the winner, and come from a layer."""
    path = networks.classifier(tmp_path / "c.tflite", logits=logits)
    model = graph.load(path)
    samples = {"image": np.random.default_rng(0).standard_normal((16, 1, 8, 8, 3)).astype(np.float32)}
    main = graph.read(path)[0]
    seen = observing.observe(path, main, samples, np.arange(16), 0)
    assert masks.clamp(model, seen.activations) == (0, frozenset())
