"""Where chance comes from: small choices, and 64-bit words by the array, the same on every machine."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, final

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

Item = TypeVar("Item")
WordArray = NDArray[np.uint64]


class Choices(ABC):
    """A source of choices. 0 is always the simplest choice, so that a source that shrinks towards 0 simplifies."""

    @abstractmethod
    def below(self, limit: int) -> int:
        """An integer from 0 to `limit` - 1; `limit` is at most 2^64."""

    def chance(self, numerator: int, denominator: int) -> bool:
        """True in `numerator` of `denominator` cases."""
        return self.below(denominator) >= denominator - numerator

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: Mapping[Item, int]) -> Item:
        """One of the keys, as likely as its weight is large."""
        place = self.below(sum(weights.values()))
        for item, weight in weights.items():
            if place < weight:
                return item
            place -= weight
        raise ValueError("nothing has a weight")


_BLOCK: Final = 32  # words fetched at once for single choices: a call costs as much as 60 words


class _Key(ISeedSequence):
    """The key of a Philox. `Philox(key=...)` asks the system for entropy first, which takes longer than the rest."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[Any]:
        return np.frombuffer(self._key, "<u8")


@final
class Words(Choices):
    """Raw words of Philox 4x64-10, keyed by a hash of `parts`.

    Only `random_raw` is used: NumPy promises its stream, but not that of `Generator.normal` and its like.
    """

    def __init__(self, *parts: object) -> None:
        text = "\0".join(map(str, parts)).encode(errors="surrogatepass")
        seed: Any = _Key(hashlib.blake2b(text, digest_size=16).digest())  # a SeedSequence by NumPy's stubs
        self._source = np.random.Philox(seed)
        self._block: list[int] = []

    def below(self, limit: int) -> int:
        if not self._block:
            self._block = self._source.random_raw(_BLOCK).tolist()[::-1]
        # Off from uniform by limit / 2^64 at most, which no run can notice.
        return self._block.pop() % limit

    def array(self, count: int) -> WordArray:
        """`count` words, uint64."""
        return self._source.random_raw(count)
