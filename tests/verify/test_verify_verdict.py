"""Verdicts: what passes, what is warned about, missed, of no use, and refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import verify
from edgekit.nouns.model import Precision, Signature, TensorSpec
from edgekit.nouns.verification import Budget, Coverage, Judged, Made, SamplesUse, TaskMetric
from edgekit.verify import feedback
from edgekit.verify.probes import Probed
from edgekit.waist.tensors import BLOCK, Array

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 1, 6)).astype(np.float32)


def judged(reference: Array, output: Array, precision: Precision = "int8", probed: Any = None, **case: Any) -> Judged:
    made = verify.Case(precision=precision, origin="data", made={"y": Made()}, **case)
    return verify.judge(made, {"y": reference}, {"y": output}, probed)


def at(db: float, values: Array = LOGITS) -> Any:
    """Values with noise of so many dB."""
    noise = RNG.normal(size=values.shape)
    return values + noise * np.sqrt(np.square(values).sum() / np.square(noise).sum()) * 10 ** (-db / 20)


@pytest.mark.parametrize(
    ("precision", "db", "verdict"),
    [("int8", 16, "pass"), ("int8", 14, "warn"), ("int8", 4, "warn"), ("int8", 2, "fail"), ("int4", 11, "pass")],
)
def test_sqnr_decides(precision: Precision, db: float, verdict: str) -> None:
    found = judged(LOGITS, at(db), precision)
    assert found.verification.verdict == verdict
    assert not found.refusal
    assert (found.verification.reason == "") == (verdict == "pass")


@pytest.mark.parametrize(("use", "verdict"), [("random", "warn"), ("calibration", "pass"), ("evaluation", "pass")])
def test_what_random_inputs_cannot_show_is_no_pass_on_them(use: SamplesUse, verdict: str) -> None:
    found = judged(LOGITS, LOGITS, "float32", use=use, unshown=("sums may wrap round",)).verification
    assert (found.verdict, "wrap" in found.reason) == (verdict, verdict == "warn")


@pytest.mark.parametrize(("precision", "db"), [("float32", 59), ("float16", 39), ("float32", -3)])
def test_a_float_file_below_its_line_is_refused(precision: Precision, db: float) -> None:
    line = verify.THRESHOLDS_DB[precision]
    assert f"dB is below {line:.0f} dB" in judged(LOGITS, at(db), precision).refusal
    assert not judged(LOGITS, at(line + 1), precision).refusal


def test_the_worst_output_decides() -> None:
    a = {"x": np.ones((1, 1, 4)), "y": np.ones((1, 1, 4))}
    b = {"x": np.ones((1, 1, 4)), "y": np.full((1, 1, 4), 1.1)}
    found = verify.judge(verify.Case(precision="int8", origin="data"), a, b).verification
    assert found.sqnr_db == pytest.approx(20.0)


def indices(places: int, below: int, change: float, by: int = 1) -> tuple[Array, Array]:
    """Indices, and the same of which a share is ``by`` more."""
    expected = RNG.integers(0, below, (40, 1, places))
    return expected, expected + by * (RNG.uniform(size=expected.shape) < change)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize(("below", "by"), [(20, 19), (2, -1), (8400, 4000)])
def test_whole_numbers_are_choices(precision: Precision, below: int, by: int) -> None:
    expected, got = indices(100, below, 0.02, by)
    found = judged(expected, got, precision)
    assert (found.verification.verdict, found.refusal) == ("pass", "")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_lost_mask_is_refused_however_many_pixels_are_right(precision: Precision) -> None:
    mask = (RNG.uniform(size=(40, 1, 200)) < 0.02).astype(np.int64)
    assert judged(mask, np.zeros_like(mask), precision).refusal


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
@pytest.mark.parametrize(("by", "change"), [(1, 1.0), (-2, 1.0), (1, 0.5)])
def test_indices_that_are_near_and_others_are_warned_about(by: int, change: float, precision: Precision) -> None:
    """However many decibels their numbers have."""
    expected, got = indices(50, 84_000, change, by)
    found = judged(expected, got, precision).verification
    assert (found.verdict, found.outputs[0].top1_agreement) == ("warn", np.mean(expected == got))
    assert f"{np.mean(expected == got):.0%} of the whole numbers of output y are the source's" in found.reason


def test_integers_of_8_bits_are_amounts() -> None:
    pixels, rounded = indices(50, 200, 1.0)
    assert judged(pixels.astype(np.uint8), rounded.astype(np.uint8), "float16").verification.verdict == "pass"


@pytest.mark.parametrize("precision", ["int4", "int8", "dynamic-int8"])
@pytest.mark.parametrize("classes", [3, 5, 10])
@pytest.mark.parametrize("better_db", [4, -6])
def test_choices_are_held_against_the_scores_that_they_are_made_of(
    precision: Precision, classes: int, better_db: int
) -> None:
    """An argmax passes about where scores of the precision's SQNR would."""
    scores = RNG.normal(size=(200, 1, 50, classes))
    noisy = at(verify.THRESHOLDS_DB[precision] + better_db, scores)
    found = judged(scores.argmax(-1), noisy.argmax(-1), precision).verification
    assert found.verdict == ("pass" if better_db > 0 else "warn" if found.sqnr_db > 3 else "fail")


def test_a_branch_counts_as_an_output_and_a_column_is_a_warning() -> None:
    boxes, score = RNG.uniform(0, 640, (40, 1, 8, 4)), RNG.uniform(0, 1, (40, 1, 8, 1))
    whole, lost = np.concatenate([boxes, score], -1), np.concatenate([boxes, 0 * score], -1)
    case = verify.Case(precision="int8", origin="data", made={"y": Made(cuts={2: (4,)})})
    found = verify.judge(case, {"y": whole}, {"y": lost}).verification
    assert found.outputs[0].sqnr_db is not None
    assert found.outputs[0].sqnr_db > 40
    assert found.sqnr_db == pytest.approx(0.0)
    assert (found.verdict, found.reason.split(":")[0]) == ("fail", "y, column 4")
    column = judged(whole, lost).verification
    assert column.verdict == "warn"
    assert column.reason.startswith("y, column 4: constant, where the source's varies; let a search keep operators out")


@pytest.mark.parametrize(
    ("made", "fields", "told"),
    [
        (Made(cuts={2: (4,)}), {}, "(--set float_operators=CONCATENATION), or choose int16x8 or float16"),
        (Made(cuts={2: (4,)}), {"joins": "Concat", "wider": ("float16",)}, "operators=Concat), or choose float16"),
        (Made(cuts={2: (4,)}), {"joins": "", "wider": ()}, "cut the network before what joins it"),
        (Made(), {}, "let a search keep operators out of the integers"),
        (Made(), {"joins": "", "wider": ()}, "column 4: constant, where the source's varies"),
    ],
)
def test_what_helps_a_constant_column_is_what_its_target_takes(made: Made, fields: dict[str, Any], told: str) -> None:
    random = np.random.default_rng(0)
    whole = np.concatenate([random.uniform(0, 640, (40, 1, 8, 4)), random.uniform(0, 1, (40, 1, 8, 1))], -1)
    lost = whole * [1, 1, 1, 1, 0]
    case = verify.Case(precision="int8", origin="data", made={"y": made}, **fields)
    found = verify.judge(case, {"y": whole}, {"y": lost}).verification
    assert told in found.reason
    joined = "joins" in found.reason
    assert joined == bool(made.cuts)


@pytest.mark.parametrize("row", [1, 4])
def test_a_change_in_any_row_of_large_outputs_is_seen(row: int) -> None:
    """They are looked at in blocks, two rows of these at once."""
    values = np.full((5, 1, BLOCK // 2), np.inf, np.float32)
    values[:, 0, 0] = 3
    assert "same for all samples" in judged(values, values).verification.reason
    values[row, 0, 0] = 4
    assert judged(values, values).verification.verdict == "pass"


def test_what_is_nan_in_the_source_is_told_and_not_compared() -> None:
    source, made = LOGITS.copy(), LOGITS.copy()
    source[:2] = np.nan
    made[:2] = 7
    found = judged(source, made).verification
    assert found.verdict == "warn"
    assert found.reason.startswith("the source's own output y has NaN in 2 of")
    source[:] = np.nan
    found = judged(source, made).verification
    assert found.verdict == "warn"
    assert "same for all samples" not in found.reason
    assert judged(made, source).verification.verdict == "fail", "nothing excuses a NaN of the file's own"


def test_answers_that_never_change() -> None:
    same = np.repeat(LOGITS[:1], 40, axis=0)
    found = judged(same, same).verification
    assert found.verdict == "warn"
    assert "same for all samples" in found.reason
    assert judged(same[:1], same[:1]).verification.verdict == "pass"  # one sample cannot tell
    by_design = verify.Case(precision="int8", origin="data", made={"y": Made(depends=False)})
    found = verify.judge(by_design, {"y": same}, {"y": same}).verification
    assert found.verdict == "pass"
    assert found.remarks == ("output y does not depend on the inputs",)
    sure = np.abs(LOGITS) / 10 + 3
    found = judged(sure, np.full_like(sure, sure.mean())).verification
    assert found.sqnr_db is not None
    assert found.sqnr_db > 15
    assert found.verdict == "fail"
    assert "the same whatever the input" in found.reason


def probabilities(chosen: float, classes: int, *, moves: float) -> Array:
    """Probabilities ``[40, 1, classes]`` of which the first is about ``chosen``, and moves from sample to sample."""
    first = np.clip(chosen + RNG.uniform(-moves, moves, (40, 1, 1)), 0, 1)
    return np.concatenate([first, *[(1 - first) / classes] * (classes - 1)], axis=2).astype(np.float32)


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize(("chosen", "where"), [(0.999, "1"), (0.001, "0")])
def test_scores_that_the_samples_never_move_are_no_loss(chosen: float, where: str, classes: int) -> None:
    """A wake word that nobody says: eight bits make of it one value."""
    source = probabilities(chosen, classes if chosen > 0.5 else 1, moves=5e-4)
    found = judged(source, np.round(source * 256) / 256).verification
    assert found.verdict == "warn", found.reason
    assert "stays within 0.05 of" in found.reason
    assert where in found.reason
    assert "same whatever" not in found.reason


@pytest.mark.parametrize("chosen", [0.5, 0.9])
def test_scores_that_the_samples_move_are_judged(chosen: float) -> None:
    source = probabilities(chosen, 3, moves=0.09)
    assert judged(source, np.repeat(source[:1], 40, axis=0)).verification.verdict == "fail"
    wrong = probabilities(0.999, 3, moves=5e-4)
    assert judged(wrong, wrong[:, :, ::-1].copy()).verification.verdict == "fail", "another answer is no rounding"


def test_what_is_near_1_and_no_probability_is_judged() -> None:
    source = (1 + RNG.uniform(0, 0.04, (40, 1, 8))).astype(np.float32)
    assert judged(source, np.ones_like(source)).verification.verdict == "fail"


@pytest.mark.parametrize(("off", "refused"), [(2.0**-24, False), (2.0**-20, True)])
def test_a_float_file_may_round_the_scores_of_a_sigmoid(off: float, *, refused: bool) -> None:
    """ONNX Runtime's own sigmoid is that far from the true one."""
    source = RNG.uniform(1e-7, 2e-6, (40, 1, 1)).astype(np.float32)
    found = judged(source, source + np.float32(off), "float32")
    assert bool(found.refusal) is refused
    assert found.verification.verdict != "pass"
    assert judged(source, source * np.float32(1.0001), "float32").verification.verdict == "pass"


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_measures_have_no_classes_that_chance_could_choose(offset: float) -> None:
    """Key points of a face: the two lowest of the chin lie equally low, and rounding decides which is lower."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(40, 1, 10)), np.full((40, 1, 2), 6.0)], axis=2).astype(np.float32)
    points += rng.normal(size=(40, 1, 1)).astype(np.float32) * offset
    apart = rng.choice([-0.01, 0.01], 40).astype(np.float32)
    points[:, 0, -1] += apart
    rounded = points.copy()
    rounded[:, 0, -1] -= 2 * apart
    found = judged(points, rounded).verification
    assert found.verdict == "pass", found.reason


def test_classes_by_chance_are_told_whatever_all_of_them_share() -> None:
    high = LOGITS + 200 * np.random.default_rng(0).normal(size=(len(LOGITS), 1, 1)).astype(np.float32)
    found = judged(high, high + (LOGITS[:, :, ::-1] - LOGITS)).verification
    assert found.verdict == "fail"
    assert "no better than by chance" in found.reason


def test_classes_by_chance() -> None:
    """Sure of the wrong class: SQNR is not low, since what all classes share is most of the energy."""
    high = LOGITS + 20
    found = judged(high, high[:, :, ::-1]).verification
    assert found.sqnr_db is not None
    assert found.sqnr_db > 15
    assert found.verdict == "fail"
    assert "no better than by chance" in found.reason
    mostly_one = high.copy()
    mostly_one[1:, :, 0] += 9
    assert judged(mostly_one, np.where(mostly_one == mostly_one[0, 0, 1], 0, mostly_one)).verification.verdict == "pass"


def shared(offset: float, db: float, shape: tuple[int, ...] = (40, 1, 50)) -> tuple[Array, Array]:
    """An output about an offset, and a file's with so many dB of what changes."""
    moving = RNG.normal(size=shape).astype(np.float32)
    return moving + np.float32(offset), (at(db, moving) + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [-9.0, 5.0])
@pytest.mark.parametrize(("db", "verdict"), [(-3, "fail"), (1, "fail"), (20, "pass")])
def test_what_all_samples_share_hides_no_loss(offset: float, db: float, verdict: str) -> None:
    source, made = shared(offset, db)
    found = judged(source, made).verification
    assert found.verdict == verdict, found.reason
    assert ("what changes from sample to sample" in found.reason) == (verdict == "fail")
    assert judged(source[:6], made[:6]).verification.verdict != "fail", "so few tell no mean"


@pytest.mark.parametrize("offset", [-9.0, 5.0, 0.0])
def test_other_classes_than_the_source_s_are_told(offset: float) -> None:
    """A bird classifier with 24.6 dB chose another class in a third of its samples."""
    source, made = shared(offset, 8)
    found = judged(source, made).verification
    assert found.verdict == "warn"
    assert "of the choices of output" in found.reason
    source, made = shared(offset, 16)
    assert "of the choices of output" not in judged(source, made).verification.reason, "ties, not a loss"
    source, made = shared(offset, 8, (10, 1, 50))
    assert "of the choices of output" not in judged(source, made).verification.reason, "few samples prove nothing"


@pytest.mark.parametrize("db", [20, 25, 28])
def test_samples_that_are_nearly_alike_show_no_loss(db: float) -> None:
    """A camera that stands still: all but 5 % of the picture is the same."""
    still = RNG.normal(size=(1, 1, 64, 64)).astype(np.float32)
    source = still + 0.045 * RNG.normal(size=(16, 1, 64, 64)).astype(np.float32)
    assert judged(source, at(db, source).astype(np.float32)).verification.verdict == "pass"


@pytest.mark.parametrize("columns", [1, 2, 6])
@pytest.mark.parametrize("precision", ["int8", "int16x8", "dynamic-int8"])
def test_measures_far_from_0_that_do_not_move_are_told(precision: Precision, columns: int) -> None:
    """A price, a pressure: SQNR is high, and so is the agreement of a highest value that is always the same one."""
    offset = 60 * np.arange(1, columns + 1)
    source, noise = LOGITS[..., :columns] + offset, RNG.normal(size=(40, 1, columns))
    for error, verdict in ((1.5, "warn"), (0.1, "pass")):
        found = judged(source.astype(np.float32), (source + error * noise).astype(np.float32), precision).verification
        assert (found.verdict, "of its energy) is lost: SQNR" in found.reason) == (verdict, verdict == "warn")


def test_values_that_are_nearly_constant_are_no_measures() -> None:
    source = np.full((40, 1, 4), 7, np.float32) + np.float32(1e-6) * RNG.random((40, 1, 4)).astype(np.float32)
    assert "is lost" not in judged(source, source + np.float32(1e-3)).verification.reason


def test_choices_that_are_right_show_that_the_samples_are_told_apart() -> None:
    source, _ = shared(-11.0, 20)
    made = source.copy()
    made[:, :, 0] -= 40 * RNG.random((40, 1))
    source[:, :, 0] -= 100
    made[:, :, 0] -= 100
    assert judged(source, made).verification.verdict != "fail"


def test_a_metric_no_better_than_chance() -> None:
    labels = LOGITS[:, 0].argmax(axis=1)
    y = {"y": LOGITS}
    off = verify.task_metric("top1", y, y, (labels + 1))
    found = judged(LOGITS, at(30), measured=off, odd_labels="labels run from 1 to 6").verification
    assert (found.verdict, "labels run from 1 to 6" in found.reason) == ("warn", True)
    lost = verify.task_metric("top1", y, {"y": LOGITS[:, :, ::-1]}, labels)
    assert judged(LOGITS, at(30), measured=lost).verification.verdict == "fail"
    assert "no better than chance (0.1667)" in judged(LOGITS, at(30), measured=lost).verification.reason


def test_a_source_hardly_better_than_chance_is_told() -> None:
    """Then a drop would not show: the artifact cannot be worse than chance."""
    y, right = {"y": LOGITS}, LOGITS[:, 0].argmax(axis=1)
    few = int(len(right) * (1 / 6 + 1 / len(right))) + 1
    labels = np.where(np.arange(len(right)) < few, right, (right + 1) % 6)
    measured = verify.task_metric("top1", y, y, labels)
    found = judged(LOGITS, at(30), measured=measured).verification
    assert (found.verdict, "hardly better than chance (0.1667)" in found.reason) == ("warn", True)


def test_a_budget_missed_is_told_before_a_warning_and_after_no_use() -> None:
    labels = LOGITS[:, 0].argmax(axis=1)
    noisy = at(8)
    measured = verify.task_metric("top1", {"y": LOGITS}, {"y": noisy}, labels)
    assert measured.drop > 0
    missed = judged(LOGITS, noisy, measured=measured, budget=Budget(max_drop=0.0)).verification
    assert missed.verdict == "miss"
    assert missed.reason.startswith("top1 dropped by")
    assert judged(LOGITS, noisy, measured=measured, budget=Budget(max_drop=1.0)).verification.verdict == "warn"
    assert judged(LOGITS, at(-2), measured=measured, budget=Budget(max_drop=0.0)).verification.verdict == "fail"
    assert judged(LOGITS, LOGITS, constant_data=True).verification.verdict == "fail"


def test_an_input_that_no_sample_changes_is_no_pass() -> None:
    """A state that is zero in every sample: the file cuts off any other, and agrees on these."""
    found = judged(LOGITS, at(30), still=("state", "user")).verification
    assert found.verdict == "warn"
    assert found.reason.startswith("input state, user: the same in all samples that calibrated it")


def test_errors_that_add_up_in_an_apps_own_loop_are_told() -> None:
    """In integers: one network's file had 39 dB on single steps, and 14 dB after fifty."""
    expected: tuple[tuple[Precision, bool], ...] = (("int8", True), ("float16", False))
    for precision, told in expected:
        found = judged(LOGITS, at(50), precision, fed_back=(("h1", "h"), ("c1", "c"))).verification
        assert (
            any("output h1 as input h and output c1 as input c, errors add up" in remark for remark in found.remarks)
            == told
        )
        assert found.verdict == "pass"


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ({"x": (1, 8), "h": (1, 4)}, {"y": (1, 3), "h1": (1, 4)}, (("h1", "h"),)),
        (
            {"x": (1, 4), "h": (2, 4), "c": (2, 4)},
            {"c1": (2, 4), "h1": (2, 4), "y": (1, 2)},
            (("c1", "c"), ("h1", "h")),
        ),
        ({"x": (1, 4, 4, 3)}, {"y": (1, 4, 4, 3), "edges": (1, 4, 4, 1)}, ()),
        ({"left": (1, 4), "right": (1, 4)}, {"y": (1, 4)}, ()),
        ({"x": (1, 8), "threshold": (1,)}, {"y": (1, 3), "count": (1,)}, ()),
    ],
)
def test_what_may_be_fed_back_has_an_inputs_shape(
    inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], found: Any
) -> None:
    def specs(shapes: dict[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        kind = {"dtype": "float32", "source_dtype": "float32"}
        return tuple(
            TensorSpec(name=n, shape=shape, source_name=n, source_shape=shape, **kind) for n, shape in shapes.items()
        )

    assert feedback.pairs(Signature(inputs=specs(inputs), outputs=specs(outputs))) == found


def changed(of: int) -> Any:
    """Logits that choose another class for the first so many of 40 samples."""
    values = LOGITS.copy()
    values[:of] = np.roll(values[:of], 1, axis=-1)
    return values


def test_a_least_agreement_counts_choices_and_a_least_sqnr_the_worst_output() -> None:
    for wrong, least, verdict in ((2, 0.95, "pass"), (3, 0.95, "miss"), (0, 1.0, "pass"), (1, 1.0, "miss")):
        found = judged(LOGITS, changed(wrong), "int4", budget=Budget(min_agreement=least)).verification
        assert (found.verdict, found.agreement) == (verdict, 1 - wrong / 40)
        assert found.min_agreement == least
    told = judged(LOGITS, changed(3), "int4", budget=Budget(min_agreement=0.95)).verification.reason
    assert told == "92.50% of the choices of output y are the source's, fewer than the 95.00% asked for"
    for level, least, verdict in ((24.9, 25.0, "miss"), (25.1, 25.0, "pass")):
        found = judged(LOGITS, at(level), budget=Budget(min_sqnr_db=least)).verification
        assert (found.verdict, found.min_sqnr_db) == (verdict, least)
    assert judged(LOGITS, LOGITS, budget=Budget(min_sqnr_db=200.0, min_agreement=1.0)).verification.verdict == "pass"
    assert judged(LOGITS, at(-2), budget=Budget(min_sqnr_db=20.0)).verification.verdict == "fail"


@pytest.mark.parametrize(
    ("macs", "least", "verdict"),
    [(0.95, None, "pass"), (0.95, 0.9, "pass"), (0.85, 0.9, "miss"), (0.3, None, "warn"), (0.3, 0.2, "pass")],
)
def test_how_much_an_accelerator_takes(macs: float, least: float | None, verdict: str) -> None:
    coverage = Coverage(device="Edge TPU", operators=0.4, macs=macs, least=least)
    assert judged(LOGITS, at(30), coverage=coverage).verification.verdict == verdict
    unknown = Coverage(device="NPU", operators=macs, least=least)
    assert judged(LOGITS, at(30), coverage=unknown).verification.verdict == verdict


def test_a_budget_without_an_accelerator_is_said() -> None:
    assert "--min-mapped" in " ".join(judged(LOGITS, at(30), min_mapped=0.9).verification.remarks)


PROBES = ("the first sample", "all zeros", "the first sample again")
ROWS = LOGITS[[0, 1, 0]]


@pytest.mark.parametrize("precision", ["float32", "int8", "dynamic-int8"])
def test_nobody_gets_a_file_that_is_not_finite_where_its_source_is(precision: Precision) -> None:
    got = ROWS.copy()
    got[1, 0, 2] = np.nan
    found = judged(LOGITS, LOGITS, precision, Probed(PROBES, {"y": ROWS}, {"y": got}))
    assert found.refusal == "output y is not finite for all zeros, where the source's is"
    assert found.probe == 1
    assert not judged(LOGITS, LOGITS, precision, Probed(PROBES, {"y": got}, {"y": ROWS})).refusal
    broken = LOGITS.copy()
    broken[5] = np.inf
    assert "for sample 5" in judged(LOGITS, broken, precision).refusal


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_state_must_be_the_sources(precision: Precision) -> None:
    other = ROWS.copy()
    other[2] += 1
    found = judged(LOGITS, LOGITS, precision, Probed(PROBES, {"y": ROWS}, {"y": other}))
    assert "keeps state from run to run" in found.refusal
    assert not found.searchable
    assert "the file does not" in judged(LOGITS, LOGITS, precision, Probed(PROBES, {"y": other}, {"y": ROWS})).refusal
    both = judged(LOGITS, LOGITS, precision, Probed(PROBES, {"y": other}, {"y": other}))
    assert not both.refusal
    assert both.verification.keeps_state
    assert both.verification.verdict == "pass"
    assert "as its source does" in both.verification.remarks[0]


def test_a_float_file_that_is_far_off_on_a_probe_is_warned_about_and_an_int8_one_is_not() -> None:
    got = ROWS.copy()
    got[1] = 0.5
    probed = Probed(PROBES, {"y": ROWS}, {"y": got})
    warned = judged(LOGITS, LOGITS, "float32", probed)
    assert warned.verification.verdict == "warn"
    assert "on all zeros, output y" in warned.verification.reason
    assert not warned.refusal
    assert judged(LOGITS, LOGITS, "int8", probed).verification.verdict == "pass"


@pytest.mark.parametrize(("db", "verdict"), [(30.0, "pass"), (12.0, "warn"), (2.0, "fail")])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_network_that_was_trained_since_may_differ_as_integers_may(
    precision: Precision, db: float, verdict: str
) -> None:
    found = judged(LOGITS, at(db), precision, trained=True)
    assert (found.verification.verdict, found.refusal) == (verdict, "")
    assert judged(LOGITS, at(db), precision).refusal


def test_a_metric_shows_that_a_trained_network_is_of_use() -> None:
    good = TaskMetric(name="top1", samples=1000, source=0.9, artifact=0.89, drop=0.01, chance=0.1)
    assert judged(LOGITS, at(2.0), "float32", trained=True, measured=good).verification.verdict == "warn"
    lost = msgspec.structs.replace(good, artifact=0.1, drop=0.8)
    assert judged(LOGITS, at(2.0), "float32", trained=True, measured=lost).verification.verdict == "fail"
    assert judged(LOGITS, at(2.0), "int8", measured=good).verification.verdict == "fail"


@pytest.mark.parametrize(("width", "verdict"), [(0.1, "pass"), (1.5, "warn"), (4.0, "fail")])
@pytest.mark.parametrize("offset", [300.0, -101_325.0])
def test_steps_as_wide_as_what_changes_are_no_pass(offset: float, width: float, verdict: str) -> None:
    """SQNR counts how far an output lies from 0: it has 45 dB and more here."""
    expected = (offset + np.linspace(-2, 2, 40)[:, None, None]).astype(np.float32)
    rounded = (np.round(expected / width) * width).astype(np.float32)
    found = judged(expected, rounded).verification
    assert found.verdict == verdict
    assert found.sqnr_db is not None
    assert found.sqnr_db > 45
    assert (f"steps of {width:.2g}:" in found.reason) == (verdict != "pass")
    still = judged(expected, rounded, moving=lambda: False).verification
    assert still.verdict != "fail"
    assert "steps of" not in still.reason


@pytest.mark.parametrize(("made", "lost"), [({"y": Made(bounded=True)}, False), ({}, False), ({"y": Made()}, True)])
def test_a_probability_that_hardly_changes_has_no_steps_that_are_too_wide(made: dict[str, Made], lost: bool) -> None:
    expected = (0.6 + np.linspace(-0.002, 0.002, 40)[:, None, None]).astype(np.float32)
    rounded = (np.round(expected * 256) / 256).astype(np.float32)
    case = verify.Case(precision="int8", origin="data", made=made)
    found = verify.judge(case, {"y": expected}, {"y": rounded}).verification
    assert ("steps of" in found.reason) == lost


@pytest.mark.parametrize("kind", ["clipped", "spot", "two values"])
def test_few_values_of_the_source_are_no_steps_of_the_file(kind: str) -> None:
    """The least difference between values that occur is not the file's step: what changes is there."""
    if kind == "clipped":
        expected = np.full((16, 1, 1), 100.0)
        expected[3] = 90
    elif kind == "spot":
        expected = np.full((16, 1, 64), 300.0)
        expected[np.arange(16), 0, np.arange(16)] = 240
    else:
        expected = 2019 + 2.0 * RNG.integers(0, 2, (40, 1, 1))
    rounded = expected + 0.05 * (expected != expected.max())
    assert judged(expected.astype(np.float32), rounded.astype(np.float32)).verification.verdict == "pass"


def test_a_metric_that_holds_shows_that_steps_do_no_harm() -> None:
    expected = (300 + np.linspace(-2, 2, 40)[:, None, None]).astype(np.float32)
    rounded = (np.round(expected / 4) * 4).astype(np.float32)
    held = TaskMetric(name="top1", source=0.9, artifact=0.9, drop=0.0, samples=40, chance=0.1)
    assert judged(expected, rounded).verification.verdict == "fail"
    assert judged(expected, rounded, trained=True, measured=held).verification.verdict == "warn"
