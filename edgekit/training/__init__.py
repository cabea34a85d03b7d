"""The training loop that all passes share: from a lifted network, samples and a teacher to trained weights.

    Task ── data.of ──→ TrainingData ─┐
    waist ── lifting.lift ──→ Lifted ─┴─ fitting.fit (settings, hooks) ──→ Fitted; the lifted network holds the weights

What a pass adds to a step it says by `edgekit.training.hooks.Hooks`. It needs TensorFlow and tf-keras, so that only
leaves import it.
"""
