"""Small quantized networks written by hand, and a stand-in for Google's closed compiler."""

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph

TYPES = {name: code for code, name in graph.DTYPES.items()}


class Network:
    """Builds a TFLite file operator by operator; tensors are named and made on first use."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.subgraph = schema.SubGraphT()
        self.subgraph.tensors, self.subgraph.operators = [], []
        self.subgraph.inputs, self.subgraph.outputs = [], []
        self.model.subgraphs = [self.subgraph]

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "int8",
        values: Any = None,
        scales: tuple[float, ...] = (0.5,),
        zero_point: int = 0,
    ) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), np.array(shape, np.int32), TYPES[dtype]
        made.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(values, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        if dtype != "float32" and scales:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.array(scales, np.float32)
            made.quantization.zeroPoint = np.array([zero_point] * len(scales), np.int64)
        self.subgraph.tensors.append(made)
        return len(self.subgraph.tensors) - 1

    def operator(
        self, name: str, inputs: list[int], outputs: list[int], options: Any = None, version: int = 1
    ) -> "Network":
        code = schema.OperatorCodeT()
        custom = name.startswith("CUSTOM:")
        code.builtinCode = schema.BuiltinOperator.CUSTOM if custom else getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = name.removeprefix("CUSTOM:").encode() if custom else None
        code.version = version
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.subgraph.operators.append(made)
        return self

    def write(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        self.subgraph.inputs, self.subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        path.write_bytes(graph.pack(self.model))
        return path


def chain(path: Path, *names: str, shape: tuple[int, ...] = (1, 4, 4, 8)) -> Path:
    """A file of unary operators one after another, from ``t0`` to ``t{n}``."""
    network = Network()
    tensors = [network.tensor(f"t{i}", shape) for i in range(len(names) + 1)]
    for i, name in enumerate(names):
        network.operator(name, [tensors[i]], [tensors[i + 1]])
    return network.write(path, [tensors[0]], [tensors[-1]])


STAND_IN = """
# A stand-in for edgetpu_compiler, which is closed: replays a recorded log and hands out a file.
import pathlib, sys, time
words = sys.argv[1:]
pathlib.Path({record!r}).write_text("\\n".join(words))
time.sleep({sleep})
print(pathlib.Path({log!r}).read_text())
folder, model = pathlib.Path(words[words.index("-o") + 1]), pathlib.Path(words[-1])
if {result!r}:
    content = pathlib.Path({result!r}).read_bytes()
    (folder / (model.stem + "_edgetpu.tflite")).write_bytes(content)
sys.exit({code})
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install the stand-in on PATH; returns the file that records the words it was called with."""

    def install(log: Path, result: Path | None = None, *, code: int = 0, sleep: float = 0) -> Path:
        record = tmp_path / "called_with.txt"
        script = STAND_IN.format(
            record=str(record), sleep=sleep, log=str(log), result=str(result) if result else "", code=code
        )
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "stand_in.py").write_text(script)
        program = folder / "edgetpu_compiler"
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(folder / "stand_in.py")])} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)
        return record

    return install


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without the compiler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGEKIT_EDGETPU_COMPILER", raising=False)


@pytest.fixture
def logs() -> Path:
    """Recorded logs; see SOURCES.md there."""
    return Path(__file__).parent / "logs"


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def write_chain() -> Any:
    return chain
