"""What is known of each leaf without opening it: one row each, for all that asks before a worker starts.

A leaf without a row, such as another distribution's, needs nothing of edgekit's and is asked only by its contract.
"""

from collections.abc import Mapping
from typing import Literal

from edgekit.nouns.base import Noun

System = Literal["android", "linux", ""]
"""Whose sensors and tools a device has."""


class LeafRow(Noun, frozen=True, kw_only=True):
    """A leaf: what it needs, and what decides its answers.

    ``modules`` are the libraries without which it cannot be opened, ``extra`` is that of ``pyproject.toml`` which
    brings them (none: the base install does), ``distributions`` are those whose version can change what it makes.
    """

    extra: str = ""
    modules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


class DriverRow(LeafRow, frozen=True, kw_only=True):
    """A kind of device.

    Attributes:
        reaches: what it is a way to, in words.
        keys: those of `edgekit.nouns.profile.DeviceConfig` that it reads, beside ``kind``; None: it may read any.
        needed: the key that a table cannot do without; why, and an example.
        discovered: devices of this kind are found without being configured.
        usual_id: the name under which its only device is usually added.
        set_up: how long `edgekit.drivers.Driver.set_up` takes, in words, if it is worth a word.
        system: whose sensors its devices have.
        programs: one of these must be on ``PATH``; ``program_fix`` installs it.
    """

    reaches: str = ""
    keys: frozenset[str] | None = None
    needed: tuple[str, str, str] | None = None
    discovered: bool = False
    usual_id: str = ""
    set_up: str = ""
    system: System = ""
    programs: tuple[str, ...] = ()
    program_fix: str = ""


COMMON = ("ai-edge-litert", "flatbuffers", "msgspec", "numpy")
"""Distributions whose version can change what any leaf makes."""

SOURCES = {
    "keras": LeafRow(
        extra="keras",
        modules=("tensorflow", "keras", "tf_keras"),
        distributions=("h5py", "keras", "protobuf", "tensorflow", "tensorflow-model-optimization", "tf-keras"),
    ),
    "onnx": LeafRow(
        extra="onnx",
        modules=("onnx", "onnx2tf", "onnxruntime"),
        distributions=(
            *("keras", "onnx", "onnx2tf", "onnxruntime", "onnxsim", "protobuf"),
            *("sne4onnx", "sng4onnx", "tensorflow", "tf-keras"),
        ),
    ),
}

BACKENDS = {
    "tflite": LeafRow(distributions=("ai-edge-quantizer", "threadpoolctl")),
    "openvino": LeafRow(extra="openvino", modules=("openvino", "nncf"), distributions=("nncf", "openvino")),
}

DRIVERS = {
    "local": DriverRow(
        reaches="this host",
        keys=frozenset({"python", "delegate_library", "supply_mv"}),
        discovered=True,
        system="linux",
    ),
    "serial": DriverRow(
        extra="serial",
        modules=("serial",),
        reaches="microcontrollers",
        keys=frozenset({"serial_port", "baud", "supply_mv"}),
        needed=("serial_port", "A microcontroller is reached by the port it hangs at.", "/dev/ttyACM0"),
    ),
    "ssh": DriverRow(
        extra="ssh",
        modules=("asyncssh",),
        reaches="Linux boards",
        keys=frozenset({"host", "user", "port", "key", "known_hosts", "python", "delegate_library", "supply_mv"}),
        needed=("host", "A board is reached by its name or address.", "pi5.local"),
        system="linux",
    ),
    "adb": DriverRow(
        extra="android",
        modules=("adbutils",),
        reaches="Android phones",
        keys=frozenset({"host", "port", "supply_mv"}),
        needed=("host", "A phone that is not plugged in is reached by its address.", "192.168.0.7"),
        discovered=True,
        system="android",
    ),
    "emulated": DriverRow(
        reaches="arm64 kernels without a board",
        keys=frozenset({"cpu"}),
        usual_id="arm64-emulated",
        set_up="a minute or so",
        programs=("qemu-aarch64-static", "qemu-aarch64"),
        program_fix="sudo apt-get install qemu-user-static debootstrap",
    ),
}
"""Kinds of devices. What a user configures is of the first kind whose needed key is given."""

METERS = {
    "joulescope": LeafRow(extra="joulescope", modules=("pyjoulescope_driver",)),
    "ppk2": LeafRow(extra="ppk2", modules=("ppk2_api",)),
    "ina3221": LeafRow(),
    "odpm": LeafRow(),
    "hwmon": LeafRow(),
    "tegrastats": LeafRow(),
    "battery": LeafRow(),
    "pmic": LeafRow(),
    "rapl": LeafRow(),
}
"""Best first among meters of one provenance: energy counted by an instrument before power sampled by a program."""

SAMPLES = {"reader": LeafRow(distributions=("pillow",))}

REWRITES = {"optimizer": LeafRow()}

TRAINING = LeafRow(
    extra="keras",
    modules=("tensorflow", "tf_keras"),
    distributions=("tensorflow", "tensorflow-model-optimization", "tf-keras"),
)
"""What all that trains needs."""

PASSES: dict[str, LeafRow] = dict.fromkeys(
    ("cluster", "distill", "finetune", "keras_form", "prune", "prune_channels", "qat"), TRAINING
)
"""Each of them is a row ``TRAINING``."""

LEAVES: Mapping[str, Mapping[str, LeafRow]] = {
    "sources": SOURCES,
    "backends": BACKENDS,
    "drivers": DRIVERS,
    "meters": METERS,
    "samples": SAMPLES,
    "rewrites": REWRITES,
    "passes": PASSES,
}
"""Every room of leaves → its rows."""

TOOLS = frozenset(COMMON) | {name for rows in LEAVES.values() for row in rows.values() for name in row.distributions}
"""All distributions whose version can change a result."""

MODULES = frozenset(module for rows in LEAVES.values() for row in rows.values() for module in row.modules)
"""All libraries that only leaves open."""


def row(room: str, name: str) -> LeafRow:
    """The row of a leaf; an empty one for those that have none."""
    return LEAVES[room].get(name, LeafRow())


def driver(kind: str) -> DriverRow:
    """The row of a kind of device; an empty one for those that have none."""
    return DRIVERS.get(kind, DriverRow())
