"""Elements behind the last whole vector: told where they are just that, for every number of elements."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS as KNOWN

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Lab
from opfuzz.judge.diagnose.tails import tail


def exp_of(spoilt):
    """NumPy's exp with the elements that `spoilt` chooses among so many half as large again."""

    def planted(x):
        made = np.ascontiguousarray(np.exp(x))
        made.reshape(-1)[spoilt(x.size)] *= 1.5
        return made

    return planted


def told(spoilt, size):
    place = Lab(KNOWN["exp"], Subject("planted", "cpu"), derive("numpy", "planted", {"np.exp": exp_of(spoilt)}), ())
    x = np.linspace(-1, 1, size, dtype=np.float32).reshape(1, size)
    seen = place.look(
        Score("wrong", UNEXPLAINED), Call("float32", {"batch": 1, "n": size}, {}, {"x": x}, {"x": "contiguous"})
    )
    return tail(seen)


@pytest.mark.parametrize("length", [2, 4, 8, 16, 32, 64])
def test_the_length_of_the_vector_is_told(length):
    found = told(lambda size: slice(size // length * length, None), length + 1)
    assert (found.kind, found.name) == ("depends-on", "tail")
    assert (found.figures["vector"], found.figures["wrong"]) == (length, 1)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda size: slice(size - 1, None),  # the last, whatever the size
        lambda size: slice(0, size % 8),  # the first
        lambda size: slice(8, None),  # all behind the first eight
        lambda size: slice(size // 24 * 24, None),  # no vector
        lambda size: slice(size // 8 * 8, None) if size < 150 else slice(0, 0),
    ],
)
def test_other_places_are_no_tail(spoilt):
    assert told(spoilt, 9) is None
