"""The training loop that all passes share: from a lifted network, samples and a teacher to trained weights."""
