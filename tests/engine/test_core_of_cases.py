"""The cases that every run makes: the same whatever the seed, told in every row, and never more than half of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_campaigns import SPECS

from opfuzz.backends import discover
from opfuzz.backends.numpy import Numpy
from opfuzz.engine.campaign import run
from opfuzz.engine.executors import INLINE
from opfuzz.engine.options import Order
from opfuzz.engine.plan import Plan, alike_of, load_specs
from opfuzz.generate import inputs


def plan_of(seed: int, **fields):
    order = Order((SPECS,), ("numpy:cpu",), Path("reports"), ops=("square",), formats=("float32",), seed=seed, **fields)
    return order.plan(discover())


@pytest.mark.parametrize(
    ("budget", "core"), [({"cases": 1}, 0), ({"cases": 7}, 3), ({"cases": 99}, 8), ({"seconds": 9.0}, 8)]
)
def test_half_of_the_cases_at_most_are_of_every_run(budget, core):
    plans = [plan_of(seed, **budget) for seed in (0, 5, 20261201)]
    assert {plan.core for plan in plans} == {core}
    for number in range(12):
        drawn = {plan.case("square", "float32", number).id for plan in plans}
        assert len(drawn) == (1 if number < core else 3), number


class Compiling(Numpy):
    """One that makes a program for each shape."""

    compiles = True


def test_what_compiles_is_given_sizes_again_after_the_core():
    specs = load_specs([SPECS], discover())
    backends = {"plain": Numpy("plain"), "compiling": Compiling("compiling")}
    plans = {
        name: Plan(specs, (f"{name}:cpu",), seed=3, jobs=1, core=8, alike=alike_of([f"{name}:cpu"], backends))
        for name in backends
    }
    drawn = {name: [plan.case("square", "float32", number) for number in range(40)] for name, plan in plans.items()}
    assert drawn["plain"][:9] == drawn["compiling"][:9]
    for first in range(8, 40, 8):
        some = drawn["compiling"][first : first + 8]
        assert len({str(case.dims) for case in some}) == 1
        assert some[0] == drawn["plain"][first]
        assert len({case.id for case in some}) == 8
        assert [case.regimes for case in some] == [case.regimes for case in drawn["plain"][first : first + 8]]
        for case in some:
            inputs(next(spec for spec in specs if spec.op == "square"), case)
    assert len({str(case.dims) for case in drawn["plain"][8:]}) > 10


def test_a_row_tells_what_came_of_them():
    rows = [run(plan_of(seed, cases=6, jobs=1), executor=INLINE).ranking.rows()[0] for seed in (1, 2)]
    assert rows[0].core == rows[1].core
    assert rows[0].core.numbers == (0, 1, 2)
    assert rows[0].drawn != rows[1].drawn
    assert rows[0].drawn.numbers == (0,)
