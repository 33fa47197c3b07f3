"""Specs with the shapes of well-known ops and trivial formulas, for tests in which nothing is computed."""

from __future__ import annotations

from pathlib import Path

from opfuzz.generate import regime_names
from opfuzz.spec import Vocabulary, load_all

_WORDS = Vocabulary(regimes=regime_names(), reference_functions={}, dialects={"numpy": None})
_SPECS = {spec.op: spec for spec in load_all([Path(__file__).parent / "toys"], _WORDS)}

CONVOLUTION = _SPECS["convolution"]
IMPOSSIBLE = _SPECS["impossible"]
LOOKUP = _SPECS["lookup"]
NORM = _SPECS["norm"]
PRODUCT = _SPECS["product"]
UNARY = _SPECS["unary"]
TOYS = (CONVOLUTION, LOOKUP, NORM, PRODUCT, UNARY)
