"""What is said of a search among versions: the pair, what weakens it, and the section in the report for a tracker."""

from __future__ import annotations

from dataclasses import replace

from opfuzz.core.retrial import ABSENT, THERE, UNTOLD, Bisection, Retrial, TriedVersion
from opfuzz.report.finding.bisection import bisection_document, bisection_lines, with_bisection


def tried(version: str, answer: str, words: str = "computed 1.0", **versions: str) -> TriedVersion:
    return TriedVersion(version, Retrial(answer, words, {"torch": version, **versions}), 1.25)


def found(*between: TriedVersion, numpy: str = "1.26.4", package: str = "torch") -> Bisection:
    below, above = tried("2.1.0", ABSENT, numpy="1.26.4"), tried("2.3.0", THERE, numpy=numpy)
    return Bisection(package, below, above, between, (below, *between, above), 9)


UPSTREAM = """# torch.exp: wrong

```python
## Since which version of torch
```

Found with opfuzz.
"""


def test_the_pair_alone():
    assert bisection_lines(found()) == [
        "torch 2.1.0 is the last good version, 2.3.0 the first bad one",
        "2 of 9 versions were tried",
    ]
    assert bisection_document(found())["differ_as_well"] == {}


def test_a_gap_and_what_differs_beside_it_are_said():
    gap = found(*(tried(f"2.2.{minor}", UNTOLD, "no wheel\x1b") for minor in range(6)), numpy="2.1.0")
    lines = bisection_lines(gap)
    assert lines[1].startswith("between them, it is not known of 2.2.0: no wheel\N{REPLACEMENT CHARACTER}; 2.2.1: ")
    assert lines[1].endswith("; 2.2.3: no wheel\N{REPLACEMENT CHARACTER}, and 2 more")
    assert lines[2] == "numpy differs as well: 1.26.4 with 2.1.0, 2.1.0 with 2.3.0"
    document = bisection_document(gap)
    assert document["not_known"] == [f"2.2.{minor}" for minor in range(6)]
    assert document["differ_as_well"] == {"numpy": ["1.26.4", "2.1.0"]}


def test_a_section_a_package_each_once():
    text = with_bisection(UPSTREAM, found())
    assert text.startswith(UPSTREAM.strip()), "code is left alone"
    assert text.count("\n## Since which version of torch\n") == 2
    both = with_bisection(text, found(package="numpy"))
    assert both.startswith(text.strip())
    again = with_bisection(both, replace(found(), versions=10))
    assert again.count("\n## Since which version of numpy\n") == 1
    assert again.count("\n## Since which version of torch\n") == 2
    assert "2 of 10 versions" in again
    assert again.endswith("- 2.3.0: wrong: computed 1.0 (torch 2.3.0, numpy 1.26.4)\n")


def test_words_of_a_framework_are_no_markup():
    odd = replace(found(), check="pytest <x> # y")
    odd = replace(odd, above=replace(odd.above, retrial=Retrial(THERE, "<b>`x`\n## y</b> @z", {})))
    text = with_bisection(UPSTREAM, odd)
    assert "<b>" not in text
    assert "\n## y" not in text
    assert "\n- as told by the command pytest &lt;x&gt; " in text
