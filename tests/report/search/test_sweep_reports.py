"""A sweep in a table and in a picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from swept_documents import FIGURES, made

from opfuzz.report.search.sweep import render
from opfuzz.report.search.sweep_picture import draw


def test_one_row_where_body_and_tail_have_the_same_bits_and_two_where_not():
    lines = render([made()]).splitlines()
    assert len(lines) == 3
    assert "1.49035" in lines[2]
    assert "any" in lines[2]
    assert "0x3c00" in lines[2]
    lines = render([made(differing=12, max_ulp=2.5)]).splitlines()
    assert "body" in lines[2]
    assert "tail" in lines[3]
    assert "2.5" in lines[3]
    assert lines[-1].endswith("12 of 65536 results differ in bits between body and tail")


def test_wrong_classes_are_said_in_words_with_an_example():
    wrong = {**FIGURES["mismatches"], "finite": 2}
    text = render([{**made(), "mismatches": wrong, "examples": {"finite": "0x7c00", "falls": "0x1"}, "falls": 4}])
    assert "a number where NaN or infinity is right: 2, such as x = 0x7c00" in text
    assert "rises, or the reverse: 4, such as x = 0x1" in text


def test_no_control_character_reaches_the_terminal():
    assert "\x1b" not in render([{**made(), "op": "a\x1b[31m"}])


@pytest.mark.parametrize("differing", [0, 3])
def test_the_picture_names_what_it_shows_and_is_the_same_every_time(differing):
    body = dict.fromkeys((*range(256, 1984), *range(2304, 4032)), 0.5)
    svg = draw(made(differing=differing), body, {**body, 0x3C0: 9.0})
    words = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert any("rsqrt on torch:cpu, float16: at most 1.49035 ulp, at 1" in word for word in words)
    assert ("scalar tail" in words) == bool(differing)
    assert {"1e0", "-1e0", "0.5: correctly rounded"} <= set(words)
    assert svg == draw(made(differing=differing), body, {**body, 0x3C0: 9.0})
    assert len(svg) < 100_000
