"""Mutants and their files: what is refused, and that a file is run anew whenever it is read."""

from __future__ import annotations

import pytest

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.mutant import BUNDLED, bundled, read_mutants

COUNTING = """
from itertools import count
from opfuzz.engine.selftest import Mutant

calls = count()
MUTANTS = [Mutant("counts", "relu", {"torch.nn.functional.relu": lambda x: next(calls)})]
"""


def test_a_cause_is_found_in_any_letters_and_any_of_its_words():
    mutant = Mutant("m", "gelu", {"torch.erf": abs}, cause="one-pass|11 Bits")
    assert mutant.is_named_in("no worse than 11 bits inside")
    assert mutant.is_named_in("loses what the formula 'ONE-PASS' loses")
    assert not mutant.is_named_in("no worse than 111 bits inside")
    assert not mutant.is_named_in("no variant and no lower precision explains it")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"replace": {}}, "mutant 'm' replaces nothing"),
        ({"kind": "honst"}, "unknown kind 'honst'; known: fault, honest"),
        ({"replace": {"call": abs}}, "'call' must be the text of a call, not builtin_function_or_method"),
        ({"replace": {"torch.sum": "x"}}, "'torch.sum' must be a function, not str"),
    ],
)
def test_what_is_no_mutant(fields, message):
    with pytest.raises(OpfuzzError, match=message):
        Mutant(**{"name": "m", "op": "sum", "replace": {"torch.sum": sum}} | fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MUTANTS = []", "has a list MUTANTS of opfuzz.engine.selftest.Mutant objects"),
        ("MUTANT = 1", "has a list MUTANTS of opfuzz.engine.selftest.Mutant objects"),
        ("MUTANTS = ['gelu']", "has a list MUTANTS of opfuzz.engine.selftest.Mutant objects"),
        ("1 / 0", "m.py:1: mutants raised ZeroDivisionError"),
        (
            "from opfuzz.engine.selftest import Mutant\nMUTANTS = 2 * [Mutant('one', 'sum', {'torch.sum': sum})]",
            "m.py: two mutants are called 'one'",
        ),
    ],
)
def test_what_is_no_file_of_mutants(tmp_path, text, message):
    path = tmp_path / "m.py"
    path.write_text(text)
    with pytest.raises(OpfuzzError, match=message):
        read_mutants(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OpfuzzError, match="no such mutants file"):
        read_mutants(tmp_path / "none.py")


def test_what_a_mutant_remembers_is_gone_when_its_file_is_read_again(tmp_path):
    path = tmp_path / "counting.py"
    path.write_text(COUNTING)
    seen = []
    for _ in range(2):
        (mutant,) = read_mutants(path)
        function = mutant.replace["torch.nn.functional.relu"]
        seen += [function(0), function(0)]
    assert seen == [0, 1, 0, 1]
    assert mutant.trigger == "counting"


def test_the_bundled_files_are_all_there():
    assert [path.stem for path in bundled()] == list(BUNDLED)
    assert all(path.is_file() for path in bundled())
