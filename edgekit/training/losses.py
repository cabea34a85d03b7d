"""How far a network is from its teacher, or from labels: numbers that are 0 at best, as functions of TensorFlow.

``student`` and ``teacher`` are float32 tensors ``[N, …]`` of one shape throughout; each function gives ``[N]``, the
mean over all places of each sample.
"""

from typing import Any

from edgekit.trainable.libraries import tf


def _by_sample(found: Any) -> Any:
    """The mean of each sample, ``[N]``."""
    return tf.reduce_mean(found, list(range(1, found.shape.rank)))


def divergence(student: Any, teacher: Any, temperature: float) -> Any:
    """The Kullback-Leibler divergence of classes that exclude one another, along the last axis of logits.

    It is multiplied by the square of the temperature, so that gradients keep their size: "Distilling the Knowledge in a
    Neural Network" (Hinton, Vinyals and Dean, 2015), section 2.
    """
    wanted = tf.nn.log_softmax(teacher / temperature)
    found = tf.nn.log_softmax(student / temperature)
    return _by_sample(tf.reduce_sum(tf.exp(wanted) * (wanted - found), -1)) * temperature**2


def binary_divergence(student: Any, teacher: Any, temperature: float) -> Any:
    """The same of choices between two, one for each logit."""
    wanted, entropy = tf.sigmoid(teacher / temperature), tf.nn.sigmoid_cross_entropy_with_logits
    rest = entropy(wanted, teacher / temperature)
    return _by_sample(entropy(wanted, student / temperature) - rest) * temperature**2


def squared(student: Any, teacher: Any, scale: float) -> Any:
    """The squared error, multiplied by ``scale``, one over the teacher's variance: 1 is as good as the mean."""
    return _by_sample(tf.math.squared_difference(student, teacher)) * scale


def class_entropy(logits: Any, labels: Any, smoothing: float) -> Any:
    """The cross-entropy of class numbers ``[N, …]`` (or shares ``[N, …, classes]``) under logits ``[N, …, classes]``.

    Smoothing spreads its share of each label over all classes: "Rethinking the Inception Architecture for Computer
    Vision" (Szegedy et al., 2015), section 7.
    """
    classes = logits.shape[-1]
    wanted = tf.one_hot(labels, classes) if labels.dtype.is_integer else labels
    wanted = wanted * (1 - smoothing) + smoothing / classes
    return _by_sample(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))


def binary_entropy(logits: Any, labels: Any, smoothing: float) -> Any:
    """The cross-entropy of labels in 0..1 under logits of the same shape, smoothed towards 1/2."""
    wanted = tf.cast(labels, tf.float32) * (1 - smoothing) + smoothing / 2
    return _by_sample(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits))
