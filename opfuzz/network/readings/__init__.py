"""Wrong readings of what a module calls: each says what another program might do instead, and plants that."""
