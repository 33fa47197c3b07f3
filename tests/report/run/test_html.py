"""The page: whole, small, well-formed, and inert whatever a framework, a spec or a damaged file says."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from itertools import product

import pytest
from pages import CODE, OPS, a_result, compared, full_run, trends
from results import result, told
from test_text_reports import HARMED, HOSTILE, run_of

from opfuzz.core.comparison import Accepted
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.metrics.magnitude import CLASS_BAND
from opfuzz.judge.ranking import Ranking
from opfuzz.report.run.cause_lines import faulty
from opfuzz.report.run.html import SIZE_LIMIT, _asset, render
from opfuzz.report.run.html_pictures import Cells, band_words, heat_map, in_words, ranges, sparkline
from opfuzz.report.run.html_sections import slug

VOID = {"meta", "link", "input", "br", "wbr"}
SVG = {"path", "use", "circle", "polyline"}  # which end themselves
URLS = {"href", "src", "action", "srcset", "data", "poster", "style"}


class Page(HTMLParser):
    """Elements with their attributes, text by element, and whether every element ends where it must."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th") and self.open[-1] in ("td", "th"):
            self.open.pop()  # HTML lets a cell end where the next begins
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag == "tr" and self.open[-1] in ("td", "th"):
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    @property
    def text(self) -> str:
        return " ".join(part for tag, parts in self.texts.items() if tag not in ("style", "script") for part in parts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run = compared(full_run(folder))
    return run, folder, render(run, folder, trends(run))


def test_the_page_is_whole(whole):
    run, _, text = whole
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("h1"), tags.count("main"), tags.count("nav")) == (1, 1, 1)
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    inner = {link[1:] for link in page.attributes("href") if link.startswith("#")}
    assert inner <= set(ids), "every link leads somewhere"
    assert {f"op-{op}" for op in OPS} <= set(ids)
    assert {f"f-{finding.id}" for finding in run.findings} <= set(ids)
    rows = re.search(r'<table id="rows".*?</table>', text, re.S)[0]
    assert rows.count("<tr data-s=") == len(run.ranking)
    causes = re.search(r'<h2 id="causes">.*?</section>', text, re.S)[0]
    assert causes.count("<article") == len(faulty(run)) > 0
    assert text.count('<svg class="map"') - causes.count('<svg class="map"') == len(run.ranking)
    tried = re.search(r'<h2 id="tried">.*?</section>', text, re.S)[0]
    assert tried.count("<tr>") == 2 + len(OPS)
    assert text.count("<caption") >= 4 + 2 * len(OPS)


def test_what_changed_stands_first(whole):
    run, _, text = whole
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", text, re.S)[1]
    assert heading.startswith("Since 20260130-020000-s0: 1 regression")
    assert "mlx 0.31.0 then, 0.32.4 now" in text
    table = re.search(r"What changed since 20260130.*?</table>", text, re.S)[0]
    assert re.findall(r'<b class="st (\w+)">', table) == ["regression", "fixed", "worse"]
    assert f'href="#f-{run.findings[0].id}"' in table


def test_without_an_earlier_run_the_page_says_what_came_out(tmp_path):
    text = render(full_run(tmp_path), tmp_path)
    assert re.search(r"<h1[^>]*>\d+ causes behind \d+ faults in 6 ops", text)
    assert "What changed" not in text
    assert 'id="trends"' not in text


def test_a_finding_is_told_with_its_code(whole):
    run, _, text = whole
    article = re.search(rf'<article[^>]*id="f-{run.findings[0].id}".*?</article>', text, re.S)[0]
    for words in (
        "it is the tanh formula",
        "fails when n &gt;= 2",
        "4 elements, made from 900",
        "x transposed",
        "0x3fc00000",
    ):
        assert words in article
    (code,) = [part for part in Page(article).texts["pre"] if part.strip()]
    assert code == CODE


def test_trends_that_changed_stand_first(whole):
    _, _, text = whole
    table = re.search(r'id="trends-caption".*?</table>', text, re.S)[0]
    assert re.findall(r'href="#op-(\w+)"', table)[:4] == ["exp"] * 4
    assert "over 5 runs" in table


def test_nothing_is_ever_requested(whole):
    _, _, text = whole
    page = Page(text)
    (policy,) = [a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256("".join(page.texts[tag]).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    addresses = [value for _, attrs in page.elements for name, value in attrs.items() if name in URLS]
    links = {value for tag, attrs in page.elements for value in [attrs.get("href")] if tag == "a" and value}
    assert all(value == "data:," or value.startswith("#") or value in links for value in addresses)
    assert all(re.fullmatch(r"#.*|findings/[0-9a-f]{12}/repro\.py", link) for link in links)
    assert not re.search(r"url\(|@import|https?://", text)


def test_nothing_hostile_reaches_the_page(tmp_path):
    fault = result(0, "wrong", 5.0, op=HOSTILE, subject=HOSTILE, reason=HOSTILE)
    run = dataclasses.replace(
        run_of(fault, *(result(0, "exact", op=op) for op in ("a b", "a-b", "tanh"))),
        run=HOSTILE,
        started=HOSTILE,
        profile=HOSTILE,
        lost=(HOSTILE,),
        distances=({"op": HOSTILE, "format": HOSTILE, "a": HOSTILE, "b": HOSTILE, "max_ulp_distance": 1.0},),
    )
    (finding,) = run.findings
    run = dataclasses.replace(run, findings=(dataclasses.replace(finding, causes=(told(HOSTILE),)),))
    place = tmp_path / "findings" / finding.id
    place.mkdir(parents=True)
    (place / "repro.py").write_text(HOSTILE + "</pre></details><img src=x onerror=alert(1)>")
    for each in (run, HARMED):
        text = render(each, tmp_path)
        page = Page(text)
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "<script>alert" not in text
        assert [tag for tag, _ in page.elements].count("script") == 1
        assert not any(tag in ("img", "iframe", "object") for tag, _ in page.elements)
        assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
        assert HOSTILE.replace("\r", "").split("\n")[1].split("\u202e")[0] in page.text
        ids = page.attributes("id")
        assert len(set(ids)) == len(ids)


def test_what_was_accepted_is_said(tmp_path):
    run = run_of(result(0, "wrong", 5.0))
    (finding,) = run.findings
    place = (finding.op, finding.subject, finding.format, finding.verdict, finding.relation)
    known = Accepted(finding.id, *place, HOSTILE, "2026-01-30", "2026-02-28", "https://tracker/1", "expired")
    text = render(dataclasses.replace(run, accepted=(known,)), tmp_path)
    assert re.search(r"<dt>Expired</dt><dd>[^<]*\(2026-01-30 until 2026-02-28, https://tracker/1\)</dd>", text)


def test_a_run_of_nothing_is_a_page(tmp_path):
    page = Page(render(run_of(), tmp_path))
    assert "Nothing was judged" in page.text
    odd = run_of(result(0, "special", float("inf"), excess=float("nan"), conditioned=float("inf")))
    assert re.search(r">inf<svg", render(odd, tmp_path))


def test_anchors_tell_names_apart():
    names = ["a b", "a-b", "a/b", "", "ä", "gelu"]
    assert len({slug(name) for name in names}) == len(names)
    assert all(re.fullmatch(r"[\w-]*", slug(name), re.A) for name in names)
    assert slug("gelu") == "gelu"


def test_no_reproducer_from_elsewhere(tmp_path):
    (tmp_path / "findings").mkdir()
    (tmp_path / "repro.py").write_text("secret")
    run = run_of(result(0, "wrong", 5.0))
    run = dataclasses.replace(run, findings=(dataclasses.replace(run.findings[0], id=".."),))
    assert "secret" not in render(run, tmp_path / "findings")


def test_counts_that_no_run_has_are_one_line(tmp_path):
    run = run_of(result(0, "wrong", 5.0))
    for counts in (((0, 99, 1),), ((500, 0, 1),), ((0, 0, -1),), ((0, 0),)):
        damaged = dataclasses.replace(run, ranking=(dataclasses.replace(run.ranking[0], by_magnitude=counts),))
        with pytest.raises(OpfuzzError, match=r"^[^\n]*run\.json: "):
            render(damaged, tmp_path)


def test_a_large_run_is_a_small_page(tmp_path):
    """Forty ops on three subjects in four formats, all of them faults with the longest code and the fullest maps."""
    ranking = Ranking()
    for op, subject, fmt in product([f"op{n}" for n in range(40)], ("torch:cpu", "mlx:cpu", "numpy:cpu"), FORMATS):
        ranking.add(a_result(0, op, subject, fmt, "wrong", 7.0))
    run = run_of(subjects=("torch:cpu", "mlx:cpu", "numpy:cpu"))
    run = dataclasses.replace(run, ranking=tuple(ranking.rows()), findings=tuple(ranking.findings()))
    for finding in run.findings:
        place = tmp_path / "findings" / finding.id
        place.mkdir(parents=True)
        (place / "repro.py").write_text("x = '<'\n" * 2400)
    text = render(run, tmp_path)
    assert len(text.encode()) < SIZE_LIMIT
    assert text.count('id="f-') == len(run.findings) == 480
    assert "<pre" in text
    assert re.search(r"in the folder of the run", text)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_map_shows_where_errors_are(fmt):
    found = Cells({(0, 0): 50, (1, 0): 989, (1, 3): 10, (1, 4): 1, (2, 0): 10, (2, CLASS_BAND): 10}, FORMATS[fmt])
    picture = str(heat_map(found, 12))
    runs = {name: path.count("M") for name, path in re.findall(r'<path class="(h\d)" d="([^"]*)"', picture)}
    assert runs == {"h0": 2, "h1": 1, "h2": 1}, "zero stands alone, and neighbours of one shade are one run"
    assert re.findall(r'class="hc" d="([^"]*)"', picture)[0].count("M") == 1
    assert "98.04 % of 1070 elements correctly rounded, the largest error up to 8 ulp, 10 of a wrong class" in picture
    assert [(r.magnitudes == "0", r.largest, r.elements, r.right, r.wrong) for r in ranges(found)] == [
        (True, "at most 1/2 ulp", 50, "100 %", 0),
        (False, "up to 8 ulp", 1000, "98.9 %", 0),
        (False, "at most 1/2 ulp", 20, "50 %", 10),
    ]


def test_a_ragged_map_is_a_short_table():
    ragged = Cells({(column, 7 * column % 30): 1 for column in range(50)}, FORMATS["float32"])
    assert 2 <= len(ranges(ragged)) <= 6
    assert sum(r.elements for r in ranges(ragged)) == 50


def test_a_share_is_never_rounded_to_all_or_nothing():
    nearly = Cells({(1, 0): 10**9, (1, 1): 1}, FORMATS["float32"])
    hardly = Cells({(1, 0): 1, (1, 1): 10**9}, FORMATS["float32"])
    assert in_words(nearly).startswith("99.99 % of")
    assert in_words(hardly).startswith("0.01 % of")
    assert in_words(Cells({(1, 0): 5}, FORMATS["float32"])) == "100 % of 5 elements correctly rounded"
    assert band_words(1) == "up to 1 ulp"


def test_a_trend_of_odd_numbers_has_a_line():
    for values in ([0.0, 0.0], [float("inf"), 1.0], [float("nan"), 2.0], [1e300, 5e-324]):
        points = re.search(r'points="([^"]*)"', str(sparkline(values, "")))[1]
        assert all(0 <= float(number) <= 120 for number in points.split())


# WCAG 2.2: the contrast of text is 4.5 at least.


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("block", range(3), ids=["light", "dark by itself", "dark by choice"])
def test_every_text_has_contrast(block):
    css = _asset("report.css")
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", re.findall(r"\{\s*color-scheme: \w+;([^}]*)\}", css)[block]))
    pairs = [*product(("ink", "faint", "link", "fault", "note", "clean"), ("bg", "soft")), ("p3-ink", "p3")]
    pairs += [("ink", "p1"), ("ink", "p2")]
    for text, ground in pairs:
        dark, light = sorted(luminance(colours[name]) for name in (text, ground))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
    dark, light = sorted(luminance(colours[name]) for name in ("h0", "bg"))
    assert (light + 0.05) / (dark + 0.05) >= 3
