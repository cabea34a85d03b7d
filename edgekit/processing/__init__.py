"""Pre- and post-processing: the arithmetic behind ``[[input]]`` and ``[[output]]``, on plain numpy arrays.

| module | from | to |
| --- | --- | --- |
| `described`, `fits` | what a user wrote, a signature | the same with nothing left open, or a complaint |
| `resizing`, `placing` | a picture of any size | bytes of the input's size |
| `images` | a picture | the input's tensor |
| `audio`, `tokens` | a waveform, ids | the input's tensor |
| `scores` | logits | probabilities, the highest classes |
| `masks`, `keypoints` | an output | a class for each pixel, points |
| `boxes`, `candidates`, `decoding`, `suppression` | outputs | boxes with classes and scores |
| `outputs` | all outputs of a sample | `edgekit.nouns.findings` |

Up to a tensor, pixels are integers, and then one subtraction and one division of float32 each; a waveform is a sum of
channels, a division and a multiplication of float32. Every language with IEEE numbers gets the same bits, and no
compiler can contract them to a fused multiply-add. What follows a network is float32.
"""
