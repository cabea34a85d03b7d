"""Pre- and post-processing: the arithmetic behind ``[[input]]`` and ``[[output]]``, on plain numpy arrays.

| module | from | to |
| --- | --- | --- |
| `described` | what a user wrote, a signature | the same with nothing left open, or a complaint |
| `resizing`, `placing` | a picture of any size | bytes of the input's size |
| `images` | a picture | the input's tensor |
| `audio`, `tokens` | a waveform, ids | the input's tensor |
| `scores` | logits | probabilities, the highest classes |
| `masks`, `keypoints` | an output | a class for each pixel, points |
| `boxes`, `decoding`, `suppression` | outputs | boxes with classes and scores |
| `outputs` | all outputs of a sample | `edgekit.nouns.findings` |

Everything up to a tensor is integers, or one subtraction and one division of float32 for each value: every language
with IEEE numbers gets the same bits, and no compiler can contract it. What follows a network is float32.
"""
