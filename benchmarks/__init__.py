"""What a run costs, and figures that settings of opfuzz rest on. `python -m benchmarks` measures the cost."""

import os

# As a worker has it, before any library reads it: on a busy machine two threads of one product wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[name] = "1"
