"""Settings: what options are where nobody gives them, from opfuzz.toml or pyproject.toml."""
