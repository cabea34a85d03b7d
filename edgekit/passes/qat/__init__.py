"""Quantization-aware training in the arithmetic of the file that ships."""
