"""Finished runs that never ran, for tests of what is made of several of them."""

from __future__ import annotations

from typing import Any

from results import result

from opfuzz.core.run import Run
from opfuzz.judge.ranking import Ranking

VERSIONS = {"opfuzz": "0.1", "torch": "2.12", "numpy": "2.4"}
MACHINE = {"python": "3.11", "system": "Linux", "processor": "x", "cores": "2"}


def run_of(*results: Any, name: str = "20260131-142530-s0", **fields: Any) -> Run:
    """A run of these results; six fixed cases of each op, unless the fields say otherwise."""
    ranking = Ranking(core=8)
    for item in results:
        ranking.add(item)
    day = f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:{name[13:15]}+00:00"
    known = {
        "run": name,
        "started": day,
        "command": ("opfuzz", "run"),
        "seed": 0,
        "subjects": ("torch:cpu",),
        "absent": {},
        "versions": VERSIONS,
        "machine": MACHINE,
        "cases": len(results),
        "elements": 100,
        "seconds": 1.5,
        "interrupted": False,
        "ranking": tuple(ranking.rows()),
        "findings": tuple(ranking.findings()),
        "distances": (),
        "planned": 6,
    }
    return Run(**known | fields)


def fault(ulp: float = 100.0, excess: float = 50.0, number: int = 0, **fields: Any) -> Any:
    """A case that is wrong."""
    return result(number, "wrong", ulp, excess=excess, **fields)


def clean(ulp: float = 0.5, excess: float = 0.4, number: int = 0, **fields: Any) -> Any:
    """A case that is exact."""
    return result(number, "exact", ulp, excess=excess, **fields)
