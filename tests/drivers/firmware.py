"""A board with an MLPerf Tiny firmware at a pseudo-terminal, computing real results with LiteRT.

Follows the benchmark's own monitor (mlcommons/tiny, ``benchmark/api/internally_implemented.cpp``) and
its reference submissions: same commands, limits, replies and ways of printing.
"""

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edgekit.waist import graph, run

CMD_SIZE, MAX_INPUT = 80, 96 * 96 * 3


class UnpluggedError(Exception):
    """The port is gone."""


class Firmware:
    """The board. Every attribute is a way in which real ones differ or fail.

    Args:
        file: the model that is flashed; without one every result is 0.5.
        model: what ``profile%`` calls it.
        feeds: how the input is taken: stored, unsigned (image classification) or real (anomaly detection).
        latency_us: what an inference takes on the board's clock; drawn by number of the inference.
    """

    vendor, version = "unspecified", "ULPMark for tinyML Firmware V0.0.1"
    energy_mode = False
    max_input = MAX_INPUT
    clock_us = 4_294_000_000  # wraps soon, as a board's does after 71.6 minutes
    printed: Callable[[float], str] = staticmethod(lambda value: f"{value:0.3f}")

    def __init__(
        self,
        file: Path | None = None,
        *,
        model: str = "kws01",
        feeds: str = "stored",
        latency_us: Callable[[int], int] = lambda i: 50_000 + i % 7,
    ) -> None:
        self.file, self.model, self.feeds, self.latency_us = file, model, feeds, latency_us
        self.buffer, self.size, self.inferences = bytearray(), 0, 0
        self.heard: list[str] = []
        self.tamper: Callable[[bytes], bytes | None] = lambda said: said  # None: the board is unplugged
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self._gone = threading.Event()
        self.port = os.ttyname(self.slave)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gone.set()
        self._thread.join(10)

    def say(self, text: str) -> None:
        said = self.tamper(text.encode())
        if said is None:
            raise UnpluggedError
        while said:
            if self._gone.is_set():
                raise UnpluggedError
            if select.select([], [self.master], [], 0.02)[1]:
                said = said[os.write(self.master, said) :]

    def hear(self) -> bytes:
        while not select.select([self.master], [], [], 0.02)[0]:
            if self._gone.is_set():
                raise UnpluggedError
        return os.read(self.master, 4096)

    def _serve(self) -> None:
        """Only this thread closes its ends: another one's numbers could be in use again."""
        try:
            self._talk()
        except (UnpluggedError, OSError):
            os.close(self.slave)
            os.close(self.master)

    def _talk(self) -> None:
        command = bytearray()
        self.say("m-timestamp-mode-performance\r\n")
        self.say(f"m-lap-us-{self.clock_us % 2**32}\r\nm-init-done\r\nm-ready\r\n")
        while got := self.hear():
            for byte in got:
                if byte == ord("%"):
                    self.heard.append(command.decode("ascii", "replace"))
                    self.obey(self.heard[-1])
                    self.say("m-ready\r\n")
                    command.clear()
                elif len(command) < CMD_SIZE:
                    command.append(byte)

    def obey(self, command: str) -> None:
        word, *rest = command.split(" ")
        if word == "name":
            self.say(f"m-name-dut-[{self.vendor}]\r\n")
        elif word == "profile":
            self.say(f"m-profile-[{self.version}]\r\nm-model-[{self.model}]\r\n")
        elif word == "timestamp":
            self.clock_us += 1000
            self.timestamp()
        elif word == "db":
            self.db(rest)
        elif word == "infer":
            self.infer(int(rest[0]), int(rest[1]) if len(rest) > 1 else 10)
        elif word == "results":
            self.results()
        else:
            self.say(f"e-[Unknown command: {word}]\r\n")

    def timestamp(self) -> None:
        if not self.energy_mode:
            self.say(f"m-lap-us-{self.clock_us % 2**32}\r\n")

    def db(self, rest: list[str]) -> None:
        if rest[0] == "load":
            self.size, self.buffer = int(rest[1]), bytearray()
            if self.size > self.max_input:
                self.say(f"Supplied buffer size {self.size} exceeds maximum of {self.max_input}\n")
            else:
                self.say(f"m-[Expecting {self.size} bytes]\r\n")
        elif len(rest[0]) % 2:
            self.say("e-[Insufficent number of hex digits]\r\n")
        else:
            self.buffer += bytes.fromhex(rest[0])
            if len(self.buffer) >= self.size:
                self.say("m-load-done\r\n")

    def infer(self, runs: int, warm_up: int) -> None:
        self.say(f"m-warmup-start-{warm_up}\r\n")
        self.pass_time(warm_up)
        self.say(f"m-warmup-done\r\nm-infer-start-{runs}\r\n")
        self.timestamp()
        self.pass_time(runs)
        self.timestamp()
        self.say("m-infer-done\r\n")
        self.results()

    def pass_time(self, runs: int) -> None:
        for _ in range(runs):
            self.clock_us += self.latency_us(self.inferences)
            self.inferences += 1

    def results(self) -> None:
        values = [0.5] if self.file is None else self.compute()
        self.say("m-results-[" + ",".join(self.printed(value) for value in values) + "]\r\n")

    def compute(self) -> list[float]:
        """What the model makes of the buffer, as real values."""
        assert self.file is not None
        main = graph.read(self.file)[0]
        given, made = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
        raw = bytes(self.buffer)
        if self.feeds == "unsigned":
            values = (np.frombuffer(raw, np.uint8).astype(np.int16) - 128).astype(np.int8)
        elif self.feeds == "real":
            real = np.frombuffer(raw, "<f4").astype(np.float64)
            values = np.clip(np.rint(real / given.scales[0]) + given.zero_points[0], -128, 127).astype(np.int8)
        else:
            values = np.frombuffer(raw, given.dtype)
        outputs = run.run(self.file, {given.name: values.reshape(1, *given.shape)})[made.name].astype(np.float64)
        real_outputs = (outputs - made.zero_points[0]) * made.scales[0] if made.scales else outputs
        if self.model == "ad01":
            return [float(np.mean(np.square(real - real_outputs.reshape(-1))))]
        return [float(value) for value in real_outputs.reshape(-1)]


def cut(value: float) -> str:
    """How the reference for keyword spotting prints: three decimals, cut off."""
    return f"0.{int(value * 10)}{int(value * 100) % 10}{int(value * 1000) % 10}"


def slowly(board: Firmware) -> Callable[[bytes], bytes]:
    """Lines that come byte by byte."""

    def tamper(said: bytes) -> bytes:
        for byte in said[:-1]:
            if select.select([], [board.master], [], 1)[1]:
                os.write(board.master, bytes([byte]))
                time.sleep(0.0002)
        return said[-1:]

    return tamper
