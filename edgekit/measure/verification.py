"""Outputs of a file on a device beside this host's, for the same inputs."""

import tempfile
from pathlib import Path

import msgspec

from edgekit.errors import MissingTool, Unsupported
from edgekit.measure import agreement, discovery, protocol
from edgekit.measure.protocol import Bench, in_words
from edgekit.measure.subject import Measurable
from edgekit.nouns.model import Signature
from edgekit.nouns.profile import Delegate, Device, DeviceVerification, Run
from edgekit.waist.tensors import Array, arrays, write_npz

KERNELS = {
    "aarch64": "arm64",
    "arm64-v8a": "arm64",
    "armv7l": "armv7",
    "armeabi-v7a": "armv7",
    "x86_64": "x86-64",
    "AMD64": "x86-64",
}
"""An instruction set's name by those that systems give it (``uname -m``, ``ro.product.cpu.abi``, Windows)."""


def kernels(device: Device, delegate: Delegate) -> str | None:
    """The instruction set with which a device computes; None if it does not tell, or a delegate computes."""
    if device.abi is None or delegate not in {"xnnpack", "none"}:
        return None
    return KERNELS.get(device.abi, device.abi)


def verified(
    bench: Bench, subject: Measurable, inputs: Path, run: Run, out: Path
) -> tuple[DeviceVerification | None, dict[str, str]]:
    """Whether the device computes what this host computes; this host itself needs no such proof.

    Returns:
        The verdict, or why there is none, as an entry of a profile's ``unavailable``.

    Raises:
        DeviceError: the device went away.
    """
    if bench.device.id == discovery.LOCAL:
        return None, {}
    step = f"comparing outputs of {subject.name}"
    bench.session.progress.begin(step)
    try:
        out.mkdir()
        plain = msgspec.structs.replace(run, delegate="xnnpack", require_full_delegation=False)
        here = _Outputs(Bench(bench.session, discovery.choose(bench.session, {}, None)), plain, out)
        there = _Outputs(bench, run, out)
        found = agreement.verified(
            subject.path,
            arrays(inputs),
            run_host=here.of,
            run_device=there.of,
            device=bench.device.id,
            runtime=lambda: there.runtime,
            folder=out,
            delegate=run.delegate,
        )
    except (Unsupported, MissingTool) as error:  # this host may lack what the device has
        return None, {"verification": in_words(error)}
    finally:
        bench.session.progress.end(step, from_cache=False)
    device = bench.device
    computed = {"kind": device.kind, "cpu": device.cpu, "kernels": kernels(device, run.delegate)}
    return msgspec.structs.replace(found, **computed), {}


class _Outputs:
    """What a file computes on a device, for `agreement.verified`; remembers which runtime computed it."""

    def __init__(self, bench: Bench, run: Run, folder: Path) -> None:
        self._bench, self._run, self._folder = bench, msgspec.structs.replace(run, mode="outputs", probe=None), folder
        self.runtime = ""

    def of(self, file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
        """Outputs ``[N, *shape]`` by name for inputs ``[N, *shape]`` by name."""
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            given = write_npz(Path(made) / "inputs.npz", inputs)
            subject = Measurable(file, "", Signature(inputs=(), outputs=()))
            with protocol.deployments(self._bench, [subject], [given], [self._run]) as deployments:
                block = protocol.run_block(self._bench, deployments[0], self._run, Path(made) / "block")
            self.runtime = block.runtime
            if block.outputs is None:
                raise Unsupported("The device gives no outputs.", place=str(file), fix="verify on another device")
            return arrays(Path(made) / "block" / block.outputs)
