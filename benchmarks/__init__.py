"""What a run costs, and figures that settings of opfuzz rest on. `python -m benchmarks` measures the cost."""
