"""Makes SavedModels that do more than compute, one for each name, below the folder that is given.

Their payloads write the file ``mark`` beside them, or read it. Run as a program, so that tests need no TensorFlow.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SPEC = [tf.TensorSpec((1, 4), tf.float32)]


def saved(folder: Path, function, kept=None, *, stateless: bool = False) -> None:  # type: ignore[no-untyped-def]
    module = tf.Module()
    module.kept = kept
    module.variable = tf.Variable(tf.ones((4, 3)))

    @tf.function(input_signature=SPEC)
    def call(x):  # type: ignore[no-untyped-def]
        return {"y": function(x @ (tf.ones((4, 3)) if stateless else module.variable))}

    module.call = call
    tf.saved_model.save(module, str(folder), signatures=call)


class Writing(tf.lookup.KeyValueTensorInitializer):
    """A hash table's initializer, which runs when the model is loaded."""

    mark = ""

    def initialize(self, table):  # type: ignore[no-untyped-def]
        with tf.control_dependencies([tf.raw_ops.WriteFile(filename=self.mark, contents="owned")]):
            return super().initialize(table)


def table(initializer):  # type: ignore[no-untyped-def]
    return tf.lookup.StaticHashTable(initializer, -1)


def nested(mark: str):  # type: ignore[no-untyped-def]
    """Writes three functions deep, in a branch of a condition in a loop."""

    @tf.function
    def inner(x):  # type: ignore[no-untyped-def]
        def write():  # type: ignore[no-untyped-def]
            tf.io.write_file(mark, "owned")
            return x + 1

        return tf.cond(tf.reduce_sum(x) > 0, write, lambda: x)

    return lambda x: tf.while_loop(lambda i, _: i < 1, lambda i, v: (i + 1, inner(v)), [0, x])[1]


def after(action, x):  # type: ignore[no-untyped-def]
    with tf.control_dependencies([action()]):
        return tf.identity(x)


def main(top: Path) -> None:
    mark = str(top / "mark")
    Writing.mark = mark
    keys, values = tf.constant([1, 2]), tf.constant([3, 4])
    vocabulary = top / "vocabulary.txt"
    vocabulary.write_text("1\n2\n")
    lines = tf.lookup.TextFileInitializer(str(vocabulary), tf.int64, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
    actions = {
        "WriteFile": lambda: tf.raw_ops.WriteFile(filename=mark, contents="owned"),
        "ReadFile": lambda: tf.raw_ops.ReadFile(filename="/etc/hostname"),
        "MatchingFiles": lambda: tf.raw_ops.MatchingFiles(pattern="/etc/*"),
        "PrintV2": lambda: tf.raw_ops.PrintV2(input="owned", output_stream=f"file://{mark}"),
        "EagerPyFunc": lambda: tf.py_function(lambda: 1.0, [], tf.float32),
        "SaveV2": lambda: tf.raw_ops.SaveV2(
            prefix=mark, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.ones(1)]
        ),
        "RestoreV2": lambda: tf.raw_ops.RestoreV2(
            prefix=mark, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0],
        "TextLineDataset": lambda: tf.data.TextLineDataset("/etc/hostname").reduce(0, lambda n, _: n + 1),
    }
    for name, action in actions.items():
        saved(top / name, lambda x, action=action: after(action, x))
    saved(top / "initializer_WriteFile", tf.nn.relu, table(Writing(keys, values)))
    saved(top / "nested_WriteFile", nested(mark))
    saved(top / "file_InitializeTableFromTextFileV2", tf.nn.relu, table(lines))
    harmless = table(tf.lookup.KeyValueTensorInitializer(keys, values))
    saved(top / "harmless", lambda x: x + tf.cast(harmless.lookup(tf.constant([1])), tf.float32), harmless)
    saved(top / "stateless", tf.nn.relu, stateless=True)
    saved(top / "huge", tf.nn.relu)
    model = saved_model_pb2.SavedModel.FromString((top / "huge" / "saved_model.pb").read_bytes())
    for node in model.meta_graphs[0].object_graph_def.nodes:
        if node.WhichOneof("kind") == "variable":
            node.variable.shape.dim[0].size = 2**30
    (top / "huge" / "saved_model.pb").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
