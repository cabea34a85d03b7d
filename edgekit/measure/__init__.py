"""Measuring an artifact on a device: the protocol, the statistics, the energy, the comparison."""
