"""The nouns of measuring: what is attached, what it is asked to run, and what was seen there.

A transform is cached; a measurement is recorded. A `Profile` is an append-only observation: on
which device, in which state, by which protocol, block by block. What is not known is None, and
``unavailable`` says why; it is never 0.

The unit of replication is the block, a fresh process on the device (`edgekit.measure`).
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from edgekit.nouns.base import Noun
from edgekit.nouns.sensing import Probe, Provenance

Suffix = Literal[".tflite", ".xml", ".onnx"]
"""What a device may be able to run: LiteRT, OpenVINO IR, ONNX."""

Delegate = Literal["xnnpack", "gpu", "nnapi", "edgetpu", "none"]
"""What takes operators off LiteRT's own kernels; ``xnnpack`` is LiteRT's default on a CPU."""

Mode = Literal["time", "idle", "operators", "outputs"]
"""What a block is for: latencies, nothing but the sensors, operator times, or the outputs."""


class DeviceConfig(Noun, frozen=True, kw_only=True):
    """How a device that cannot be discovered is reached: a table ``[devices.ID]``.

    Which kind reads which is in `edgekit.nouns.leaves.DRIVERS`.

    Keys:
        kind: which leaf of `edgekit.drivers` reaches it.
        host: name or address.
        user: login name.
        port: TCP port, 1 to 65535.
        key: file of the private key; the agent's keys without it. There is no key for a password.
        known_hosts: file of accepted host keys, instead of ``~/.ssh/known_hosts``.
        python: the interpreter there that has numpy and a runtime.
        delegate_library: the delegate's library there, for files compiled for the Edge TPU.
        serial_port: the port of a microcontroller, such as ``/dev/ttyACM0``.
        baud: its speed in bits per second.
        cpu: the core that an emulator plays, such as ``cortex-a76``.
        supply_mv: the voltage that feeds it, in mV; a PPK2 sees only the current (`edgekit.meters.ppk2`).
    """

    kind: str
    host: str | None = None
    user: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 22
    key: str | None = None
    known_hosts: str | None = None
    python: str = "python3"
    delegate_library: str | None = None
    serial_port: str | None = None
    baud: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 115200
    cpu: str = "cortex-a76"
    supply_mv: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class State(Noun, frozen=True, kw_only=True):
    """What can change a measurement, read at one moment; None if the device does not tell.

    ``frequencies_khz`` holds one current frequency a core. ``throttled`` are the reasons that hold
    now, in the device's words (``under-voltage``, ``thermal status 2``); empty: it says there are
    none. ``has_throttled`` are those that it remembers since its start. ``load`` is the mean number
    of runnable processes over the last minute.
    """

    utc: str
    governor: str | None = None
    frequencies_khz: tuple[int, ...] | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    has_throttled: tuple[str, ...] | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    load: float | None = None


class Device(Noun, frozen=True, kw_only=True):
    """Something attached that can run an artifact, as it was found.

    ``id`` is what ``--device`` takes: ``local``, an adb serial, or a configured name. ``kind`` is its
    leaf in `edgekit.drivers`. ``runs`` are suffixes of files. ``runtimes`` maps what runs them there
    to its version. ``problems`` say in plain words what is wrong; a device with ``usable`` False
    cannot measure, with ``times`` False it proves outputs but its times mean nothing.
    """

    id: str
    kind: str
    title: str
    os: str | None = None
    cpu: str | None = None
    abi: str | None = None
    cores: int | None = None
    runs: tuple[Suffix, ...] = ()
    runtimes: dict[str, str] = {}
    delegates: tuple[Delegate, ...] = ()
    usable: bool = True
    times: bool = True
    problems: tuple[str, ...] = ()
    state: State | None = None
    config: DeviceConfig | None = None


class Output(Noun, frozen=True, kw_only=True):
    """What a shell line on a device came to."""

    code: int
    stdout: str
    stderr: str = ""


class Run(Noun, frozen=True, kw_only=True):
    """What one block runs.

    ``cores`` pins the process to these CPUs. Warm-up lasts at least ``warm_up_runs`` and
    ``warm_up_s``, and until its latencies stop falling. The block ends when ``min_runs`` and
    ``min_s`` are both reached, at the latest after ``max_s`` or ``max_runs``.
    ``inferences_per_reading`` share a reading of the clock; None leaves the number to the device.
    ``idle_s`` is the length of an ``idle`` block. ``require_full_delegation`` makes a partial one an
    error. ``benchmark_binary`` is the benchmark_model to run on a phone: a path here, or ``download`` for
    Google's own build; without it the one that the phone has, or that was downloaded before.
    """

    mode: Mode = "time"
    threads: int = 1
    delegate: Delegate = "xnnpack"
    require_full_delegation: bool = False
    cores: tuple[int, ...] = ()
    warm_up_runs: int = 10
    warm_up_s: float = 5.0
    min_runs: int = 103
    min_s: float = 6.0
    max_s: float = 60.0
    max_runs: int = 10_000_000
    inferences_per_reading: int | None = None
    idle_s: float = 30.0
    probe: Probe | None = None
    benchmark_binary: str | None = None


class Deployment(Noun, frozen=True, kw_only=True):
    """Where an artifact was put on a device, so that blocks can run there and all can be removed.

    ``place`` is the folder made there; its name holds this host and process, so that what a killed
    run left is found and removed by the next. ``library`` is a delegate's, if one is used.
    """

    place: str
    model: str
    inputs: str
    library: str | None = None
    settings: dict[str, str] = {}


class Distribution(Noun, frozen=True, kw_only=True):
    """Latencies of a block in ms. Percentiles the device did not give are None.

    If an inference is too short for a reading of the clock of its own, each time is the mean of
    ``inferences_per_reading`` in a row, and all figures but the mean are of these means. It stays 1 if
    a device gives no single times at all.
    """

    runs: int
    inferences_per_reading: int = 1
    mean_ms: float
    min_ms: float
    max_ms: float
    median_ms: float | None = None
    std_ms: float | None = None
    p95_ms: float | None = None

    @property
    def middle_ms(self) -> float:
        """What a block counts with: its median, or the mean if the device gives no median."""
        return self.median_ms or self.mean_ms


class Memory(Noun, frozen=True, kw_only=True):
    """What a process on the device took, in bytes; None if the device does not tell.

    ``loaded_bytes`` is how much resident memory loading the model added, ``steady_bytes`` how much was
    added and stayed once the first inferences were done, ``peak_bytes`` how much was at the highest until
    then, ``arena_bytes`` what the runtime says that its activations take.
    """

    loaded_bytes: int | None = None
    steady_bytes: int | None = None
    peak_bytes: int | None = None
    arena_bytes: int | None = None


class OperatorTime(Noun, frozen=True, kw_only=True):
    """Time of one operator, mean over the calmer half of the runs of an ``operators`` block."""

    name: str
    kind: str
    mean_ms: float
    calls: int = 1
    runs_on: str = ""


class Delegation(Noun, frozen=True, kw_only=True):
    """How much of the network a delegate took: all of it, part of it in ``partitions``, or nothing."""

    delegate: Delegate
    share: Literal["all", "part", "none"]
    partitions: int | None = None
    words: str = ""


class Block(Noun, frozen=True, kw_only=True):
    """One fresh process on a device and what it saw.

    ``begin_s`` and ``end_s`` bound the timed loop on the device's monotonic clock. ``host_offset_s`` is
    what to add to come to the host's monotonic clock, known to ``host_offset_error_s``.
    ``latencies`` (``.npy``, float64 ``[readings]``, ms), ``outputs`` (``.npz``) and ``sensed`` (``.jsonl`` of
    `Sample`) name files in the folder that the block was given. ``harness_share`` is the loop's own
    part of an inference's time, measured around an empty call.
    """

    index: int = 0
    runtime: str = ""
    begin_s: float = 0.0
    end_s: float = 0.0
    host_offset_s: float = 0.0
    host_offset_error_s: float = 0.0
    init_ms: float | None = None
    first_ms: float | None = None
    warm_up_runs: int = 0
    latency: Distribution | None = None
    memory: Memory = Memory()
    before: State | None = None
    after: State | None = None
    harness_share: float | None = None
    delegation: Delegation | None = None
    operators: tuple[OperatorTime, ...] = ()
    latencies: str | None = None
    outputs: str | None = None
    sensed: str | None = None
    notes: tuple[str, ...] = ()
    counted: bool = True
    """False if the device throttled or moved: then it is in no figure."""


class Estimate(Noun, frozen=True, kw_only=True):
    """A figure with its 95 % interval; ``value`` is None if there are too few samples, for ``reason``."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""


class Comparison(Noun, frozen=True, kw_only=True):
    """A's latency by B's over ``pairs`` of blocks, with its 95 % interval; below 1 A is faster. None: too few pairs.

    ``energy`` is the same ratio of the energy of an inference; None if it was not measured of both.
    """

    ratio: float | None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    verdict: Literal["faster", "slower", "no difference shown"] = "no difference shown"
    reason: str = ""
    energy: Estimate | None = None


class Latency(Noun, frozen=True, kw_only=True):
    """Latency in ms over all counted blocks. ``runs`` inferences in ``seconds`` of timed loops.

    ``median_ms`` is the median of the blocks' medians, with the interval over blocks; ``init_ms`` and
    ``first_ms`` are the same of what each fresh process reported.
    """

    blocks: int
    runs: int
    seconds: float
    init_ms: Estimate
    first_ms: Estimate
    median_ms: Estimate
    p90_ms: Estimate
    p99_ms: Estimate
    mean_ms: Estimate


class Energy(Noun, frozen=True, kw_only=True):
    """Energy of one inference in mJ, gross and above idle, with what its uncertainty is made of.

    ``terms_mj`` are half-widths by cause, of the net figure if there is one: blocks, resolution, edges,
    sampling, baseline, gain (absent if the instrument's is unknown). ``average_power_w`` is that of the
    timed loops. ``blocks_mj`` is the energy of an inference in each block, above idle if net energy is
    known; None for a block without.
    """

    provenance: Provenance
    meter: str
    rails: tuple[str, ...]
    gross_mj: Estimate
    net_mj: Estimate
    average_power_w: float | None
    idle_power_w: float | None
    terms_mj: dict[str, float] = {}
    blocks_mj: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["net", "gross"]:
        """Whether energy above idle is known."""
        return "gross" if self.net_mj.value is None else "net"

    @property
    def best_mj(self) -> Estimate:
        """The figure of that kind."""
        return self.gross_mj if self.net_mj.value is None else self.net_mj


class DeviceVerification(Noun, frozen=True, kw_only=True):
    """Whether a device computes what this host computes from the same file and inputs.

    ``first_difference`` names the first operator whose result differs if outputs do. ``kind`` and ``cpu``
    are the device's, so that an emulated core is not taken for a board, nor one core for another.
    ``kernels`` is the instruction set that was computed with, such as ``arm64``; None if it is not
    known, or a delegate other than XNNPACK computed.
    """

    device: str
    kind: str = ""
    cpu: str | None = None
    kernels: str | None = None
    runtime: str
    samples: int
    identical: bool
    sqnr_db: float | None
    max_abs_error: float | None
    verdict: Literal["pass", "fail"]
    first_difference: str = ""


class Protocol(Noun, frozen=True, kw_only=True):
    """By which rules a profile was measured."""

    name: Literal["full", "quick"]
    blocks: int
    order: str = ""
    cool_down_c: float | None = None
    seed: int = 0


class Profile(Noun, frozen=True, kw_only=True):
    """What was measured of one artifact on one device at one time; append-only.

    ``raw`` names the ``.npz`` beside it with the latencies of every block. ``flags`` are remarks in
    plain words. ``unavailable`` maps what could not be measured to the reason.
    """

    schema_version: Literal[1] = 1
    edgekit: str
    created_utc: str
    session: str
    artifact: str
    artifact_sha256: str
    device: Device
    runtime: str
    run: Run
    protocol: Protocol
    blocks: tuple[Block, ...]
    latency: Latency | None = None
    memory: Memory = Memory()
    energy: Energy | None = None
    operators: tuple[OperatorTime, ...] = ()
    delegation: Delegation | None = None
    verification: DeviceVerification | None = None
    flags: tuple[str, ...] = ()
    raw: str | None = None
    unavailable: dict[str, str] = {}


def per_reading(blocks: Sequence[Block]) -> int:
    """How many inferences share a reading of the clock, the most of these blocks; 1 if none tells."""
    return max((b.latency.inferences_per_reading for b in blocks if b.latency is not None), default=1)
