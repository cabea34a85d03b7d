"""What runs on a device: this package alone, packed into one file, that knows nothing of edgekit.

    python3 edgekit_runner.pyz look             print what this machine is and what it can run, as JSON
    python3 edgekit_runner.pyz FOLDER           carry out FOLDER/order.json, write FOLDER/answer.json
    python3 edgekit_runner.pyz FOLDER follow    the same, but end at once when standard input ends
    python3 edgekit_runner.pyz sense FOLDER     sample FOLDER/probe.json until standard input ends

Needs Python 3.9 or later, numpy, and one of ai-edge-litert, tflite-runtime, tensorflow, openvino or
onnxruntime. Times are of this machine's monotonic clock. The order's fields are those of
`edgekit.nouns.profile.Run` with ``model``, ``inputs``, ``library`` and ``out``; the answer's are those of
`edgekit.nouns.profile.Block`, or ``{"error": {remedy, problem, place, fix}}``.
"""
