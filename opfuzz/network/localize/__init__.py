"""Which wrong reading of a network reproduces what was observed."""
