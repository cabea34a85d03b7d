"""What LiteRT's ``CompiledModel`` takes on Android; another file is the older ``Interpreter``'s."""

TAKEN = frozenset({"float32", "int8", "int32", "bool"})
"""Of tensors that LiteRT's ``CompiledModel`` fills and reads in Kotlin (TensorBuffer.kt in LiteRT's repository)."""

HOLDING_STATE = frozenset({
    "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "HASHTABLE", "LSTM", "RNN", "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "VAR_HANDLE",
})  # fmt: skip
"""Operators on variable tensors and resources. ``CompiledModel`` opens no file that has them: "Variable tensors not yet
supported", "Element type (13) not currently supported" (litert/core/model/ of LiteRT 2.1)."""
