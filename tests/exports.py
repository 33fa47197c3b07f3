"""Small exports: the specs of tests/small, and an op with every kind of input."""

from __future__ import annotations

from pathlib import Path

from small_campaigns import SPECS
from toys_of_bundles import GATHER

from opfuzz.backends import discover
from opfuzz.engine.plan import Plan, load_specs, vocabulary
from opfuzz.store.exchange import Export, read_export, write_export

WORDS = vocabulary(discover(), dialects=())


def plan_of(specs: Path = SPECS, each: int = 6, seed: int = 0) -> Plan:
    """A plan for these specs, on no subject."""
    return Plan(load_specs([specs], discover(), dialects=()), (), seed, 1, cases=each)


def exported(place: Path, plan: Plan) -> Export:
    """The cases of a plan, written to a folder."""
    assert plan.cases is not None
    cases = [(number, plan.case(op, fmt, number)) for op, fmt in plan.pairs() for number in range(plan.cases)]
    specs = {spec.op: spec for spec in plan.specs}
    return write_export(Export(place, "0.0", plan.seed, plan.cases, None, specs, ()), cases)


def gathered(folder: Path) -> Path:
    """A folder with the spec of the op with every kind of input."""
    folder.mkdir()
    (folder / "gathered.yaml").write_text(GATHER)
    return folder


def read(place: Path) -> Export:
    """The export in a folder."""
    return read_export(place, WORDS)
