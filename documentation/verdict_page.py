"""The page of verdicts and causes: what each means, with an example that the program itself judges or words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from documentation.cause_examples import EXAMPLES
from documentation.judged import Array, reference, sequential
from documentation.tables import code, page, table
from opfuzz.core.cause import KINDS
from opfuzz.core.rounding import round_to_bits
from opfuzz.core.verdicts import SEVERITY, VERDICTS
from opfuzz.judge.score import score
from opfuzz.report.causes import word_cause

INTRODUCTION = """
A call gets one verdict, the first of this table that holds; a row of the ranking has the worst of its cases.
**Faults** count for the exit code, **notes** are told and do not, the rest is **clean**. [How to read the
ranking](ranking.md) has the figures beside a verdict, and [What an allowance is](allowance.md) the limit between
honest and wrong.
"""
JUDGED = """
## Judged just now

These outputs were made and judged when this page was written, by the code that judges in a run. `ulp` and `excess`
are the largest of the output.
"""
CAUSES = """
## Causes

Why a result is what it is. In `run.json` a cause is data, a `kind`, a `name` and `figures`; these are its words.
Findings with one kind and name on one framework are one cause of a run. **The figures of these examples are made
up**; the words are the program's.
"""
MEANING = {
    "crash": ("the call raised, its process died, or it returned another shape or type", "raised ValueError: ..."),
    "timeout": ("no result within the limit, 10 s if `--case-time` does not say otherwise", "no result after 10 s"),
    "out-of-memory": ("a process took more than `--case-memory`", "4.02 GiB in use, the limit is 4.00 GiB"),
    "unstable": (
        "the same call gave other bits, at once or after a call with other values",
        "softmax called twice on one tensor: 3 of 512 elements have other bits",
    ),
    "special": ("NaN, an infinity, or the sign of a zero of an elementwise function is wrong", ""),
    "wrong": ("a variant of the op explains it, or the errors are larger than a lower precision makes them", ""),
    "imprecise": (
        "errors no larger than a lower precision makes them, which is named where they are also spread like its own; "
        "or a formula or an order of summation that loses more than it must",
        "",
    ),
    "narrow": ("half formats: intermediates are rounded to the half format", ""),
    "normwise": (
        "relative accuracy is lost where the usual formula loses it: cancellation, overflow or underflow inside",
        "",
    ),
    "unresolved": (
        "the exact value is not certain enough for this error",
        "no spec that comes with opfuzz has such a case",
    ),
    "ill-conditioned": (
        "nearly all elements have an allowance larger than their value",
        "a bfloat16 layer_norm of numbers near 10^6 that differ by less than their spacing",
    ),
    "unsupported": ("no such call, or the framework has no kernel for it", "mlx has no float64 on its GPU"),
    "stable": ("as good as honest arithmetic", ""),
    "faithful": ("at most 1 ulp off", ""),
    "exact": ("correctly rounded everywhere", ""),
}


@dataclass(frozen=True)
class Example:
    """An output, made of inputs in some way, and what it stands for."""

    told: str
    op: str
    inputs: dict[str, Array]
    dims: dict[str, int]
    output: Callable[[dict[str, Array]], Array]
    format: str = "float32"


def _row(*values: float, dtype: str = "float32") -> Array:
    return np.array([values], dtype)


def _normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _one_up(exact: Array) -> Array:
    """The float beside the correctly rounded one, on the side of the exact value."""
    rounded = exact.astype(np.float32)
    return np.nextafter(rounded, np.where(rounded < exact, np.inf, -np.inf).astype(np.float32))


def _tanh_gelu(x: Array) -> Array:
    wide = x.astype(np.float64)
    return (0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))).astype(np.float32)


def _half_softmax(x: Array) -> Array:
    """All steps rounded to the half format, the sum as well taken wide and rounded once."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True, dtype=np.float32).astype(np.float16)


EXAMPLES_OF_VERDICTS = (
    Example(
        "`exp(88.5)` is infinite, as MLX's is on the CPU",
        "exp",
        {"x": _row(88.5)},
        {"batch": 1, "n": 1},
        lambda given: np.full((1, 1), np.inf, np.float32),
    ),
    Example(
        "GELU by its approximation with tanh",
        "gelu",
        {"x": _normal(1, 256)},
        {"batch": 1, "n": 256},
        lambda given: _tanh_gelu(given["x"]),
    ),
    Example(
        "a product of matrices whose inputs are rounded to the 11 bits of TF32",
        "matmul",
        {"a": _normal(1, 4, 256), "b": _normal(1, 256, 4, seed=1)},
        {"batch": 1, "m": 4, "k": 256, "n": 4},
        lambda given: np.matmul(*(round_to_bits(given[name], 11).astype(np.float64) for name in "ab")).astype(
            np.float32
        ),
    ),
    Example(
        "a float16 softmax with float16 steps",
        "softmax",
        {"x": (_normal(1, 64) * 4).astype(np.float16)},
        {"batch": 1, "n": 64},
        lambda given: _half_softmax(given["x"]),
        "float16",
    ),
    Example(
        "GELU at -5, by the usual formula, which loses digits there",
        "gelu",
        {"x": _row(-5.0)},
        {"batch": 1, "n": 1},
        lambda given: np.float32(0.5) * given["x"] * (np.float32(1) + erf(given["x"] / np.float32(np.sqrt(2)))),
    ),
    Example(
        "a thousand numbers between 0 and 1, added up one by one",
        "sum",
        {"x": np.abs(_normal(1, 1000))},
        {"batch": 1, "n": 1000},
        lambda given: sequential(given["x"]),
    ),
    Example(
        "a square root, correctly rounded",
        "sqrt",
        {"x": np.abs(_normal(1, 256))},
        {"batch": 1, "n": 256},
        lambda given: np.sqrt(given["x"]),
    ),
    Example(
        "the same, each the second nearest number",
        "sqrt",
        {"x": np.abs(_normal(1, 256))},
        {"batch": 1, "n": 256},
        lambda given: _one_up(np.sqrt(given["x"].astype(np.float64))),
    ),
)


def verdict_page() -> str:
    """Markdown: the verdicts, outputs judged, and the kinds of causes."""
    verdicts = [[code(word), SEVERITY[word], *MEANING[word]] for word in VERDICTS]
    judged = [_judged(example) for example in EXAMPLES_OF_VERDICTS]
    return page(
        "Verdicts and causes",
        "python -m documentation",
        INTRODUCTION,
        table(["verdict", "severity", "when", "such as"], verdicts),
        JUDGED.strip() + "\n\n" + table(["output", "op", "verdict", "ulp", "excess", "cause"], judged),
        CAUSES.strip() + "\n\n" + table(["kind", "meaning", "its name", "an example"], list(_causes())),
    )


def _judged(example: Example) -> list[str]:
    exact = reference(example.op, example.inputs, example.dims, example.format)
    found = score(example.output(example.inputs).reshape(exact.shape), exact)
    figures = [f"{figure:.2g}" for figure in (found.ulp, found.excess)]
    return [example.told, code(example.op), code(found.verdict), *figures, word_cause(found.cause)]


def _causes() -> list[list[str]]:
    told = {}
    for cause in EXAMPLES:
        told.setdefault(cause.kind, word_cause(cause))
    return [[code(kind), known.meaning, known.name, told[kind]] for kind, known in KINDS.items() if kind]
