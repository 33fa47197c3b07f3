import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.network.observe.spec_reader import SpecReader


@pytest.fixture(scope="session")
def specs():
    return BUNDLED_OPS


@pytest.fixture(scope="session")
def reader(specs):
    return SpecReader(specs)
