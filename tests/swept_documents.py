"""Documents of sweeps, as `opfuzz sweep --json` prints them."""

from __future__ import annotations

FIGURES = {
    "inputs": 65536, "normal": 60000, "max_ulp": 1.49034896, "max_ulp_at_most": 1.49034896, "at_hex": "0x3c00",
    "at": 1.0, "computed": 2.0, "exact": 1.9, "max_excess": 0.5, "max_excess_at_hex": "0x3c00", "mean_ulp": 0.25,
    "above_half": 7, "above_1": 3, "above_16": 0, "flushed": 5, "falls": 0, "unresolved": 0, "examples": {},
    "mismatches": {"nan": 0, "inf": 0, "zero": 0, "finite": 0, "sign": 0},
}  # fmt: skip
WHOLE = {
    "range": ["0x0", "0x10000"],
    "params": {},
    "versions": {"torch": "2.13.0"},
    "environment": {},
    "processor": "X1",
    "vector_unit": "AVX2",
    "seconds": 0.25,
}
NOTHING = {"max_ulp": 0.0, "max_ulp_at_most": 0.0}
NONE = {**NOTHING, "tail": NOTHING}  # no error at all


def made(**tail):
    whole = {"op": "rsqrt", "subject": "torch:cpu", "format": "float16", **FIGURES}
    return {**whole, "tail": {**FIGURES, "differing": 0, "strays": 0, **tail}}


def document(subject="torch:cpu", format="float16", op="rsqrt", tail=None, **figures):
    seen = {"examples": {"flushed": "0x1"}}
    own = {**WHOLE, **seen, **figures, "subject": subject, "format": format, "op": op}
    return {**made(**{**seen, **(tail or {})}), **own}
