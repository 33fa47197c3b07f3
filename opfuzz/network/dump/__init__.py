"""The tensors of one model, in the order in which it computes them, in a file that any program can read and write."""
