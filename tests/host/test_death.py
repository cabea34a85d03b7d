"""Whose fault a death was, read off a child's last words."""

import signal
from pathlib import Path

from edgekit.errors import InputError, Unsupported
from edgekit.host import death

STACK = """Fatal Python error: Segmentation fault

Thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.12/site-packages/tensorflow/python/eager/execute.py", line 59 in quick_execute

Current thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.12/site-packages/numpy/core/thing.py", line 3 in stack
  File "/usr/lib/python3.12/site-packages/onnxruntime/capi/session.py", line 1 in run
"""


def test_the_thread_that_died_names_the_library() -> None:
    assert death.library(STACK) == "NumPy"
    assert death.library(STACK.replace("numpy", "some_helper")) == "ONNX Runtime"
    assert death.library(STACK.replace("numpy", "asyncssh")) == "asyncssh", "a leaf's own, by its package's name"


def test_a_librarys_own_thread_is_named_by_who_waits_for_it() -> None:
    native = STACK.split("Current thread", maxsplit=1)[0]
    assert death.library(native) == "TensorFlow"
    assert death.library("nothing fatal: " + native.split("\n", 1)[1]) is None


def test_every_death_names_the_step_and_what_to_try() -> None:
    for code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGKILL, 3):
        found = death.of_reader(
            code, STACK, leaf="onnx", doing="converting the model", place="x.onnx", log=Path("log"), limit=None
        )
        assert isinstance(found, Unsupported)
        assert "while converting the model" in found.problem
        assert found.fix


def test_a_death_for_want_of_memory_says_so() -> None:
    found = death.of_reader(
        -6, "what(): std::bad_alloc", leaf="onnx", doing="reading", place="x", log=Path("log"), limit=1 << 30
    )
    assert isinstance(found, InputError)
