"""The waist in its trainable form: lifted into a model of tf-keras, and written back.

    float TFLite file ── lifting.lift ──→ Lifted: a model, its weights, what stops training
                                             │  trained by whatever trains a Keras model
    float TFLite file ←─ writing.written ──┘

What is known of an operator is one row (`edgekit.trainable.operators.table.ROWS`). It needs TensorFlow and tf-keras,
so that only leaves import it.
"""
