import pytest

from opfuzz.backends import discover
from opfuzz.cli.group import bundled_specs
from opfuzz.engine.plan import load_specs
from opfuzz.network.observe.spec_reader import SpecReader


@pytest.fixture(scope="session")
def specs():
    return {spec.op: spec for spec in load_specs((bundled_specs(),), discover(()), dialects=("torch",))}


@pytest.fixture(scope="session")
def reader(specs):
    return SpecReader(specs)
