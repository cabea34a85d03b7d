"""TFLite's operators in TensorFlow, one row each: how an operator is computed, and what its weights are.

Each row stands in the module that computes its operator; `edgekit.trainable.operators.table` gathers them.
"""
