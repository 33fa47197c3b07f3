"""Pages that are made of code are as the code makes them; pictures show what the pages say of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from page_commands import TEXTS

from documentation.__main__ import PAGES
from documentation.pictures import dot_products, enclosures, gelus
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.oracle.truth import TIGHT

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PICTURES = sorted((DOCS / "pictures").glob("*.svg"))
STALE = "write it anew: python -m documentation"


def same_on_all_processors(text: str) -> str:
    """Without the figures of outputs that were judged just now: they are of arithmetic of this machine."""
    return re.sub(r"\| [\d.e+]+ \| [\d.e+]+ \|", "| figures |", text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name):
    assert same_on_all_processors((DOCS / name).read_text(encoding="utf-8")) == same_on_all_processors(PAGES[name]()), (
        STALE
    )


def test_every_verdict_that_an_output_can_have_is_judged_on_the_page():
    judged = TEXTS[DOCS / "verdicts.md"].split("## Judged just now")[1].split("## Causes")[0]
    found = set(re.findall(r"\| `([a-z]+)` \| [\d.e+]+ \|", judged))
    assert found == {"special", "wrong", "imprecise", "narrow", "normwise", "stable", "faithful", "exact"}


def test_every_picture_is_small_and_shown_in_light_and_dark():
    shown = set(re.findall(r"\]\(pictures/([\w-]+\.svg)#only-(?:light|dark)\)", "".join(TEXTS.values())))
    assert shown == {path.name for path in PICTURES}
    assert {path.name.replace("-dark", "-light") for path in PICTURES} == {
        path.name for path in PICTURES if "-light" in path.name
    }
    assert all(path.stat().st_size < 48 * 1024 for path in PICTURES)


def test_ulp_tells_nobody_apart_and_excess_does():
    (_, honest, honest_excess), (_, faulty, faulty_excess) = dot_products().values()
    assert honest.max() > 1e6
    assert faulty.min() < 1e5
    assert honest_excess.max() < 0.1
    assert faulty_excess.min() > EXCESS_LIMIT


def test_the_usual_gelu_is_within_its_limit_and_that_by_tanh_is_not():
    x, limit, errors = gelus()
    usual, by_tanh = errors.values()
    assert (usual < limit / 3).all()
    assert usual[x < -5].max() > 1e5
    assert 1000 < by_tanh[abs(x - 1) < 0.1].max() < 1e5
    assert (by_tanh > limit).any()


def test_enclosures_are_as_narrow_as_the_page_says():
    found = enclosures()
    for op in ("exp", "gelu", "softmax"):
        assert found[op].max() < TIGHT / 100
    assert (found["matmul, cancelling"] > TIGHT).mean() > 0.5
    assert (found["matmul"] < TIGHT).mean() > 0.5


def test_the_site_has_every_page_in_one_place():
    def pages(entries: list) -> list[str]:
        values = [value for entry in entries for value in entry.values()]
        return [page for value in values for page in (pages(value) if isinstance(value, list) else [value])]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    elsewhere = site["extra"]["elsewhere"]
    assert sorted(pages(site["nav"])) == sorted([*there, *elsewhere.values()])
    assert all((ROOT / path).exists() for path in elsewhere)


def test_the_site_loads_nothing_from_elsewhere():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert site["theme"]["font"] is False
    assert not {"extra_javascript", "repo_url", "site_url"} & site.keys()
    assert "http" not in (DOCS / "site.css").read_text(encoding="utf-8")
