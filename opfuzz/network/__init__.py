"""Whole networks: where two of them part, which op or reading makes it, and what two files of tensors say."""
