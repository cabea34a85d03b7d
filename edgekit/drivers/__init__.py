"""Devices: one leaf per way of reaching one. This file is the contract.

A leaf is a module of this package with one subclass of `Driver`. Leaves never import one another;
what runs on a device beside the runtime is `edgekit.runner`, one file without dependencies.

A driver keeps no state that matters: every method may be called from a fresh process, so that
`close` puts a device right even after the process that used it was killed.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from edgekit.nouns.profile import Block, Deployment, Device, DeviceConfig, Output, Run, State


class Driver(ABC):
    """Finds devices of one kind and runs artifacts on them."""

    @abstractmethod
    def find(self, configured: dict[str, DeviceConfig]) -> tuple[Device, ...]:
        """Everything of this kind that is attached, or configured (by id, tables of this kind only).

        A device that does not answer is returned with ``usable`` False and the problem in plain words;
        so is one whose tools are missing. Takes a few seconds at most.
        """

    def set_up(self, config: DeviceConfig) -> tuple[str, ...]:  # noqa: ARG002  most kinds need nothing
        """Put in place on this host what a device of this kind needs, once; may take minutes.

        Returns:
            What there is now, line by line, for people; nothing if nothing is needed.

        Raises:
            MissingTool: a program is not installed; the command that installs it is given.
            DeviceError: something could not be fetched.
        """
        return ()

    @abstractmethod
    def state(self, device: Device) -> State:
        """Read what can change a measurement.

        Raises:
            DeviceError: it does not answer.
        """

    @abstractmethod
    def execute(self, device: Device, lines: tuple[str, ...]) -> tuple[Output, ...]:
        """Run shell lines there, one after the other; a device without a shell answers each with code 127.

        Raises:
            DeviceError: it does not answer.
        """

    @abstractmethod
    def open(self, device: Device, artifact: Path, inputs: Path, run: Run, place: str) -> Deployment:
        """Put an artifact (with its companions) and inputs there, and make the device ready.

        Args:
            device: as `find` gave it.
            artifact: the file to load; an ``.xml`` takes its ``.bin`` along.
            inputs: ``.npz`` with ``[N, *shape]`` for each input, under the file's names, in its dtypes.
            run: what will be run.
            place: name of the folder to make there; what is to be restored is written into it before
                anything is changed. What dead runs of this host left there is cleared away first.

        Raises:
            DeviceError: it does not answer, has no room, or went away in the middle; nothing stays there.
            MissingTool: no runtime there runs the file; the command that installs one is given.
            Unsupported: this device cannot run such a file.
        """

    @abstractmethod
    def run(self, device: Device, deployment: Deployment, run: Run, out: Path) -> Block:
        """Run one block in a fresh process on the device and bring back what it saw.

        ``out`` is an empty folder on this host for the files that the block names. Mode ``outputs`` runs
        every sample of the inputs once and writes ``outputs.npz`` as ``[N, *shape]`` in the file's terms.

        Raises:
            DeviceError: it went away or does not answer in time.
            Unsupported: the runtime there cannot load or run the file, or a full delegation that was
                required is not had.
        """

    @abstractmethod
    def close(self, device: Device, deployment: Deployment) -> None:
        """Restore every setting and remove every file; may be called twice, and after a failure in `open`.

        Raises:
            DeviceError: it does not answer; what stays there is named.
        """
