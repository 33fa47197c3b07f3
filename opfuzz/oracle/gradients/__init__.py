"""Gradients of references: graphs of the same nodes, made by reverse mode."""
