"""edgekit turns a trained network into artifacts that run well on phones, boards and accelerators."""

__version__ = "0.1.0"
