"""What every room speaks: formats, layouts, cases, calls, verdicts, results. It imports nothing else of opfuzz."""
