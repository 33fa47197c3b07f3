"""The text of a comparison: which rows are shown, and the closing sentences."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.network.diff.compare import compare
from opfuzz.network.diff.diff import GIVEN, Diff, document, first_divergence
from opfuzz.network.diff.names import Matching
from opfuzz.report.network.diff import render


def made(factors, names=None, only_b=()):
    """A document of tensors whose second side is so many times the first."""
    a = np.random.default_rng(0).normal(size=50).astype(np.float32)
    names = names or [f"block.{i}" for i in range(len(factors))]
    tensors = tuple(compare(a, a * np.float32(f), (n, n)) for n, f in zip(names, factors, strict=True))
    matching = Matching(tuple((name, name) for name in names), (), only_b, prefix_b="model.")
    return document(Diff("a.npz", "b.npz", tensors, matching, first_divergence(tensors), GIVEN, {}, {}))


def text(found, decibels=False, whole=False, colour=False, width=None):
    return render(found, decibels, whole, colour, width)


def test_the_closing_sentences():
    lines = text(made([1, 1 + 2**-22, 1.5, 1.5], only_b=("x", "y"))).splitlines()
    assert "names of B are read without 'model.'" in lines
    assert "2 only in B: x, y" in lines
    start = lines.index("First divergence: block.2, relative error of 0.5 (8.39e6 u).")
    assert lines[start + 1] == "What it is: scaled: B is 1.5 times A."
    assert lines[start + 4].startswith("Before it: 2 tensors, at most a relative error of 2.")
    assert lines[start + 4].endswith(" u), in block.1.")
    assert lines[start + 5] == "After it: 1 of 1 tensor diverge."


def test_errors_that_creep_are_not_called_a_jump():
    creeping = made([1 + 2.0**-k for k in (20, 19, 17, 15, 13)])
    assert (creeping["first_divergence"], creeping["is_jump"]) == ("block.2", False)
    assert "No tensor jumps from what came before" in text(creeping)
    jumping = made([1 + 2.0**-k for k in (20, 19, 9)])
    assert (jumping["first_divergence"], jumping["is_jump"]) == ("block.2", True)
    assert "No tensor jumps" not in text(jumping)


def test_nothing_diverges():
    assert text(made([1, 1])).endswith("No divergence: 2 tensors, all equal.\n")
    assert "No divergence beyond rounding in 2 tensors; the largest is a relative error of" in text(
        made([1, 1 + 2**-22])
    )


def test_long_tables_show_the_neighbourhood_and_the_worst_unless_all_is_asked_for():
    found = made([1.0] * 60 + [1.5] + [1.001] * 30 + [3.0] + [1.001] * 30)
    short, long = text(found), text(found, whole=True)
    shown = [line.split()[0] for line in short.splitlines() if line.startswith("block.")]
    assert {"block.0", *(f"block.{i}" for i in range(55, 66)), "block.91", "block.121"} <= set(shown)
    assert len(shown) < 25
    assert "… 54 more" in short
    assert sum(line.startswith("block.") for line in long.splitlines()) == 122


def test_decibels_width_and_colour():
    found = made([1, 1.5])
    assert "max dB" not in text(found)
    assert "max dB" in text(found, decibels=True)
    assert all(len(line) <= 60 for line in text(found, width=60).splitlines()[:4])
    coloured = [line for line in text(found, colour=True).splitlines() if "\x1b[31m" in line]
    assert len(coloured) == 1
    assert coloured[0].startswith("\x1b[31mblock.1 ")


def test_an_input_that_differs_is_said():
    assert "It is an input: nothing can be said of the rest" in text(made([2, 1], ["input.noise", "y"]))


@pytest.mark.parametrize("whole", [True, False])
def test_names_cannot_control_the_terminal(whole):
    assert "\x1b" not in text(made([1, 2], ["a\x1b[2J", "b\x1b]0;x\x07"]), whole=whole)
