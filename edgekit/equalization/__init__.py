"""Channels of a float waist brought to one size, without changing what it computes: equalization.

A channel that a layer makes may be divided by any positive number if all layers that read it multiply their weights for
it by the same. So one scale serves more channels, whoever quantizes the network afterwards. `layers` are matrices,
`tracing` follows their channels, `observing` sees how far these go. `weights` evens weights out between two layers in a
row, `activations` what all layers read.
"""
