"""Causes of every kind, with every figure that it may have. The figures are made up."""

from __future__ import annotations

from opfuzz.core.cause import Cause
from opfuzz.core.relation import Relation

NAN, INF = float("nan"), float("inf")
FIT = {"fit": 0.5, "elements": 8, "own": 1e9}
MET = {"elements": 9, "met": 8, "before": 74.9, "after": 0.2}
EXAMPLES = (  # of every kind, with every figure that it may have
    Cause(""),
    Cause("raises", "ValueError", figures={"words": "raised ValueError: [softmax] Received empty array"}),
    Cause("hangs", figures={"words": "no result after 10 s"}),
    Cause("dies", "SIGABRT", figures={"words": "killed by SIGABRT in conv1d (functional.py:355)"}),
    Cause("out-of-memory", "MemoryError", figures={"words": "4.02 GiB in use, the limit is 4.00 GiB"}),
    Cause("unsupported", figures={"words": "has no call for mlx"}),
    Cause("told", figures={"words": "as an older opfuzz put it"}),
    Cause("fails", figures={"words": "the program wrote: crash, device lost"}),
    Cause("unknown-truth", figures={"words": "the reference is too large to be evaluated"}),
    Cause("undiagnosed", figures={"words": "no memory was left for it"}),
    Cause("wrong-shape", "shape", figures={"words": "returned shape (3,), the spec says (4,)", "output": "mean"}),
    Cause("is-variant", "tanh", figures={"note": "by tanh", **FIT}),
    Cause("is-variant", "eps-1e-5", figures={"note": "eps is 1e-5", "sets": ("eps", 1e-5), **FIT}),
    Cause("is-setting", "eps", figures={"how": ("value", 1e-6), **FIT}),
    Cause("is-setting", "x", figures={"how": ("shifted", 1, 0), **FIT, "own": None}),
    Cause("special-at", "", Relation("rows", "n"), {"computed": NAN, "exact": -INF, "overflows": "float16"}),
    Cause("special-at", figures={"computed": NAN, "exact": 0.0, "ends": (0.0, 1.0), "overflows": ""}),
    Cause("leaks", figures={"elements": 2}),
    Cause(
        "cuts-gradient",
        "square",
        figures={"step": 3, "steps": 10, "elements": 9, "met": 8, "before": 74.9, "after": 0.2},
    ),
    Cause("outside-kink", figures={"elements": 2}),
    Cause("scales-gradient", "1/batch", figures=MET),
    Cause("scales-gradient", figures={"factors": (0.5, 0.25), **MET}),
    Cause("arranges-gradient", figures={"how": ("transposed", 0, 1), **MET}),
    Cause("mistakes-gradient", "term", figures={"about": "sum", **MET}),
    Cause("accumulates-in", "bfloat16", figures={"lanes": 1, "are_results": True}),
    Cause("rounds-counts", "bfloat16"),
    Cause("rounds-tables", "bfloat16"),
    Cause("keeps-in", "bfloat16"),
    Cause("inherits", "exp", figures={"elements": 9, "met": 8, "before": 74.9, "after": 0.2}),
    Cause("computes-in", "float16", figures={"instead_of": "float32", "elements": 8}),
    Cause("computes-in", "float16", figures={"step": "exp", "elements": 9, "met": 8, "before": 74.9, "after": 0.2}),
    Cause("computes-in", "float16", figures={"through": ("inputs",), "elements": 9, "met": 8, "before": 0, "after": 0}),
    Cause("computes-in", "bfloat16", Relation("view", "x", "stepped"), {"blind": True, "only": True}),
    Cause(
        "accumulates-in",
        "float16",
        figures={"lanes": 8, "end": 16384, "ones": 18002, "dim": "k", "are_squares": False, "stops_at": 2048},
    ),
    Cause(
        "rounds-inputs",
        "TF32",
        figures={"inputs": ("a", "b"), "bits": 11, "verb": "rounds", "after": 1.0, "before": INF},
    ),
    Cause("rounds-argument", figures={"roundings": 2.0}),
    Cause("quantises", "x", figures={"bits": 8, "grid": "per row", "fit": 0.5, "elements": 8}),
    Cause("quantises", figures={"bits": 4, "values": 16, "step": 0.1, "exact": 90}),
    *(
        Cause("saturates", what, figures={"low": -128, "high": 127, "wraps": wraps, "variant": variant, **MET})
        for what in ("first", "second", "sums", "pairs", "running")
        for wraps in (False, True)
        for variant in ("", "eight-bits")
    ),
    Cause("results-in", "float16", figures={"bits": 11, "elements": 64, "unheld": 60}),
    Cause("formula", "naive", figures={"note": "two passes", "worst": 9.0, "own": 8.0, "inside": "float32"}),
    Cause("formula", "naive", figures={"note": "", "fails": True, "wider": True}),
    Cause("sums", figures={"lanes": 1, "repeats": 255.0}),
    Cause("sums", "k", figures={"lanes": 1, "term": 0.1, "terms": (257, 1025), "errors": (3.0, 12.0), "own": 12.0}),
    Cause("usual-formula", "float16"),
    Cause("overflows-inside", "float16", figures={"beyond": 65504.0, "finite": 2.0**10, "infinite": 2.0**17}),
    *map(Cause, ("underflows-inside", "cancels", "conditioning", "natural-nan", "unconfirmed")),
    Cause("cancels", figures={"absolute": 2.6e-7}),
    Cause("overflows-inside", "float32", figures={"step": "2 x", "from": 1.7e38}),
    *(
        Cause(kind, "x", figures={"layout": "stepped"})
        for kind in ("reads-as-contiguous", "ignores-offset", "ignores-gaps")
    ),
    Cause("depends-on", "place", figures={"wrong": 2, "elements": 8, "parts": (("from", 8, "n", 6),)}),
    Cause("depends-on", "tail", figures={"wrong": 2, "elements": 66, "vector": 64}),
    Cause("depends-on", "size", figures={"conditions": (("n", ">=", 257),)}),
    Cause("depends-on", "values", figures={"ranges": ((-INF, -INF, 1.0), (1.0, 2.0, 0.5)), "most": 1.5, "excess": 9.0}),
    Cause("depends-on", "values", figures={"classes": ((((-INF, -INF, 1.0),), NAN, -0.0, True, ("x^2", 1.8e19)),)}),
    Cause("depends-on", "values", figures={"classes": ((((1.0, 2.0, 1.0),), None, INF, False, None),)}),
    Cause("depends-on", "layout", figures={"views": (("x", "stepped"),), "instead": "wrong", "beside": True}),
    Cause("depends-on", "holders", figures={"inputs": (("x", "holds", NAN), ("y", "reaches", 1e30))}),
    Cause("depends-on", "repetition", Relation("repeated"), {"changed": 1, "elements": 8}),
    *(Cause("depends-on", name) for name in ("history", "chance")),
    Cause("bits", figures={"bits": 7.5, "of": 24}),
    Cause("behaves-like", "float16 inside", figures={"own": 900.0, "lower": 0.9, "ordinary": True}),
    Cause("at-call", figures={"sizes": (("n", 4),), "views": (("x", "stepped"),)}),
    Cause("unexplained", figures={"bits": 7.5, "of": 24}),
)
