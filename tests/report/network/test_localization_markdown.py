"""The Markdown of a localisation."""

from __future__ import annotations

import re

from localizations import made, made_with_tensor, tried

from opfuzz.network.localize.result import CallError
from opfuzz.report.network.localization_markdown import render

ALL = ("error.svg", "steps.svg", "attribution.svg", "variants.svg")


def tables(text):
    """Rows of each table, without its headers and rule."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    return [block.splitlines()[2:] for block in blocks]


def test_the_verdict_comes_first_and_the_pictures_are_beside_it():
    text = render(made_with_tensor(), ALL)
    assert text.startswith(
        "# opfuzz localize decoder\n\nRounding cannot explain it. The explanation is gelu: tanh 0 (feed-forward).\n"
    )
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == list(ALL)
    assert "torch: 2.13" in text
    assert "cores: 2" in text


def test_the_tables_hold_steps_ops_the_best_variants_and_the_worst_calls():
    steps, ops, variants, calls = tables(render(made_with_tensor(), ALL))
    assert len(steps) == 8 + 1  # and the output
    assert len(ops) == 2
    assert len(variants) == 30
    assert "= gelu: tanh 0" in variants[0]
    assert [int(row.split("|")[1]) for row in calls] == list(range(39, 19, -1))


def test_pairs_have_their_own_table():
    assert len(tables(render(made(residuals=(0.5,), pairs=(tried(7, 0.1),)), ALL))) == 5


def test_a_picture_that_is_not_there_is_not_linked():
    assert "steps.svg" not in render(made(), ["error.svg"])


def test_names_from_files_are_inert():
    found = made(
        model="a|b*",
        ops=("<script>", "p|q"),
        calls=(CallError(0, "gelu", "[x](y)", "`z`\x1b", 1e-8),),
        verdict=("# no headline\n- <b>",),
    )
    text = render(found, ALL)
    assert "<" not in text.replace("&lt;", "")
    assert "\x1b" not in text
    assert "# opfuzz localize a\\|b\\*" in text
    assert r"p\|q" in text
    assert r"\[x\](y)" in text
    assert "\n# no" not in text
    assert "\n- &lt;b" not in text
