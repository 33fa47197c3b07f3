"""Causes as data."""

from __future__ import annotations

import pytest

from opfuzz.core.cause import Cause


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("no kernel for 3 rows at 0x7f3a", "no kernel for 12 rows at 0xdeadbeef", True),
        ("input with shape (2,0,3)", "input with shape (2, 3,)", True),  # of another rank
        ("size [3, 4] is odd", "size [5] is odd", True),
        ("needs 3, 4 rows", "needs 3 rows", False),
        ("no kernel for 3 rows", "no kernel for 3 columns", False),
    ],
)
def test_words_are_alike_whatever_their_numbers_are(one, other, are_alike):
    wordings = [Cause("raises", "ValueError", figures={"words": words}).wording for words in (one, other)]
    assert (wordings[0] == wordings[1]) == are_alike
