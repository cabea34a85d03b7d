"""TFLite's operators of integers, computed in TensorFlow as LiteRT's kernels compute them."""
