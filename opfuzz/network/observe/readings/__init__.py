"""Wrong readings of a model's wiring that need no knowledge of it, planted at calls that were observed."""
