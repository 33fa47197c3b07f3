"""The history as a page: what it shows is read back from its HTML, and held against nights whose content is known."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from made_nights import DAYS, NEW, OLD, at, common, compared, name, write
from results import result, told
from runs_of_rows import VERSIONS, clean, fault, run_of

from opfuzz.core.comparison import CauseChange, Remark
from opfuzz.report.history.core_lines import error_words, is_joined, moves, unsized
from opfuzz.report.history.html import render_history
from opfuzz.store.history import NAME, add, trends
from opfuzz.store.lives import Past, past

HOSTILE = "ev\x1b[31mil\u202e|<script>alert(1)</script>\n\"'><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br"}


class Tree(HTMLParser):
    """Elements as dictionaries: tag, attributes, children, and the text inside."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = {"tag": "", "attrs": {}, "inside": [], "text": ""}
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], "every element ends"

    def handle_starttag(self, tag, attrs):
        assert len({key for key, _ in attrs}) == len(attrs)
        found = {"tag": tag, "attrs": dict(attrs), "inside": [], "text": ""}
        self.open[-1]["inside"].append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag, attrs):
        self.open[-1]["inside"].append({"tag": tag, "attrs": dict(attrs), "inside": [], "text": ""})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for each in self.open:
            each["text"] += data


def walk(element):
    yield element
    for inner in element["inside"]:
        yield from walk(inner)


def find(element, tag, kind=None):
    """All elements of a tag, and of a class."""
    return [
        each
        for each in walk(element)
        if each["tag"] == tag and (kind is None or kind in (each["attrs"].get("class") or "").split())
    ]


def marks(picture):
    """Run, class, place and words of every mark of a picture."""
    found = []
    for svg in find(picture, "svg")[1:]:
        for path in find(svg, "path", "k"):
            run, _, words = path["text"].partition(": ")
            found.append((run, path["attrs"]["class"].split()[1], float(svg["attrs"]["x"][:-1]), words))
    return found


def lines(picture, kind):
    """The ends of lines, in percent."""
    return [tuple(float(each["attrs"][x][:-1]) for x in ("x1", "x2")) for each in find(picture, "line", kind)]


def place(day):
    """Where a day stands: the first at 2 %, the last at 98."""
    return round(2 + 96 * (at(day) - at(1)) / (at(11) - at(1)), 2)


def page_of(path, **asked):
    return render_history(past(path, **asked), trends(path, **asked))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("nights") / NAME)


@pytest.fixture(scope="module")
def text(path):
    return page_of(path)


@pytest.fixture(scope="module")
def tree(text):
    return Tree(text).root


def test_the_headline_counts(tree):
    (heading,) = find(tree, "h1")
    expected = "2 causes of faults in 10 runs from 1 Jan 2026 to 11 Jan 2026: 1 known, not met, 1 fixed."
    assert heading["text"] == expected
    assert "A run about every day" in tree["text"]


def test_each_cause_is_a_line_from_first_seen_to_fixed(tree):
    (lives,) = find(tree, "ol", "lives")
    old, new = find(lives, "li")
    assert OLD in old["text"]
    assert "torch exp: words of a0a0a0a0a0a0" in old["text"]
    assert "since 1 Jan 2026: there in the first run; met in 3 of 10 runs" in old["text"]
    assert "not met since 4 Jan 2026, nor found fixed" in old["text"]
    (picture,) = find(old, "svg", "strip")
    assert [(run, kind, x) for run, kind, x, _ in marks(picture)] == [
        (name(day), "met", place(day)) for day in (1, 2, 4)
    ]
    assert lines(picture, "life") == [(place(1), place(4)), (place(6), place(11))], "broken where nothing ran"
    assert lines(picture, "known") == [(place(4), place(6))]
    assert NEW in new["text"]
    assert "regression: right in the earlier run, on a case that both made; 9 Jan 2026: fixed" in " ".join(
        new["text"].split()
    )
    assert "worst 100 ulp, excess 50" in new["text"]
    (picture,) = find(new, "svg", "strip")
    assert [(run, kind, x) for run, kind, x, _ in marks(picture)] == [
        (name(8), "regression", place(8)),
        (name(9), "fixed", place(9)),
    ]
    assert lines(picture, "life") == [(place(8), place(9))]


def test_the_axis_has_every_run_the_gap_and_the_versions(tree):
    (axis,) = find(tree, "div", "axis")
    (picture,) = find(axis, "svg", "strip")
    assert lines(picture, "run") == [(place(day), place(day)) for day in DAYS]
    assert [(run, kind, x) for run, kind, x, _ in marks(picture)] == [
        (f"{name(3)}, seed 3, interrupted", "cut", place(3))
    ]
    (gap,) = find(picture, "rect", "gap")
    assert float(gap["attrs"]["x"][:-1]) == place(4)
    assert float(gap["attrs"]["width"][:-1]) == pytest.approx(place(6) - place(4), abs=0.02)
    assert sorted(each["text"] for each in find(picture, "text", "told")) == [
        "1 torch 2.12 → 2.13",
        "2 torch 2.13 → 2.14",
    ]
    assert [each["text"] for each in find(picture, "text", "tick")] == ["3 Jan", "5 Jan", "7 Jan", "9 Jan", "11 Jan"]
    for strip in find(tree, "svg", "strip")[1:]:
        assert lines(strip, "turn")[:2] == [(place(8), place(8)), (place(9), place(9))], "behind every picture"


def test_what_changed_is_a_table(tree):
    table = next(each for each in find(tree, "table") if "Versions" in each["text"])
    rows = [[cell["text"] for cell in row["inside"]] for row in find(table, "tr")[1:]]
    assert rows == [
        ["1", "torch 2.12 → 2.13", "8 Jan 2026", name(8)],
        ["2", "torch 2.13 → 2.14", "9 Jan 2026", name(9)],
    ]


def test_the_core_moves_where_the_software_moved(tree):
    exp, gelu = find(tree, "figure", "core")
    assert "exp torch:cpu float32, moved in 2 runs" in " ".join(exp["text"].split()), (
        "at fault, and first of those that moved"
    )
    (picture,) = find(gelu, "svg", "strip")
    points = [(run, kind, x, words) for run, kind, x, words in marks(picture)]
    assert [(run, x) for run, _, x, _ in points] == [(name(day), place(day)) for day in DAYS]
    assert [kind for _, kind, _, _ in points] == ["clean"] * 6 + ["fault"] + ["clean"] * 3
    assert points[2][3] == "0.5 ulp, exact, only 1 of 2 cases"
    assert points[6][3] == "100 ulp, wrong"
    # The third made fewer cases, and on the fifth of January nothing ran: no line there.
    joined = [(1, 2), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11)]
    assert lines(picture, "error") == [(place(then), place(now)) for then, now in joined]
    (label,) = [picture["attrs"]["aria-label"]]
    assert "8 Jan 2026 100 ulp, wrong; 9 Jan 2026 0.5 ulp, exact" in label
    assert "1 row is clean and never moved" in tree["text"]


def test_an_error_without_a_size_is_no_number(tree):
    exp = find(tree, "figure", "core")[0]
    (picture,) = find(exp, "svg", "strip")
    (lost,) = [(run, words) for run, kind, _, words in marks(picture) if kind == "unsized"]
    assert lost == (name(4), "NaN, an error without a size, wrong")
    assert (place(3), place(4)) not in lines(picture, "error")
    assert find(exp, "div", "plot")[0]["text"].startswith("NaN")


def test_nothing_is_ever_requested_and_nothing_runs(text, tree):
    (policy,) = [m["attrs"]["content"] for m in find(tree, "meta") if "http-equiv" in m["attrs"]]
    (style,) = find(tree, "style")
    digest = base64.b64encode(hashlib.sha256(style["text"].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert not find(tree, "script")
    assert not any("style" in each["attrs"] or "src" in each["attrs"] for each in walk(tree))
    links = {each["attrs"]["href"] for each in walk(tree) if "href" in each["attrs"]}
    ids = [each["attrs"]["id"] for each in walk(tree) if "id" in each["attrs"]]
    assert len(set(ids)) == len(ids)
    assert links - {"data:,"} <= {f"#{id}" for id in ids}
    assert not re.search(r"url\(|@import|https?://", text)


def test_only_what_is_asked_for(path):
    tree = Tree(render_history(past(path, "exp", limit=9), trends(path, "exp", limit=9), "exp")).root
    assert "Kept to exp." in tree["text"]
    (old,) = find(find(tree, "ol", "lives")[0], "li")
    (picture,) = find(old, "svg", "strip")
    assert lines(picture, "life")[-1][0] == 0.0, "it began before what is shown"
    assert "met in 2 of 9 runs, 3 in all" in old["text"]
    assert len(find(tree, "figure", "core")) == 1


def hostile(tmp_path):
    """A history in which every name and word is hostile."""
    cause = common(
        HOSTILE, framework=HOSTILE, cause=told(HOSTILE), ops=(HOSTILE,), subjects=(HOSTILE,), formats=(HOSTILE,)
    )  # fmt: skip
    for day in (1, 2, 3):
        made = run_of(
            fault(10.0**day, op=HOSTILE, subject=HOSTILE), name=name(day), causes=(cause,), subjects=(HOSTILE,),
            versions={**VERSIONS, HOSTILE: f"{day}{HOSTILE}"}, machine={"python": f"{day}{HOSTILE}"}, profile=HOSTILE,
        )  # fmt: skip
        made = dataclasses.replace(made, run=f"{day}{HOSTILE}")
        said = (CauseChange("undecided", cause, (HOSTILE,), (HOSTILE,), (), Remark("not-asked", HOSTILE)),)
        add(tmp_path / NAME, compared(made, HOSTILE, *(said if day == 1 else ())))
    return tmp_path / NAME


def test_nothing_hostile_reaches_the_page(tmp_path):
    text = page_of(hostile(tmp_path))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "alert(1)</script>" not in text
    tree = Tree(text).root
    assert {each["tag"] for each in walk(tree)}.isdisjoint({"script", "img", "iframe", "object"})
    assert not any(key.startswith("on") for each in walk(tree) for key in each["attrs"])
    assert "<script>alert(1)</script>" in tree["text"], "it is shown as it is written"
    (life,) = find(find(tree, "ol", "lives")[0], "li")
    assert [kind for _, kind, _, _ in marks(find(life, "svg", "strip")[0])] == ["undecided", "met", "met"]


def test_a_history_without_runs_is_a_page():
    tree = Tree(render_history(Past((), (), {}), [])).root
    assert find(tree, "h1")[0]["text"] == "No run is known."
    assert "None of these runs met one." in tree["text"]


def test_one_run_is_a_page(tmp_path):
    add(tmp_path / NAME, run_of(fault(), clean(op="relu"), name=name(1), causes=(common(OLD),)))
    tree = Tree(page_of(tmp_path / NAME)).root
    assert find(tree, "h1")[0]["text"] == "1 cause of faults in 1 run: 1 there now."
    assert "no rhythm" in tree["text"]
    (life,) = find(find(tree, "ol", "lives")[0], "li")
    assert [(kind, x) for _, kind, x, _ in marks(find(life, "svg", "strip")[0])] == [("met", 50.0)]
    assert len(find(tree, "figure", "core")) == 1


def points(tmp_path, *runs):
    """Of gelu, in a history of these runs."""
    for run in runs:
        add(tmp_path / NAME, run)
    (trend,) = trends(tmp_path / NAME)
    return trend.points


def test_what_another_judge_says_has_moved_nothing(tmp_path):
    made = points(
        tmp_path,
        run_of(clean(), name=name(1), specs={"gelu": "1"}),
        run_of(fault(), name=name(2), specs={"gelu": "2"}),
        run_of(fault(number=3), name=name(3), specs={"gelu": "2"}),
        run_of(fault(101.0, number=3), name=name(4), specs={"gelu": "2"}),
        run_of(fault(150.0, number=3), name=name(6), specs={"gelu": "2"}),
    )
    assert list(moves(made)) == [name(6)], "a twentieth is not worth a word"
    assert [is_joined(*pair) for pair in pairwise(made)] == [False, False, True, True]


def test_a_call_that_failed_has_no_error_of_zero(tmp_path):
    crash, infinite = result(0, "crash", 0.0), result(0, "special", float("inf"))
    first, second = points(tmp_path, run_of(crash, name=name(1)), run_of(infinite, name=name(2)))
    assert (unsized(first.core), error_words(first.core)) == ("crash", "crash")
    assert (unsized(second.core), error_words(second.core)) == (
        "infinite",
        "infinite, an error without a size, special",
    )
