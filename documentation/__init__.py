"""Pages and pictures of `docs/` that the program itself knows: `python -m documentation` writes them."""
