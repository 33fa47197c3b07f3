"""A localisation as a terminal shows it."""

from __future__ import annotations

import numpy as np
from localizations import made, made_with_tensor, normal, tried

from opfuzz.network.drift import UNKNOWN, drift
from opfuzz.network.localize.result import Attribution, Tried
from opfuzz.report.network.localization import SHOWN, op_rows, render, step_rows, variant_table


def section(text, start):
    """Cells of the table under the line that starts so, by its headers."""
    (block,) = (part for part in text.split("\n\n") if part.startswith(start))
    _, headers, rule, *rows = block.splitlines()
    ends = np.cumsum([len(dashes) + 2 for dashes in rule.split("  ")])
    cuts = list(zip([0, *ends[:-1]], ends, strict=True))
    names = [headers[a:b].strip() for a, b in cuts]
    return [dict(zip(names, (row[a:b].strip() for a, b in cuts), strict=True)) for row in rows]


def test_the_head_says_what_was_run_and_the_verdict_is_last():
    text = render(made(frames=(36, 96), figures={"corr": 0.9817, "mae": 0.32}))
    head = text.split("\n\n")[0].splitlines()
    assert head == [
        "decoder: a small one",
        "a = torch:cpu, b = mlx:cpu",
        "figures of places 36 to 95 of the last axis",
        "observed: corr 0.9817, mae 0.32 (figures)",
    ]
    assert text.endswith("Rounding cannot explain it.\nThe explanation is gelu: tanh 0 (feed-forward).\n")


def test_steps_come_in_order_and_the_output_last():
    rows = section(render(made()), "Drift of b against a")
    assert [row["tensor"] for row in rows] == [f"step{n}.{part}" for n in range(4) for part in "xv"] + ["output"]
    there = drift(normal(), normal() + 1e-6 * normal(1))
    assert float(rows[-1]["max"]) == float(f"{there.max:.3g}")
    assert float(rows[-1]["1 - corr"]) == float(f"{there.decorrelation:.3g}")


def test_ops_show_what_each_does_alone():
    (row,) = op_rows([Attribution("gelu", 3, 1.25e-7, 0.5, made().drift, UNKNOWN, None)])
    assert row[:4] == ["gelu", "3", "1.25e-7", "0.5"]
    assert row[6:] == ["nan", ""]


def test_the_best_variants_are_shown_with_what_ranks_them():
    found = made_with_tensor()
    text = render(found)
    rows = section(text, f"{len(found.variants)} variants planted on a, best first; 11 more in the JSON")
    assert len(rows) == SHOWN
    assert [row["variant"] for row in rows[:2]] == ["= gelu: tanh 0", "gelu: tanh 1"]  # a match is marked
    assert [float(row["residual"]) for row in rows[:2]] == [1e-6, 0.05]
    assert rows[0]["corr to observed"] == "0.5000"
    assert "off by" not in rows[0]


def test_figures_rank_by_a_factor():
    headers, rows = variant_table([tried(0, distance=np.log(1.5)), tried(1, distance=np.inf)])
    assert headers[:3] == ("variant", "place", "off by")
    assert [row[2] for row in rows] == ["x 1.5", "nan"]


def test_without_anything_observed_there_is_no_measure():
    headers, rows = variant_table([tried(0)])
    assert headers == ("variant", "place", "corr", "mae", "median", "max", "shift")
    assert len(rows[0]) == len(headers)


def test_a_small_decorrelation_keeps_its_digits():
    a = np.array([1.0, -1.0, 1.0, -1.0])
    change = drift(a, a + 1e-4 * np.array([1.0, 1.0, -1.0, -1.0]))  # orthogonal: 1 - corr is half of 1e-8
    ((*_, corr, _mae, _median, _max, _shift),) = variant_table([Tried("v", "p", "n", change, None, None, None, False)])[
        1
    ]
    assert corr == "1 - 5e-9"


def test_what_cannot_be_compared_is_shown_as_nan():
    rows = variant_table([Tried("v", "p", "n", UNKNOWN, None, None, None, False), tried(1, residual=0.1)])[1]
    assert rows[0][2:4] == ["", ""]
    assert set(rows[0][5:]) == {"nan"}


def test_pairs_have_a_table_of_their_own():
    assert section(render(made(pairs=(tried(7, 0.1, name="a and b"),))), "Pairs")[0]["variant"] == "a and b 7"
    assert "Pairs" not in render(made())


def test_nothing_planted_and_nothing_recorded_is_no_error():
    found = made(variants=(), per_step={}, attribution=())
    assert [row[0] for row in step_rows(found)] == ["output"]
    assert "0 variants planted on a" in render(found)


def test_names_from_files_do_not_reach_the_terminal_raw():
    bad = "\x1b[31mred"
    found = made(
        model=bad,
        described=bad,
        per_step={bad: made().drift},
        variants=(tried(0, name=bad),),
        verdict=(bad,),
        figures={"mae": 1.0},
        observed_from=bad,
    )
    assert "\x1b" not in render(found)
