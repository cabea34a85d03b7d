"""The nouns: frozen values without I/O and without framework objects inside."""
