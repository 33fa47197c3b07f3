"""The title of a cause is whole words about what is wrong, for every kind."""

from __future__ import annotations

import pytest

from documentation.cause_examples import EXAMPLES
from opfuzz.core.cause import KINDS, Cause
from opfuzz.core.common_cause import OWN, CommonCause, SmallestCall, WorstFigures
from opfuzz.core.relation import Relation
from opfuzz.report.causes import title
from opfuzz.report.causes.titles import MESSAGES

TITLES = {
    "formula": {"loses what the formula 'naive' loses", "fails where the formula 'naive' does"},
    "is-setting": {"computes as if eps were 1e-06", "computes as if x were shifted by 1 along axis 0"},
    "rounds-inputs": {"rounds a and b to 11 bits"},
    "quantises": {"quantises x to int8 per row", "gives results on int4 steps"},
    "results-in": {"gives float16 numbers only"},
    "sums": {"sums strictly sequentially", "sums equal terms"},
    "overflows-inside": {"overflows float16 inside", "2 x overflows float32 inside"},
    "leaks": {"NaN and infinities reach elements that depend on none"},
    "reads-as-contiguous": {"reads x as if it were contiguous"},
    "ignores-offset": {"ignores the offset of x"},
    "ignores-gaps": {"ignores the gaps between the rows of x"},
    "undiagnosed": {"errs, and its diagnosis failed"},
    "unexplained": {"behaves like 7.5 bits of 24, unexplained"},
    "depends-on": {
        "is wrong only from index 6 on of 8 along n",
        "is wrong only behind the last multiple of 64",
        "is wrong only where n >= 257",
        "is wrong for some values",
        "x = -inf gives nan, the limit is -0",
        "x from 1 to 2 gives a number, exact is inf",
        "is wrong only with x as a view (stepped)",
        "is wrong where x holds NaN and y reaches 1e30",
        "gives other bits in equal calls",
        "is wrong only after a call of the same shapes",
        "is wrong after earlier calls, or by chance",
    },
}


def titled(cause, name=None, formats=("float32",)):
    worst, smallest = WorstFigures(1.0, 1.0), SmallestCall("", None, None)
    return title(
        CommonCause(
            *("i", cause.kind, cause.name if name is None else name, "mlx", "fault", "ordinary", cause),
            *(("mlx:cpu",), ("exp",), formats, worst, smallest, None, ("a",), "findings/a"),
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_title_of_whole_words(kind):
    made = {titled(cause) for cause in EXAMPLES if cause.kind == kind}
    assert all(made)
    assert made == TITLES.get(kind, made)
    if kind in MESSAGES:
        assert made == {cause.figures["words"] for cause in EXAMPLES if cause.kind == kind}
    assert not any(text.startswith(("it ", "its ")) or text.endswith((" the", " a", ",", ":")) for text in made)


@pytest.mark.parametrize(
    ("computed", "exact", "words"),
    [
        (float("nan"), 2.5, "returns nan where a number is right"),
        (float("inf"), float("nan"), "returns inf where nan is right"),
        (3.4e38, float("inf"), "returns a number where inf is right"),
        (0.0, -0.0, "returns 0 where -0 is right"),
    ],
)
def test_special_values(computed, exact, words):
    assert titled(Cause("special-at", figures={"computed": computed, "exact": exact})) == words


def test_the_format_of_each_op_is_named_where_it_is_one():
    cause = Cause("usual-formula", "float16")
    assert titled(cause, OWN, ("float16",)) == "errs as the usual formula in float16 does"
    assert titled(cause, OWN, ("float16", "bfloat16")) == "errs as the usual formula in its format does"


def test_other_bits_after_other_calls():
    assert titled(Cause("depends-on", "repetition", Relation("disturbed"))) == (
        "gives other bits after a call with other values"
    )
