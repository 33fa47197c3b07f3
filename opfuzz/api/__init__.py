"""What Python programs and notebooks call: the same as the command line does, on arrays and objects at hand."""
