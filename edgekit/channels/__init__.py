"""Channels of a network: which of them can only go together, what each is worth, and a file without some of them.

    float TFLite file ── dependencies.find ──→ Dependencies: families of channels that can go
                                                  │  importance, budget: which of them go
    smaller TFLite file ←──── cutting.cut ────────┘  repair: the weights behind solved anew by least squares

What is known of an operator is one rule (`edgekit.channels.rules.ROWS`): how the indices of its operands' axes
become those of its results. Nothing here trains; what needs gradients is in `edgekit.channels.taylor`.
"""
