"""Causes as data."""

from __future__ import annotations

import pytest

from opfuzz.core.cause import MOST_WORDS, Cause, words_of


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("no kernel for 3 rows at 0x7f3a", "no kernel for 12 rows at 0xdeadbeef", True),
        ("input with shape (2,0,3)", "input with shape (2, 3,)", True),  # of another rank
        ("size [3, 4] is odd", "size [5] is odd", True),
        ("needs 3, 4 rows", "needs 3 rows", True),
        ("value 3.5 is odd", "value 1e+37 is odd", True),
        ("value -inf is odd", "value nan is odd", True),
        ("size [2, -1] is odd", "size [2.5, 3] is odd", True),
        ("information", "nanometre", False),
        ("no kernel for 3 rows", "no kernel for 3 columns", False),
    ],
)
def test_words_are_alike_whatever_their_numbers_are(one, other, are_alike):
    wordings = [Cause("raises", "ValueError", figures={"words": words}).wording for words in (one, other)]
    assert (wordings[0] == wordings[1]) == are_alike


def test_a_long_row_of_numbers_is_read_in_one_pass():
    words = ", ".join(["12"] * 100_000) + " are wrong"
    assert Cause("raises", "ValueError", figures={"words": words}).wording == "# are wrong"


def test_words_are_kept_as_far_as_anybody_reads_them():
    assert words_of("x" * 2_000_000) == "x" * MOST_WORDS + "..."
    assert words_of("lone \ud800 surrogate") == "lone ? surrogate"
