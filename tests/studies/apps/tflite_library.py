"""TensorFlow Lite's C library for this machine, with its headers, from Maven Central."""

from pathlib import Path
from typing import NamedTuple

from tests.studies.apps import maven

OPAQUE = {
    "core/async/c/types.h": "typedef struct TfLiteAsyncKernel TfLiteAsyncKernel;\n"
    "typedef struct TfLiteExecutionTask TfLiteExecutionTask;\n",
    "core/c/registration_external.h": "typedef struct TfLiteRegistrationExternal TfLiteRegistrationExternal;\n",
    "delegates/xnnpack/xnnpack_delegate.h": """#pragma once
#include <stdint.h>
#include "tensorflow/lite/c/common.h"
#define TFLITE_XNNPACK_DELEGATE_FLAG_QS8 0x00000001
#define TFLITE_XNNPACK_DELEGATE_FLAG_QU8 0x00000002
#ifdef __cplusplus
extern "C" {
#endif
typedef struct {
  int32_t num_threads;
  uint32_t flags;
  uint32_t more[62]; /* at least as much as 2.18 has: the caller gives the room */
} TfLiteXNNPackDelegateOptions;
TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault(void);
TfLiteDelegate* TfLiteXNNPackDelegateCreate(const TfLiteXNNPackDelegateOptions* options);
void TfLiteXNNPackDelegateDelete(TfLiteDelegate* delegate);
#ifdef __cplusplus
}
#endif
""",
}
"""Headers that the Android archive includes and lacks, or does not bring; the library has what they declare."""


class Library(NamedTuple):
    """The shared library, and the folder with ``tensorflow/lite/c/c_api.h``."""

    file: Path
    headers: Path


def fetched(folder: Path) -> Library:
    """The library of 2.18 with the headers of 2.16, whose C API is the same."""
    headers = maven.unpacked(maven.alone("org.tensorflow:tensorflow-lite:2.16.1:aar", folder)) / "headers"
    for name, declared in OPAQUE.items():
        (headers / "tensorflow/lite" / name).parent.mkdir(parents=True, exist_ok=True)
        (headers / "tensorflow/lite" / name).write_text(declared)
    jar = maven.alone("org.bytedeco:tensorflow-lite:2.18.0-1.5.11:jar:linux-x86_64", folder)
    return Library(next(maven.unpacked(jar).rglob("libjnitensorflowlite.so")), headers)
