"""What is said of a finding whose diagnosis failed: of a wrong number not the judge's first guess."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from opfuzz.core.cause import Cause
from opfuzz.engine.triage.diagnose import undiagnosed

SIZES = Cause("at-call", figures={"sizes": (("n", 3),), "views": ()})


@pytest.mark.parametrize(
    ("verdict", "told", "kinds"),
    [
        ("imprecise", Cause("behaves-like", "factors of 11 bits"), ["undiagnosed", "at-call"]),
        ("wrong", Cause("is-variant", "biased"), ["undiagnosed", "at-call"]),
        ("special", Cause("special-at", figures={"computed": 0.0}), ["special-at", "undiagnosed", "at-call"]),
    ],
)
def test_a_guess_that_nobody_refuted_is_not_told(verdict, told, kinds):
    said = undiagnosed(SimpleNamespace(verdict=verdict), (told, SIZES), "timeout")
    assert [cause.kind for cause in said] == kinds
    assert said[-2].figures["words"] == "timeout"
