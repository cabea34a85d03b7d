"""The cuts that refusals propose, pasted into the command line: each builds what is left."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import cli
from edgekit.sources.onnx import advice
from edgekit.waist import graph
from tests import networks
from tests.sources.onnx.onnx_cases import build, i64, save

pytestmark = pytest.mark.usefixtures("kept_workers")


def _built(path: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> graph.Graph:
    """What the proposed command makes of a model that is refused."""
    arguments = ["build", str(path), "-t", "android", "--precision", "float32", "-o", str(folder / "no")]
    assert cli.run(arguments) == 4
    (command,) = re.findall(r"`edgekit ([^`]*)`", " ".join(capfd.readouterr().err.split()))
    assert cli.run([*shlex.split(command), "-o", str(folder / "part")]) == 0, capfd.readouterr().err
    return graph.read(folder / "part" / "model_float32.tflite")[0]


def test_a_custom_operator_at_the_end_of_a_tflite_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = networks.classifier(tmp_path / "detector.tflite")
    model = graph.load(path)
    (end,) = model.subgraphs[0].operators[-1:]
    code = model.operatorCodes[end.opcodeIndex]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"Vendor_Decode"
    end.builtinOptionsType, end.builtinOptions = 0, None
    path.write_bytes(graph.pack(model))
    left = _built(path, tmp_path, capfd)
    assert left.operators
    assert not [operator for operator in left.operators if operator.name.startswith("CUSTOM")]


@pytest.mark.parametrize("overlap", [1.0, 0.0])
def test_what_finds_boxes_for_several_targets(
    overlap: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenVINO reads the source itself, but what gives as many results as it finds has no fixed shape there either.

    Where all boxes may overlap it finds as many in each sample, and every target says so; else the source does.
    """
    path = save(
        tmp_path,
        build(
            "float[1,6,4] x, float[1,2,6] scores",
            "boxes = MatMul(x, b) s = Sigmoid(scores) t = NonMaxSuppression(boxes, s, most, o) found = Identity(t)",
            "int64[n,3] found, float[1,6,4] boxes",
            b=np.eye(4, dtype=np.float32),
            most=i64(3),
            o=np.float32([overlap]),
        ),
    )
    arguments = ["build", str(path), "-t", "android", "-t", "openvino-cpu", "--precision", "float16"]
    assert cli.run([*arguments, "-o", str(tmp_path / "no")]) == 4
    said = " ".join(capfd.readouterr().err.split())  # lines break where the folder's name lets them
    commands = re.findall(r"fix: cut them off [^`]*`edgekit ([^`]*)`", said)
    assert len(commands) == (2 if overlap else 1)
    assert cli.run([*shlex.split(commands[0]), "-o", str(tmp_path / "part")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("where", ["end", "beginning"])
def test_what_tflite_lacks_in_a_savedmodel(where: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf  # noqa: PLC0415  slow

    class Network(tf.Module):  # type: ignore[misc]
        """A layer with an operator that TFLite does not have at one end."""

        def __init__(self) -> None:
            self.weights = tf.Variable(tf.random.stateless_normal((6, 4), (1, 2)))

        @tf.function(input_signature=[tf.TensorSpec((1, 6), tf.float32, name="features")])  # type: ignore[untyped-decorator]
        def __call__(self, features: Any) -> Any:
            """The layer's result."""
            if where == "beginning":
                features = tf.math.igamma(tf.abs(features) + 1.0, tf.ones_like(features))
            made = tf.nn.relu(tf.matmul(features, self.weights))
            return tf.math.igamma(made + 1.0, tf.ones_like(made)) if where == "end" else made

    network = Network()
    tf.saved_model.save(network, str(tmp_path / "saved"), signatures=network.__call__)
    assert "FULLY_CONNECTED" in [operator.name for operator in _built(tmp_path / "saved", tmp_path, capfd).operators]


def test_a_cut_asks_for_no_shape_that_inference_knows() -> None:
    model = build("uint8[1,8] x", "m = BitwiseAnd(x, x) f = Cast<to=1>(m) y = MatMul(f, w)", opset=18, w=(8, 4))
    fix = advice.cut_off(Path("model.onnx"), model, lambda node: node.op_type == "BitwiseAnd")
    assert fix.endswith("--inputs m`")
