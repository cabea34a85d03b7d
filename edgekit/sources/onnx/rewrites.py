"""Which operators are rewritten before conversion, and by what."""

from edgekit.sources.onnx.network import Rewrite
from edgekit.sources.onnx.recurrent import unroll

RULES: dict[str, Rewrite] = {"LSTM": unroll, "GRU": unroll, "RNN": unroll}
