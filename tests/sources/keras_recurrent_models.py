"""Writes recurrent Keras models, in a process of its own: ``python keras_recurrent_models.py k3|legacy FOLDER``."""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np

if sys.argv[1] == "k3":
    import keras
else:
    import tf_keras as keras

K3 = sys.argv[1] == "k3"
FOLDER = Path(sys.argv[2])
layers = keras.layers


def sequential(*stack: Any, shape: tuple[int, ...] = (9, 3)) -> Any:
    """A Sequential model over a sequence, with a head."""
    return keras.Sequential([layers.Input(shape, name="signal"), *stack, layers.Dense(2, name="head")])


def fixed(*stack: Any) -> Any:
    """A Sequential model whose batch is fixed to one, as stateful layers want it."""
    if K3:
        return keras.Sequential([layers.Input(batch_shape=(1, 9, 3), name="signal"), *stack])
    return keras.Sequential([layers.InputLayer(batch_input_shape=(1, 9, 3), name="signal"), *stack])


def primed() -> Any:
    """An LSTM whose first state is computed from a second input."""
    signal, first = layers.Input((9, 3), name="signal"), layers.Input((6,), name="first")
    hidden, cell = layers.Dense(5, name="hidden")(first), layers.Dense(5, name="cell")(first)
    return keras.Model([signal, first], layers.LSTM(5, name="lstm")(signal, initial_state=[hidden, cell]))


def seq2seq() -> Any:
    """An encoder whose last state is the first one of a decoder."""
    signal, target = layers.Input((9, 3), name="signal"), layers.Input((4, 2), name="target")
    _, hidden, cell = layers.LSTM(5, return_state=True, name="encoder")(signal)
    decoded = layers.LSTM(5, return_sequences=True, name="decoder")(target, initial_state=[hidden, cell])
    return keras.Model([signal, target], layers.Dense(2, name="head")(decoded))


def stateless() -> dict[str, Any]:
    """Networks of which every inference stands alone."""
    both = layers.Bidirectional
    common = {
        "lstm": sequential(layers.LSTM(6)),
        "lstm_both": sequential(both(layers.LSTM(4, return_sequences=True)), layers.LSTM(3, go_backwards=True)),
        "primed": primed(),
        "masked": sequential(layers.Masking(0.0), layers.LSTM(6, return_sequences=True), layers.GRU(4)),
        "mixed": sequential(layers.Conv1D(5, 3), layers.LSTM(6, return_sequences=True), layers.SimpleRNN(4)),
        "convlstm": sequential(layers.ConvLSTM2D(2, 3), shape=(4, 6, 6, 1)),
    }
    if not K3:
        return common
    return common | {
        "lstm_relu": sequential(layers.LSTM(6, activation="relu", use_bias=False)),
        "gru": sequential(both(layers.GRU(4, reset_after=False, return_sequences=True)), layers.GRU(4)),
        "cells": sequential(layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])),
        "distributed": sequential(layers.TimeDistributed(layers.LSTM(4)), layers.LSTM(3), shape=(3, 5, 2)),
        "seq2seq": seq2seq(),
    }


def stateful() -> dict[str, Any]:
    """Networks that continue where the inference before them ended."""
    return {
        "stateful_lstm": fixed(layers.LSTM(6, stateful=True)),
        "stateful_gru": fixed(layers.GRU(6, stateful=True)),
        "stateful_mixed": fixed(layers.LSTM(5, return_sequences=True), layers.LSTM(6, stateful=True)),
    }


def main() -> None:
    """Write everything."""
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    for name, model in (stateless() | stateful()).items():
        for weight in model.weights:  # biases too: a zero bias hides an error in its place
            if not any(part in weight.name for part in ("seed", "variable", "state")):
                weight.assign(random.normal(0, 0.5, weight.shape))
        model.save(FOLDER / f"{name}.keras")


main()
