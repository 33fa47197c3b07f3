"""The source of chance: Philox by the published algorithm, keyed by a hash."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from opfuzz.generate.choices import Choices, Words

MASK = 2**64 - 1


def philox(key: int, blocks: int) -> list[int]:
    """Philox 4x64-10 as Salmon et al. (2011) define it; NumPy counts up before the first block."""
    words = []
    for counter in range(1, blocks + 1):
        block = [counter, 0, 0, 0]
        keys = [key & MASK, key >> 64]
        for _ in range(10):
            first, second = 0xD2E7470EE14C6C93 * block[0], 0xCA5A826395121157 * block[2]
            block = [second >> 64 ^ block[1] ^ keys[0], second & MASK, first >> 64 ^ block[3] ^ keys[1], first & MASK]
            keys = [keys[0] + 0x9E3779B97F4A7C15 & MASK, keys[1] + 0xBB67AE8584CAA73B & MASK]
        words += block
    return words


def test_words_are_philox() -> None:
    key = int.from_bytes(hashlib.blake2b(b"input\x007\x00x", digest_size=16).digest(), "little")
    assert Words("input", 7, "x").array(40).tolist() == philox(key, 10)


def test_single_choices_and_arrays_share_a_stream() -> None:
    words = Words("a")
    expected = Words("a").array(40).tolist()
    assert [words.below(2**64) for _ in range(32)] == expected[:32]
    assert words.array(8).tolist() == expected[32:]


def test_other_parts_give_other_words() -> None:
    keys = [("ab", "c"), ("a", "bc"), ("a", "b", "c"), ("c", "ab"), (1, 2), (12,), ("",), ("\ud800",)]
    assert len({Words(*parts).below(2**64) for parts in keys}) == len(keys)


def test_choices_keep_to_their_limits_and_reach_them() -> None:
    words = Words("limits")
    assert {words.between(3, 5) for _ in range(100)} == {3, 4, 5}
    assert {words.pick("abc") for _ in range(100)} == set("abc")
    assert words.below(1) == 0


def test_weights_and_chances() -> None:
    words = Words("weights")
    count = Counter(words.weighted({"rare": 1, "never": 0, "often": 3}) for _ in range(4000))
    assert set(count) == {"rare", "often"}
    assert count["often"] == pytest.approx(3000, abs=150)
    assert sum(words.chance(1, 8) for _ in range(8000)) == pytest.approx(1000, abs=150)
    assert not any(words.chance(0, 8) for _ in range(100))


def test_zero_is_the_simplest_choice() -> None:
    class Zeros(Choices):
        def below(self, limit: int) -> int:
            return 0

    zeros = Zeros()
    assert (zeros.chance(7, 8), zeros.between(3, 9), zeros.pick("xyz"), zeros.weighted({"a": 1, "b": 9})) == (
        False,
        3,
        "x",
        "a",
    )
