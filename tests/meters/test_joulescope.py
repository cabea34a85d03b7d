"""The leaf against a driver that speaks the real library's interface, and against the real one without hardware."""

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pyjoulescope_driver
import pytest
from pyjoulescope_driver import time64

from edgekit.engine.worker import Worker
from edgekit.errors import DeviceError
from edgekit.measure.integral import window
from edgekit.meters import joulescope
from edgekit.meters.joulescope import Joulescope
from edgekit.nouns.sensing import Availability
from tests.meters.sensor_trees import LOCAL, probe_of

PATH = "u/js220/000415"


class Bench:
    """One instrument on the desk: what the driver finds, and what the instrument sends."""

    paths: ClassVar[list[str]] = [PATH]
    watts: ClassVar[float] = 2.5
    late_s: ClassVar[float] = 0.0
    fails: ClassVar[Exception | None] = None
    open_drivers: ClassVar[list["FakeDriver"]] = []


class FakeDriver:
    """The part of `pyjoulescope_driver.Driver` that the leaf uses, with its own thread for callbacks."""

    def __init__(self, timeout: float | None = None) -> None:
        self.published: dict[str, Any] = {}
        self.subscribed: dict[str, Callable[[str, Any], None]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        Bench.open_drivers.append(self)

    def __enter__(self) -> "FakeDriver":
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        self.finalize()

    def device_paths(self, specs: Any = None, brand: Any = None, timeout: Any = None) -> list[str]:
        return Bench.paths

    def open(self, device_prefix: str, mode: Any = None, timeout: Any = None) -> None:
        if Bench.fails is not None:
            raise Bench.fails
        assert device_prefix in Bench.paths

    def publish(self, topic: str, value: Any, timeout: Any = None) -> None:
        self.published[topic] = value

    def subscribe(self, topic: str, flags: Any, fn: Callable[[str, Any], None], timeout: Any = None) -> None:
        assert flags == "pub"
        self.subscribed[topic] = fn
        if topic.endswith("/s/stats/value"):
            self._thread.start()

    def finalize(self, timeout: Any = None) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self in Bench.open_drivers:
            Bench.open_drivers.remove(self)

    def _send(self) -> None:
        begin = time.monotonic()
        while not self._stop.wait(0.05):
            now = time.monotonic()
            topic = next(topic for topic in self.subscribed if topic.endswith("/s/stats/value"))
            utc = time64.as_time64(time.time())
            time.sleep(Bench.late_s)
            self.subscribed[topic](
                topic,
                {
                    "time": {"utc": {"value": [utc - time64.SECOND // 20, utc], "units": "time64"}},
                    "accumulators": {"energy": {"value": Bench.watts * (now - begin), "units": "J"}},
                },
            )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bench]]:
    monkeypatch.setattr(joulescope, "Driver", FakeDriver)
    for name, value in {"paths": [PATH], "watts": 2.5, "late_s": 0.0, "fails": None}.items():
        monkeypatch.setattr(Bench, name, value)
    yield Bench
    assert not Bench.open_drivers, "a driver was left open"


def test_the_stand_in_has_the_real_librarys_methods() -> None:
    for name, method in inspect.getmembers(FakeDriver, inspect.isfunction):
        if not name.startswith("_"):
            assert callable(getattr(pyjoulescope_driver.Driver, name)), name
            assert method.__code__.co_argcount >= 1


def test_energy_is_that_of_the_instrument_on_this_hosts_clock(bench: type[Bench]) -> None:
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    meter.start(probe)
    (driver,) = bench.open_drivers
    assert driver.published[f"{PATH}/s/stats/scnt"] == 50_000
    assert driver.published[f"{PATH}/s/i/range/mode"] == "auto"
    time.sleep(0.3)
    begin_s = time.monotonic()
    time.sleep(1.0)
    end_s = time.monotonic()
    time.sleep(0.3)
    trace = meter.stop(probe, None)
    assert (trace.invalid, trace.quantity, trace.provenance) == ("", "energy", "external_meter")
    seen = window(trace, begin_s, end_s)
    assert abs(seen.joules - 2.5 * (end_s - begin_s)) <= seen.half_width_j
    assert seen.joules == pytest.approx(2.5 * (end_s - begin_s), rel=0.05)


def test_a_late_message_counts_at_the_time_of_its_last_sample(
    bench: type[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "late_s", 0.3)
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    begin_s = time.monotonic()
    meter.start(probe)
    time.sleep(1.0)
    trace = meter.stop(probe, None)
    first = trace.rails["supply"].t_s[0]
    assert 0 < first - begin_s < 0.25  # it arrived 0.35 s after the begin


def test_a_js110_is_told_to_stream(bench: type[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "paths", ["u/js110/002557"])
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    meter.start(probe)
    published = bench.open_drivers[0].published
    assert published["u/js110/002557/s/stats/scnt"] == 100_000
    assert published["u/js110/002557/s/i/ctrl"] == "on"
    meter.stop(probe, None)


def test_an_instrument_that_is_unplugged_is_an_error(bench: type[Bench]) -> None:
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    meter.start(probe)
    bench.open_drivers[0].subscribed["@/!remove"]("@/!remove", PATH)
    with pytest.raises(DeviceError, match="unplugged"):
        meter.stop(probe, None)


def test_an_instrument_that_says_nothing_gives_nothing(bench: type[Bench]) -> None:
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    meter.start(probe)
    assert "read 0 times" in meter.stop(probe, None).invalid


def test_two_instruments_are_one_too_many(bench: type[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "paths", [PATH, "u/js220/000416", "u/&js220/000417", "u/minibitty/1"])
    found = Joulescope().available(LOCAL, ())
    assert found.reason == f"several: {PATH}, u/js220/000416"


def test_an_instrument_in_use_is_an_error_with_a_fix(bench: type[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "fails", TimeoutError("jsdrv_open timed out"))
    meter = Joulescope()
    probe = probe_of(meter.available(LOCAL, ()))
    with pytest.raises(DeviceError, match="timed out") as error:
        meter.start(probe)
    assert "close other programs" in error.value.fix


def test_the_real_library_without_hardware(worker: Worker) -> None:
    found: Availability = worker.call("meters", "joulescope", "available", device=LOCAL, seen=())
    assert found.reason == "no Joulescope is attached to this host"
    assert "plug it in" in found.fix


def test_the_real_library_cannot_open_what_is_not_there(worker: Worker) -> None:
    probe = probe_of(Joulescope().offer(joulescope.Probe(meter="joulescope", settings={"path": PATH})))
    with pytest.raises(DeviceError, match="does not answer") as error:
        worker.call("meters", "joulescope", "start", probe=probe)
    assert error.value.place == PATH
