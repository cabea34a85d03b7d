"""OpenVINO's int8 by the words that users know: ranges, weights, operators that stay float, decibels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino.libraries import CORE, operators, ov
from edgekit.backends.openvino.quantization import choice, control, telling
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Job
from tests import networks
from tests.backends.openvino.test_openvino import build


@pytest.fixture(scope="module")
def waist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.classifier(tmp_path_factory.mktemp("words") / "waist.tflite")


def job(waist: Path, **settings: Any) -> Job:
    """A job whose channels are not evened unless that is asked for."""
    given = networks.samples(networks.signature(waist), 48)
    return networks.job(waist, "int8", calibration=given, settings={"equalization": "off"} | settings)


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({"weights": "nearest"}, "'disable_bias_correction': True"),
        ({"weights": "bias-correction"}, '<fast_bias_correction value="True" />'),
        ({"weights": "learned", "ranges": "p99.9"}, '<fast_bias_correction value="False" />'),
        ({"weights": "nearest", "ranges": "minmax", "per_channel": False}, "'per_channel': False"),
    ],
)
def test_words_reach_nncf(worker: Worker, waist: Path, tmp_path: Path, settings: dict[str, Any], written: str) -> None:
    made = build(worker, job(waist, **settings), tmp_path / "out")
    assert written in (tmp_path / "out" / "model.xml").read_text()
    assert not any("biases are" in note for note in made.notes)


@pytest.mark.study
def test_the_way_that_errs_least_on_samples_held_out_stays(worker: Worker, waist: Path, tmp_path: Path) -> None:
    made = build(worker, job(waist, weights="auto", equalization="auto"), tmp_path / "out")
    (biases,) = [note for note in made.notes if note.startswith("biases are")]
    (ranges,) = [note for note in made.notes if note.startswith("ranges are found by")]
    for told, ways in ((biases, telling.BIASES.values()), (ranges, ("histogram", "minmax", "nncf"))):
        levels = {way: float(told.split(f"{way} ")[-1].split()[0]) for way in ways}
        chosen = told.split(":")[0].removeprefix("biases are ").removeprefix("ranges are found by ")
        assert levels[chosen] >= max(levels.values()) - choice.TIE_DB - 0.05
    assert biases.endswith("on calibration samples that were held out")
    assert {one.settings["weights"] for one in made.tried if one.settings["equalization"] == "off"} == {*telling.BIASES}
    assert max(one.level_db or 0 for one in made.tried) - choice.TIE_DB <= next(
        one.level_db or 0 for one in made.tried if one.chosen
    )
    again = build(worker, job(waist, **made.chosen), tmp_path / "again")
    assert again.chosen == made.chosen
    files = [tmp_path / folder / "model.bin" for folder in ("out", "again")]
    assert files[0].read_bytes() == files[1].read_bytes(), "what was chosen makes the same file again"


def test_named_operators_stay_float(worker: Worker, waist: Path, tmp_path: Path) -> None:
    kinds = {}
    for name, settings in {"all": {}, "some": {"float_operators": ["MATMUL"]}}.items():
        made = build(worker, job(waist, weights="nearest", **settings), tmp_path / name)
        kinds[name] = {p.status for p in made.placements if p.operator == "FullyConnected"}
    assert kinds["all"] <= {"u8", "i8"}
    assert kinds["some"] == {"f32"}
    for wrong, error in ((["MATML"], InputError), ([3], Unsupported)):
        with pytest.raises(error, match=r"no operator MATML|3 names none"):
            build(worker, job(waist, float_operators=wrong), tmp_path / "wrong")


def test_operators_leave_int8_for_decibels_but_not_most_of_them(worker: Worker, waist: Path, tmp_path: Path) -> None:
    build(worker, job(waist, weights="nearest", least_db=5.0), tmp_path / "few")
    with pytest.raises(Unsupported, match="most of the weights would have to be float"):
        build(worker, job(waist, weights="nearest", least_db=119.0), tmp_path / "most")


def test_trials_are_judged_on_other_samples_by_what_goes_into_the_softmax(waist: Path) -> None:
    floats = CORE.read_model(str(waist))
    name, shape = floats.inputs[0].any_name, tuple(floats.inputs[0].shape)
    samples = [{name: np.full(shape, value, np.float32)} for value in np.linspace(0, 1, 30)]
    calibrating, judging = choice.held_out(samples)
    assert not {id(sample) for sample in calibrating} & {id(sample) for sample in judging}
    assert (len(calibrating), len(judging)) == (20, 10)
    assert choice.held_out(samples[:5]) == (samples[:5], samples[:5])
    parts = choice.Trials(calibrating, judging, choice.between(judging, 1.0))
    assert len(parts.between) == control.SAMPLES
    asked: list[choice.Way] = []

    def make(way: choice.Way, given: list[choice.Sample]) -> Any:
        assert given is calibrating
        asked.append(way)
        return floats

    chosen, levels = choice.best(floats, make, ("a", "b"), ("x", "y"), parts)
    assert (chosen, asked) == (("a", "x"), [("a", "x"), ("b", "x"), ("a", "y")])
    assert set(levels.values()) == {control.MOST_DB}
    assert choice.best(floats, make, ("b",), ("y",), parts) == (("b", "y"), {})
    assert len(choice._told(floats, choice._hidden(floats)).outputs) == len(floats.outputs) + 1
    assert control.macs(floats) < control.MOST_MACS


@pytest.mark.parametrize(("noise", "taken"), [(1e-4, True), (9.7e-4, False)])
def test_what_nncf_does_untold_is_tried_and_must_be_clearly_better(waist: Path, noise: float, *, taken: bool) -> None:
    floats = CORE.read_model(str(waist))
    name, shape = floats.inputs[0].any_name, tuple(floats.inputs[0].shape)
    samples = [{name: np.full(shape, value, np.float32)} for value in np.linspace(0, 1, 6)]
    noises = {("nearest", "histogram"): 1e-3, ("nearest", "nncf"): 2e-3, choice.DEFAULT: noise}

    def make(way: choice.Way, _: list[choice.Sample]) -> Any:
        made = floats.clone()
        for result in made.get_results():
            value = result.input_value(0)
            off = operators.multiply(value, operators.constant(np.float32(1 + np.sqrt(noises.get(way, 1.0)))))
            result.input(0).replace_source_output(off.output(0))
        return made

    biases, estimators = ("nearest", "bias-correction"), ("histogram", "nncf")
    chosen, levels = choice.best(floats, make, biases, estimators, choice.Trials(samples, samples, []))
    assert chosen == (choice.DEFAULT if taken else ("nearest", "histogram"))
    assert choice.DEFAULT in levels
    assert any(note.startswith("NNCF's default") for note in telling.compared(chosen, levels))


def line(*shape: int) -> Any:
    """A network that gives its input back, through a product with 1."""
    x = operators.parameter(list(shape), np.float32, name="x")
    return ov.Model([operators.multiply(x, operators.constant(np.float32(1)))], [x])


def off(floats: Any, by: Callable[[Any], Any]) -> Any:
    """The same with something added to its result."""
    made = floats.clone()
    (result,) = made.get_results()
    value = result.input_value(0)
    result.input(0).replace_source_output(operators.add(value, by(value)).output(0))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_mixtures_tell_what_few_samples_hide(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(int(size) for size in random.integers(1, 5, 2))
    floats = line(*shape)
    samples = [{"x": random.integers(-5, 5, shape).astype(np.float32)} for _ in range(8)]
    waves, noise = (operators.constant(np.float32(value)) for value in (2 * np.pi, 1e-2))
    ways = {
        "nearest": off(floats, lambda value: operators.sin(operators.multiply(value, waves))),  # nothing at integers
        "learned": off(floats, lambda _: noise),
    }
    chosen = {
        len(mixed): choice.best(
            floats, lambda way, _: ways[way[0]], tuple(ways), ("histogram",), choice.Trials(samples, samples, mixed)
        )[0][0]
        for mixed in ([], choice.between(samples, 1.0))
    }
    assert chosen == {0: "nearest", control.SAMPLES: "learned"}


def test_samples_that_give_nan_in_the_float_network_do_not_blind_the_choice() -> None:
    x = operators.parameter([3], np.float32, name="x")
    floats = ov.Model([operators.sqrt(x)], [x])
    good = [{"x": np.full(3, value, np.float32)} for value in (1, 2, 3)]
    bad = [{"x": np.array([1, -1, 2], np.float32)}, {"x": np.full(3, np.inf, np.float32)}]
    made = off(floats, lambda value: operators.multiply(value, operators.constant(np.float32(0.01))))
    assert control.closeness(floats, [bad[0], *good, bad[1]])(made) == pytest.approx(40.0, abs=0.01)
    assert control.closeness(floats, bad)(made) == control.MOST_DB
    broken = off(floats, lambda value: operators.log(operators.subtract(value, operators.constant(np.float32(1.5)))))
    assert control.closeness(floats, good)(broken) == -control.MOST_DB


def test_what_a_target_says_of_biases_stands() -> None:
    assert NncfSettings().biases == ("nearest", "bias-correction", "learned")
    assert NncfSettings().estimators == ("histogram", "minmax", "nncf")
    assert NncfSettings(weights="learned").estimators == ("histogram",)
    assert NncfSettings(fast_bias_correction=True).biases == ("bias-correction",)
    assert NncfSettings(fast_bias_correction=False).biases == ("learned",)
    assert NncfSettings(fast_bias_correction=False, weights="nearest").biases == ("nearest",)
    assert NncfSettings(ranges="least-squares", range_estimator="nncf").estimator == "histogram"


def detector(joins: int, *, moved: bool) -> Any:
    """Boxes in pixels joined with scores, at the end of one head or of several, the boxes an output as well."""
    x = operators.parameter([1, 6, 8], np.float32, name="x")
    heads = []
    for head in range(joins):
        boxes = operators.multiply(x, operators.constant(np.float32(100 + head)))
        joined = operators.concat([boxes, operators.sigmoid(x)], axis=1)
        heads.append(operators.transpose(joined, operators.constant(np.array([0, 2, 1]))) if moved else joined)
    last = heads[0] if joins == 1 else operators.concat(heads, axis=1)
    return ov.Model([last, boxes], [x])


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("joins", [1, 2, 3])
def test_ways_are_judged_by_scores_beside_boxes(joins: int, *, moved: bool) -> None:
    floats = detector(joins, moved=moved)
    samples = [{"x": np.random.default_rng(seed).standard_normal((1, 6, 8)).astype(np.float32)} for seed in range(6)]
    judge = choice.HeldOutJudge(floats, choice.Trials(samples, samples, []))
    made = floats.clone()
    assert judge(made) == control.MOST_DB
    for node in made.get_ordered_ops():
        if node.get_type_name() == "Sigmoid":
            lost = operators.multiply(node.output(0), operators.constant(np.float32(0)))
            for target in node.output(0).get_target_inputs():
                if target.get_node().get_type_name() == "Concat":
                    target.replace_source_output(lost.output(0))
    assert judge(made) < 10
    assert control.closeness(floats, samples)(made) > 30


def joined(factor: float) -> Any:
    """Half of the inputs, a branch that is 0 throughout, and a constant, joined; and the branch with an error beside it."""
    x = operators.parameter([1, 4], np.float32, name="x")
    still = operators.multiply(
        operators.relu(operators.negative(operators.abs(x))), operators.constant(np.float32(factor))
    )
    still = operators.add(still, operators.constant(np.float32(factor - 1)))
    half = operators.multiply(x, operators.constant(np.float32(0.5)))
    constant = operators.constant(np.ones((1, 4), np.float32))
    return ov.Model([operators.concat([half, still, constant], 1)], [x])


def test_neither_a_constant_nor_a_branch_that_stays_0_decides_for_a_way() -> None:
    floats = joined(1.0)
    hidden = choice._hidden(floats)
    assert len(hidden) == 2, "the constant tells nothing"
    samples = [{"x": np.random.default_rng(seed).random((1, 4), np.float32)} for seed in range(4)]
    told = control._closeness(CORE.compile_model(choice._told(floats, hidden), "CPU"), samples, control.MOST_DB)
    other = joined(1.001)
    off = CORE.compile_model(choice._told(other, choice._hidden(other)), "CPU")
    assert told(off, samples) > 40
