"""The search for a budget: which rungs, when it ends, which file is kept, and what is said if none serves."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine.session import Session
from edgekit.engine.store import Answer, Store
from edgekit.errors import CancelledError, LeafCrashError, OutOfTimeError, Unsupported
from edgekit.host import events
from edgekit.nouns.building import Built, Tried
from edgekit.nouns.description import Description
from edgekit.nouns.lineage import Step
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import Signature
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import BuildOptions, Target, Variant
from edgekit.nouns.verification import Agreement, TaskMetric, Verification
from edgekit.steps import ladder, mixed, rungs
from edgekit.steps.conversion import Subject

pytestmark = pytest.mark.usefixtures("kept_workers")

NOTHING = Signature(inputs=(), outputs=())
INT8 = Variant(file="model_int8.tflite", backend="tflite", precision="int8", use="")
FLOAT_SOURCE = cast("Subject", SimpleNamespace(own=lambda _: None, waist=None))
NO_SAMPLES = cast("Answer[Kept]", None)
ANDROID = Target(name="android", title="", summary="", documentation="", variants=(INT8,))
EDGE_TPU = msgspec.structs.replace(ANDROID, name="edgetpu", precisions=("int8",))
FOREVER = ladder.Search("normal")


def judged(db: float | None, *, budget: float = 30.0, verdict: str = "") -> Verification:
    miss = db is not None and db < budget
    return Verification(
        samples=8, samples_origin="data", outputs=(), sqnr_db=db, threshold_db=15.0, min_sqnr_db=budget,
        verdict=cast("Any", verdict or ("miss" if miss else "pass")),
    )  # fmt: skip


def file(variant: Variant, verification: Verification) -> rungs.File:
    steps = (Step(what="convert", seconds=9.0), Step(what="build", seconds=1.5), Step(what="verify", seconds=0.5))
    described = ArtifactFile(
        file=variant.file, precision=variant.precision, backend=variant.backend, use="", delegate=None, io=None,
        files={}, signature=NOTHING, cost=None, verification=verification, lineage=steps,
    )  # fmt: skip
    return described, Answer(Built(files=(variant.file,), signature=NOTHING), Path(), {}, False, steps)


class Told:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def tell(self, _: str, event: events.Event) -> None:
        if isinstance(event, events.Remark):
            self.lines.append(event.text)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(ladder.speed, "best_ms", lambda *_: 0.25)
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt", Told()) as session:
        yield session


def climbed(
    session: Session, levels: dict[str, float | Exception | None], search: ladder.Search = FOREVER
) -> tuple[ladder.Climb, list[rungs.File]]:
    """A climb to its end, where each way to fit weights comes to so many dB; and each better file."""

    def make(variant: Variant, _: str) -> rungs.File:
        level = levels.get(str(variant.settings.get("weights", "auto")), 20.0)
        if isinstance(level, Exception):
            raise level
        return file(variant, judged(level))

    climb = ladder.Climb(session, FLOAT_SOURCE, INT8, make, search=search, samples=NO_SAMPLES, target=ANDROID)
    return climb, [found[0] for found in ladder.climb([climb])]


def test_a_search_ends_at_the_first_rung_that_meets_the_budget(session: Session) -> None:
    climb, files = climbed(session, {"nearest": 24.0, "bias-correction": 31.0, "learned": 99.0})
    tried = climb.file[0].rungs
    assert [(rung.name, rung.met, rung.chosen) for rung in tried] == [
        ("as the target proposes", False, False),
        ("ranges", False, False),
        ("bias correction", True, True),
    ]
    assert [found.verification.sqnr_db for found, _ in files if found.verification] == [20.0, 24.0, 31.0]
    assert tried[2].settings == {"weights": "bias-correction"}
    assert (tried[2].seconds, tried[2].latency_ms, tried[2].sqnr_db) == (2.0, 0.25, 31.0)
    assert not climb.file[0].warnings


def test_the_best_is_kept_and_what_it_would_take_is_said_if_no_rung_meets_the_budget(session: Session) -> None:
    climb, files = climbed(session, {"nearest": 24.0, "bias-correction": 26.0, "learned": 25.0})
    assert [found.verification.sqnr_db for found, _ in files if found.verification] == [20.0, 24.0, 26.0]
    assert [rung.chosen for rung in climb.file[0].rungs] == [False, False, True, False, False]
    (told,) = climb.file[0].warnings
    assert "bias correction comes closest" in told
    assert "it would take --precision int16x8 or float16, a looser budget" in told
    lines = cast("Told", session.progress).lines
    assert lines[1].startswith(
        "android/model_int8.tflite: ranges: SQNR 24.0 dB, 0.0 KiB, 0.25 ms here, 2.0 s, misses the budget"
    )


WAYS = ("nearest", "bias-correction", "learned")


def tried(chosen: str, *ways: str, problem: str = "") -> tuple[Tried, ...]:
    """What a backend tells of ways to round weights, each a decibel better than the one before."""
    every = [
        Tried(
            settings={"weights": way, "equalization": "off", "ranges": "minmax"},
            level_db=20.0 + k,
            chosen=way == chosen,
        )
        for k, way in enumerate(ways)
    ]
    left = [Tried(settings={"weights": way}, problem=problem) for way in WAYS if way not in ways and problem]
    return (*every, *left)


def with_ways(
    session: Session, told: tuple[Tried, ...], search: ladder.Search = FOREVER
) -> tuple[ladder.Climb, list[Any]]:
    """A climb to its end whose first file was chosen from ways, and the settings of all files that were made."""
    asked: list[Any] = []

    def make(variant: Variant, _: str) -> rungs.File:
        asked.append(variant.settings)
        described, answer = file(variant, judged(20.0))
        result = msgspec.structs.replace(answer.result, tried=told if len(asked) == 1 else ())
        return described, msgspec.structs.replace(answer, result=result)

    climb = ladder.Climb(session, FLOAT_SOURCE, INT8, make, search=search, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    return climb, asked


def test_what_the_first_rung_has_tried_is_not_made_once_more(session: Session) -> None:
    climb, asked = with_ways(session, tried("learned", *WAYS))
    assert asked == [{}, {"weights": "learned", "equalization": "on"}]
    found = {rung.name: rung for rung in climb.file[0].rungs}
    for name, level in (("ranges", 20.0), ("bias correction", 21.0), ("learned rounding", 22.0)):
        assert (found[name].within, found[name].calibration_db) == ("as the target proposes", level)
        assert not found[name].met
    assert not found["equalization"].within
    lines = cast("Told", session.progress).lines
    assert lines[1].endswith("ranges: tried within 'as the target proposes', 20.0 dB on calibration samples")
    (warning,) = climb.file[0].warnings
    assert "after 2 rungs, of which as the target proposes comes closest" in warning
    assert "learned rounding" not in warning, "it was tried"


def test_what_was_not_tried_is(session: Session) -> None:
    _, asked = with_ways(session, tried("nearest", "nearest", "bias-correction"))
    assert asked == [{}, {"weights": "nearest", "equalization": "on"}, {"weights": "learned"}]
    quick, _ = with_ways(session, tried("nearest", "nearest", "bias-correction"), ladder.Search("quick"))
    assert "--effort thorough also tries learned rounding, searched ranges" in quick.file[0].warnings[0]
    everything, _ = with_ways(session, tried("learned", *WAYS), ladder.Search("quick"))
    assert "--effort thorough also tries searched ranges" in everything.file[0].warnings[0]


def test_what_cannot_be_done_is_told_once_and_not_tried(session: Session) -> None:
    climb, asked = with_ways(session, tried("nearest", "nearest", problem="Too few samples."))
    assert asked == [{}, {"weights": "nearest", "equalization": "on"}]
    problems = {rung.name: rung.problem for rung in climb.file[0].rungs if rung.problem}
    assert problems == dict.fromkeys(("bias correction", "learned rounding"), "Too few samples.")
    assert "android/model_int8.tflite: learned rounding: Too few samples" in cast("Told", session.progress).lines


def test_operators_leave_a_file_that_is_made_as_its_backend_chose() -> None:
    told = tried("learned", *WAYS)
    described, answer = file(INT8, judged(20.0))
    made = msgspec.structs.replace(answer, result=msgspec.structs.replace(answer.result, tried=told))
    best = rungs.Attempt(rungs.Rung(name="any", settings={"weights": "auto"}), described, made)
    as_made = {"weights": "learned", "equalization": "off", "ranges": "minmax"}
    chosen = mixed.FloatSet(frozenset({3, 1}), 2.0, 0.5)
    assert rungs.floating(best, chosen).settings == as_made | {"float_operators": (1, 3)}
    assert rungs.controlled(best, 30.0).settings == as_made | {"least_db": 30.0}


def test_only_what_the_target_offers_is_proposed(session: Session) -> None:
    def make(variant: Variant, _: str) -> rungs.File:
        return file(variant, judged(20.0))

    bound = msgspec.structs.replace(INT8, backend="edgetpu", base="tflite")
    climb = ladder.Climb(session, FLOAT_SOURCE, bound, make, search=FOREVER, samples=NO_SAMPLES, target=EDGE_TPU)
    list(ladder.climb([climb]))
    assert "it would take a looser budget" in climb.file[0].warnings[0]


def test_a_file_of_floats_wants_more_bits_and_no_samples(session: Session) -> None:
    for precision, wanted in (("float16", "--precision float32 or a looser budget"), ("float32", "a looser budget")):
        variant = msgspec.structs.replace(INT8, precision=cast("Any", precision))

        def make(variant: Variant, _: str) -> rungs.File:
            return file(variant, judged(20.0))

        climb = ladder.Climb(
            session, FLOAT_SOURCE, variant, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID
        )  # fmt: skip
        list(ladder.climb([climb]))
        assert climb.file[0].warnings[0].endswith(f"it would take {wanted}")


def test_what_more_effort_would_try_is_said(session: Session) -> None:
    climb, _ = climbed(session, {"nearest": 24.0, "bias-correction": 26.0}, ladder.Search("quick"))
    assert "--effort thorough also tries learned rounding" in climb.file[0].warnings[0]


def test_a_rung_that_cannot_be_built_is_recorded_and_passed_by(session: Session) -> None:
    broken = Unsupported("No such kernel.")
    climb, _ = climbed(session, {"nearest": broken, "bias-correction": 20.0, "learned": broken})
    assert [rung.problem for rung in climb.file[0].rungs] == ["", "No such kernel.", "", "", "No such kernel."]
    with pytest.raises(Unsupported, match="No such kernel"):
        climbed(session, dict.fromkeys(("auto", "nearest", "bias-correction", "learned"), broken))


def test_a_crash_costs_a_rung_and_not_the_file(session: Session) -> None:
    crash = LeafCrashError("tflite failed in build", "log.txt")
    climb, _ = climbed(session, {"nearest": 20.0, "bias-correction": crash, "learned": 31.0})
    assert [rung.met for rung in climb.file[0].rungs] == [False, False, False, False, True]
    with pytest.raises(LeafCrashError):
        climbed(session, {"auto": crash})
    with pytest.raises(CancelledError):
        climbed(session, {"nearest": 20.0, "bias-correction": CancelledError()})


def test_files_of_the_target_that_meet_the_budget_are_named(session: Session) -> None:
    def make(variant: Variant, _: str) -> rungs.File:
        return file(variant, judged(20.0 if variant.file == INT8.file else 60.0))

    fixed = msgspec.structs.replace(INT8, file="own.tflite", settings={"weights": "nearest"})
    half = msgspec.structs.replace(INT8, file="model_float16.tflite", precision="float16")
    climbs = [
        ladder.Climb(session, FLOAT_SOURCE, one, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID)
        for one in (INT8, half, fixed)
    ]
    list(ladder.climb(climbs))
    assert (
        "model_float16.tflite and own.tflite meet it; --effort thorough also tries searched ranges; else it would take"
        in climbs[0].file[0].warnings[0]
    )
    assert cast("Told", session.progress).lines[0].startswith("android/model_int8.tflite: as the target proposes")


def test_a_search_out_of_time_keeps_its_first_file(session: Session) -> None:
    past = ladder.Search("normal", time.monotonic() - 1)
    climb, files = climbed(session, {"auto": 24.0, "nearest": 99.0, "bias-correction": 99.0, "learned": 99.0}, past)
    assert [found.verification.sqnr_db for found, _ in files if found.verification] == [24.0], (
        "what a plain build makes"
    )
    (told,) = climb.file[0].warnings
    assert "the time limit was over after 1 rung, as the target proposes; " in told
    lines = cast("Told", session.progress).lines
    assert "the time limit was over before this file was there: it does not hold for the first one" in lines[-1]
    assert "not tried are ranges, bias correction, equalization, learned rounding" in told
    soon = ladder.Search("normal", time.monotonic() + 60)
    climb, files = climbed(session, {"nearest": OutOfTimeError("Late."), "learned": 99}, soon)
    assert (len(files), len(climb.file[0].rungs)) == (1, 1)


def test_a_file_that_misses_one_of_two_demands_goes_before_one_that_misses_both_by_less(session: Session) -> None:
    levels = {"auto": (20.0, 0.95), "nearest": (29.9, 0.985), "bias-correction": (30.0, 0.95), "learned": (29.8, 0.99)}

    def make(variant: Variant, _: str) -> rungs.File:
        db, share = levels[str(variant.settings.get("weights", "auto"))]
        agreed = Agreement(
            output="y", identical=False, sqnr_db=db, max_abs_error=1.0, cosine=None, top1_agreement=share
        )  # fmt: skip
        return file(variant, msgspec.structs.replace(judged(db), outputs=(agreed,), min_agreement=0.99))

    climb = ladder.Climb(session, FLOAT_SOURCE, INT8, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID)
    better = [found[0][0].verification for found in ladder.climb([climb])]
    assert [found.sqnr_db for found in better if found is not None] == [20.0, 29.9, 30.0, 29.8]
    (told,) = climb.file[0].warnings
    assert "learned rounding comes closest" in told, "it misses one demand, by less than the file before"


def test_a_call_of_a_leaf_ends_with_the_time_of_its_search(session: Session) -> None:
    with session.until(time.monotonic() - 1), pytest.raises(OutOfTimeError):
        session.reader().read(
            "x", origin="x", signature=NOTHING, description=Description(), folder=Path(), out=Path("nowhere")
        )


def test_what_is_said_stands_and_makes_no_rung_twice() -> None:
    said = msgspec.structs.replace(INT8, settings={"weights": "nearest", "equalization": "off", "per_channel": False})
    assert [rung.settings for rung in rungs.of(said, "thorough")] == [{}, {"ranges": "searched"}]
    assert [rung.name for rung in rungs.of(INT8, "normal")] == [
        "as the target proposes",
        "ranges",
        "bias correction",
        "equalization",
        "learned rounding",
    ]
    assert [rung.name for rung in rungs.of(INT8, "thorough")][-1] == "searched ranges"
    assert [rung.name for rung in rungs.of(INT8, "quick")][1:] == ["ranges", "bias correction", "equalization"]
    four = msgspec.structs.replace(INT8, precision="int4")
    assert [rung.name for rung in rungs.of(four, "normal")][1:] == [
        "nearest level",
        "bias correction",
        "learned rounding",
    ]
    assert len(rungs.of(four, "normal", calibrated=False)) == len(rungs.of(INT8, "normal")[:1])
    plug_in = msgspec.structs.replace(INT8, backend="own")
    assert [rung.name for rung in rungs.of(plug_in, "thorough")] == ["as the target proposes"]


def test_floats_and_integers_of_the_source_are_made_once(session: Session) -> None:
    def make(variant: Variant, _: str) -> rungs.File:
        return file(variant, judged(10.0))

    floats = msgspec.structs.replace(INT8, precision="float16")
    integers = cast("Subject", SimpleNamespace(own=lambda _: object()))
    for subject, variant in ((FLOAT_SOURCE, floats), (integers, INT8)):
        climb = ladder.Climb(session, subject, variant, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID)
        assert len(list(ladder.climb([climb]))) == 1
        assert [rung.settings for rung in climb.file[0].rungs] == [{}]


@given(
    st.floats(0, 0.5), st.floats(-0.5, 0.5), st.floats(0.01, 1), st.floats(0, 1), st.floats(1, 60), st.floats(-9, 70)
)
def test_nothing_is_short_exactly_if_each_demand_is_met(
    most: float, drop: float, least: float, share: float, least_db: float, db: float
) -> None:
    agreed = Agreement(
        output="y", identical=False, sqnr_db=db, max_abs_error=1.0, cosine=None, top1_agreement=share
    )  # fmt: skip
    found = Verification(
        samples=8, samples_origin="data", outputs=(agreed,), sqnr_db=db, threshold_db=15.0, verdict="pass",
        metric=TaskMetric(name="top1", samples=8, source=0.9, artifact=0.9 - drop, drop=drop),
        max_drop=most, min_agreement=least, min_sqnr_db=least_db,
    )  # fmt: skip
    met = drop <= most and share >= least and db >= least_db
    assert (not rungs.shortfalls(found)) == met
    assert all(lack > 0 for lack in rungs.shortfalls(found))


@pytest.mark.parametrize(
    ("needed", "effort", "built"),
    [
        (1, "normal", [7, 3, 1]),
        (3, "thorough", [7, 3, 1, 2]),
        (7, "thorough", [7, 3, 5, 6]),
        (9, "normal", [7]),
        (1, "quick", []),
    ],
)
def test_float_operators_halve_the_error_until_the_budget_is_met_and_are_then_made_fewer(
    session: Session, monkeypatch: pytest.MonkeyPatch, needed: int, effort: Any, built: list[int]
) -> None:
    sets = tuple(mixed.FloatSet(frozenset(range(k)), float(k), 0.7**k) for k in range(1, 8))
    monkeypatch.setattr(ladder.mixed, "sets", lambda *_: sets)
    asked: list[int] = []

    def make(variant: Variant, _: str) -> rungs.File:
        operators = cast("tuple[int, ...]", variant.settings.get("float_operators", ()))
        asked.extend([len(operators)] if operators else [])
        assert variant.settings.get("weights", "auto") in {"learned", "nearest", "bias-correction", "auto"}
        return file(variant, judged(31.0 if len(operators) >= needed else 20.0 + len(operators)))

    source = cast("Subject", SimpleNamespace(own=lambda _: None, waist=object(), read_by=lambda _: True))
    search = ladder.Search(effort)
    for variant in (INT8, msgspec.structs.replace(INT8, settings={"full_integer": True})):
        climb = ladder.Climb(session, source, variant, make, search=search, samples=NO_SAMPLES, target=ANDROID)
        list(ladder.climb([climb]))
        if variant is INT8:
            assert asked == built
            best = climb.best
            assert best is not None
            assert len(best.file.rungs) == 0
            chosen = next(rung for rung in climb.file[0].rungs if rung.chosen)
            assert chosen.met == (needed in built)
            assert chosen.settings.get("float_operators", ()) == tuple(
                range(needed if chosen.met else (built or [0])[-1])
            )
    assert asked == built  # nothing more: a target of integers alone has no such rung


def test_openvino_is_asked_for_more_and_more_decibels(session: Session) -> None:
    asked: list[float] = []

    def make(variant: Variant, _: str) -> rungs.File:
        least_db = cast("float", variant.settings.get("least_db", 0.0))
        asked.extend([least_db] if least_db else [])
        if least_db > 30:
            raise Unsupported("For so many decibels most of the weights would have to be float.")
        return file(variant, judged(max(22.0, least_db), budget=40.0))

    openvino = msgspec.structs.replace(INT8, backend="openvino", file="model_int8.xml")
    climb = ladder.Climb(session, FLOAT_SOURCE, openvino, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    assert asked == [26.0, 32.0]
    tried = climb.file[0].rungs
    assert [rung.name for rung in tried if rung.chosen] == ["mixed precision for 26.0 dB"]
    assert tried[-1].problem.startswith("For so many decibels")
    assert rungs.told(tried[-1]).endswith("would have to be float")  # a comma may follow
    asked.clear()
    thorough = ladder.Search("thorough")
    climb = ladder.Climb(session, FLOAT_SOURCE, openvino, make, search=thorough, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    assert asked == [24.0, 26.0, 29.0, 32.0]  # not 37: what cannot reach 32 dB cannot reach more
    named = msgspec.structs.replace(openvino, settings={"float_operators": ("Softmax",)})
    climb = ladder.Climb(session, FLOAT_SOURCE, named, make, search=FOREVER, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    assert not any("mixed" in rung.name for rung in climb.file[0].rungs)


@pytest.mark.parametrize("tried", ["evened", "impossible", "large"])
def test_openvino_is_asked_for_evened_channels_unless_it_has_tried_them(session: Session, tried: str) -> None:
    asked: list[Any] = []
    plain = Tried(settings={"weights": "learned", "ranges": "minmax", "equalization": "off"}, level_db=20.0)
    even = Tried(settings=plain.settings | {"equalization": "activations"}, level_db=24.0, chosen=True)
    known = {
        "evened": (plain, even),
        "impossible": (
            msgspec.structs.replace(plain, chosen=True),
            Tried(settings={"equalization": "activations"}, problem="there is nothing to even"),
        ),
        "large": (Tried(settings={"weights": "bias-correction", "ranges": "minmax"}, chosen=True),),
    }[tried]

    def make(variant: Variant, _: str) -> rungs.File:
        asked.append(variant.settings)
        described, answer = file(variant, judged(22.0))
        return described, msgspec.structs.replace(answer, result=msgspec.structs.replace(answer.result, tried=known))

    openvino = msgspec.structs.replace(INT8, backend="openvino", file="model_int8.xml")
    quick = ladder.Search("quick")
    climb = ladder.Climb(session, FLOAT_SOURCE, openvino, make, search=quick, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    (rung,) = [rung for rung in climb.file[0].rungs if rung.name == "equalization"]
    assert (rung.within, rung.calibration_db) == (("as the target proposes", 24.0) if tried == "evened" else ("", None))
    assert rung.problem == ("there is nothing to even" if tried == "impossible" else "")
    wanted = {"weights": "bias-correction", "equalization": "activations"}
    assert (wanted in asked) == (tried == "large")


def test_decibels_that_a_file_has_already_are_not_asked_for_again(session: Session) -> None:
    asked: list[float] = []

    def make(variant: Variant, _: str) -> rungs.File:
        least_db = cast("float", variant.settings.get("least_db", 0.0))
        asked.extend([least_db] if least_db else [])
        described, answer = file(variant, judged(22.0))
        level = max(least_db, 33.0) if least_db else 30.0
        told = (Tried(settings={"weights": "learned", "ranges": "minmax"}, level_db=level, chosen=True),)
        return described, msgspec.structs.replace(answer, result=msgspec.structs.replace(answer.result, tried=told))

    openvino = msgspec.structs.replace(INT8, backend="openvino", file="model_int8.xml")
    thorough = ladder.Search("thorough")
    climb = ladder.Climb(session, FLOAT_SOURCE, openvino, make, search=thorough, samples=NO_SAMPLES, target=ANDROID)
    list(ladder.climb([climb]))
    assert asked == [32.0, 35.0, 38.0, 41.0, 46.0], "from the calibration samples on, and from what there is"


def test_time_runs_from_the_start_of_the_build() -> None:
    assert ladder.search(BuildOptions(), 5.0) is None
    assert ladder.search(BuildOptions(effort="quick"), 5.0) == ladder.Search("quick", None)
    assert ladder.search(BuildOptions(effort="thorough", time_limit_s=60.0), 5.0) == ladder.Search("thorough", 65.0)


def attempt(db: float, cost: float, *, met: bool = False) -> rungs.Attempt:
    described, answer = file(INT8, judged(db, budget=db - 1 if met else 90.0))
    return rungs.Attempt(msgspec.structs.replace(RUNG, met=met, sqnr_db=db), described, answer, cost)


RUNG = rungs.Rung(name="any")


@pytest.mark.parametrize(
    ("gained_db", "cost", "met", "better"),
    [(0.2, 5.0, False, False), (0.6, 5.0, False, True), (0.2, 0.0, False, True), (0.2, 5.0, True, True)],
)
def test_float_operators_that_gain_nothing_measurable_are_not_kept(
    gained_db: float, cost: float, met: bool, better: bool
) -> None:
    assert rungs.is_better(attempt(30 + gained_db, cost, met=met), attempt(30, 0.0)) is better


@pytest.mark.parametrize(
    ("mine_ms", "best_ms", "cost", "better"),
    [
        (0.012, 0.006, 1.0, True),  # as fast as anyone can tell, and it costs less
        (0.006, 0.012, 3.0, False),
        (1.05, 1.0, 1.0, True),
        (1.0, 1.05, 3.0, False),
        (1.0, 1.2, 3.0, True),
        (1.2, 1.0, 1.0, False),
        (0.04, 0.2, 3.0, True),
        (None, 0.2, 1.0, True),
        (None, 0.2, 3.0, False),
        (9.0, None, 1.0, True),
    ],
)
def test_latencies_decide_only_if_they_can_be_told_apart(
    mine_ms: float | None, best_ms: float | None, cost: float, better: bool
) -> None:
    mine, best = (
        msgspec.structs.replace(one, rung=msgspec.structs.replace(one.rung, latency_ms=latency_ms))
        for one, latency_ms in ((attempt(30.0, cost, met=True), mine_ms), (attempt(30.0, 2.0, met=True), best_ms))
    )
    assert rungs.is_better(mine, best) is better
