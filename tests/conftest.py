"""Settings of all tests. Being here also puts this folder on the path: tests in every folder import toy_specs."""

from hypothesis import settings

# The same examples on every run, and no deadline: a busy machine is no failure.
settings.register_profile("opfuzz", derandomize=True, deadline=None)
settings.load_profile("opfuzz")
