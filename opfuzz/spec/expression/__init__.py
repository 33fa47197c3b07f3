"""The checked call language: Python's syntax for arithmetic and calls, and nothing else of Python."""
