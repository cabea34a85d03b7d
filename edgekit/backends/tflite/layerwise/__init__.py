"""Weights and biases chosen layer by layer so that each layer's *output* errs least, without labels or training.

What is made is a float file whose weights lie on the grid that a quantizer will choose for them, so that
every quantizer writes just these integers.
"""

WAYS = {
    "nearest": "rounding to nearest",
    "bias-correction": "bias correction",
    "learned": "bias correction and learned rounding",
}
"""What can be done to weights before they are quantized, the cheapest first."""
