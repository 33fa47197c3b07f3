"""Two files of tensors: what is different, and what the difference is."""
