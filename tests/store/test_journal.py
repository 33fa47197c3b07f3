"""Journals: what was appended comes back to the bit, whatever became of the process and of the disk."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from small_campaigns import SPECS

from opfuzz.backends import discover
from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.relation import Relation
from opfuzz.core.results import Result
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.generate import draw
from opfuzz.store import journal as journals
from opfuzz.store.journal import Begun, Diagnosed, Ended, Examined, Journal, Searched, pack, unpack

BEGUN = Begun({"seed": 3}, {}, {"numpy": "2"}, datetime(2026, 1, 31, 14, 25, 30, tzinfo=UTC), ("opfuzz", "run"))


@pytest.fixture(scope="module")
def results() -> list[Result]:
    plan = Plan(load_specs([SPECS], discover()), ("numpy:cpu",), 0, 1, cases=4)
    bench = Bench(plan)
    return [bench.examine(CaseItem(op, format, number)) for op, format in plan.pairs() for number in range(4)]


def test_results_come_back_as_they_were(results):
    for result in results:
        assert repr(unpack(pack(result))) == repr(result), "NaN is not equal to itself, its text is"


@pytest.mark.parametrize("format", FORMATS)
def test_calls_come_back_to_the_bit(format, results):
    array = np.array([[1.5, -0.0], [math.nan, math.inf]]).astype(FORMATS[format].dtype)
    arrays = {"x": array, "mask": np.array([True, False]), "indices": np.arange(3), "empty": array[:0]}
    call = Call(format, {"n": 2}, {"eps": 1e-5, "mode": "same", "bias": None, "k": True}, arrays, {"x": "transposed"})
    judged = results[0].judged[0]
    kept = replace(results[0], judged=(replace(judged, recipe=Recipe(call=call)),))
    found = unpack(pack(kept)).judged[0].recipe.call
    assert found is not None
    assert found.id("op") == call.id("op")
    assert {type(value) for value in found.params.values()} == {float, str, type(None), bool}
    assert all(each.flags.writeable for each in found.arrays.values())


def test_entries_come_back_in_their_order(tmp_path, results):
    journal = Journal.create(tmp_path, BEGUN)
    assert journal.is_bare
    journal.examined([pack(each) for each in results[:2]], 1.5)
    journal.append(Searched("mean", "float32", "numpy:cpu", (results[2],), "", 2.0))
    journal.append(Ended(("x",), 2.5))
    journal.append(Diagnosed({"a": (UNEXPLAINED, Cause("bits", figures={"bits": 8.0, "of": 24}))}))
    assert not journal.is_bare
    journal.close()
    again = Journal.open(tmp_path)
    assert [type(entry).__name__ for entry in again.entries] == ["Begun", "Examined", "Searched", "Ended", "Diagnosed"]
    assert again.entries[0] == BEGUN
    assert repr(again.entries[1]) == repr(Examined(tuple(results[:2]), 1.5))
    again.append(Diagnosed({}))
    again.close()
    assert len(Journal.open(tmp_path).entries) == 6


def test_what_is_torn_off_is_cut_off(tmp_path, results):
    journal = Journal.create(tmp_path, BEGUN)
    path = journal.path
    ends = [path.stat().st_size]
    for result in results[:3]:
        journal.examined([pack(result)], 0.0)
        ends.append(path.stat().st_size)
    journal.close()
    whole = path.read_bytes()
    for size in range(ends[0], len(whole) + 1, 7):
        path.write_bytes(whole[:size])
        again = Journal.open(tmp_path)
        assert len(again.entries) == 1 + sum(end <= size for end in ends[1:])
        again.examined([pack(results[3])], 0.0)  # it goes on after the last whole one
        again.close()
        last = Journal.open(tmp_path)
        assert repr(last.entries[-1]) == repr(Examined((results[3],), 0.0))
        last.close()


def test_a_bit_that_flipped_is_damage_unless_it_is_in_the_last_entry(tmp_path, results):
    journal = Journal.create(tmp_path, BEGUN)
    places = []
    for result in results[:2]:
        places.append(journal.path.stat().st_size + 20)
        journal.examined([pack(result)], 0.0)
    journal.close()
    whole = journal.path.read_bytes()
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1
        journal.path.write_bytes(data)
        if place == places[-1]:
            assert len(Journal.open(tmp_path).entries) == 2
        else:
            with pytest.raises(OpfuzzError, match="entry 2 is damaged: its checksum is another"):
                Journal.open(tmp_path)
            assert journal.path.read_bytes() == bytes(data), "nothing is cut off"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no journal that this opfuzz can read"),
        (b"opfuzz journal 9\n", "no journal that this opfuzz can read"),
        (journals.MAGIC, "the run was ended before it began; start it anew"),
        (journals.MAGIC + journals._frame(b"not zlib"), "entry 1 is damaged: "),
        (journals.MAGIC + journals._frame(journals.zlib.compress(b"\xc1")), "entry 1 is damaged: "),
        (journals.MAGIC + journals._frame(journals.zlib.compress(bytes(2**20), 9)[:-9]), "entry 1 is damaged: "),
    ],
)
def test_damage_is_said_in_a_line(data, words, tmp_path):
    (tmp_path / journals.FILE).write_bytes(data)
    with pytest.raises(OpfuzzError) as caught:
        Journal.open(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / journals.FILE}: {words}")
    assert "\n" not in str(caught.value)


def test_one_process_at_a_time(tmp_path):
    journal = Journal.create(tmp_path, BEGUN)
    with pytest.raises(OpfuzzError, match="another process is at this run"):
        Journal.open(tmp_path)
    journal.close()
    Journal.open(tmp_path).close()


FULL = """
import resource, sys
from pathlib import Path
from opfuzz.core.cause import Cause
from opfuzz.core.errors import DiskError
from datetime import UTC, datetime
from opfuzz.store.journal import Begun, Diagnosed, Journal

journal = Journal.create(Path(sys.argv[1]), Begun({{}}, {{}}, {{}}, datetime.now(UTC), ()))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
count = 0
try:
    while True:
        journal.append(Diagnosed({{str(count): (Cause("told", figures={{"words": "x" * 100}}),)}}))
        count += 1
except DiskError as error:
    print(count, error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the system has no limit on the size of files")
def test_a_disk_that_refuses_keeps_what_was_written(tmp_path):
    assert resource.RLIMIT_FSIZE
    program = [sys.executable, "-c", FULL.format(limit=2000), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    count, _, message = done.stdout.strip().partition(" ")
    assert message == f"{tmp_path / journals.FILE}: cannot be written: File too large"
    assert int(count) > 5
    again = Journal.open(tmp_path)
    assert len(again.entries) == 1 + int(count)


def test_a_folder_that_takes_no_journal(tmp_path):
    with pytest.raises(DiskError, match="cannot be written: No such file or directory"):
        Journal.create(tmp_path / "missing", BEGUN)
    with pytest.raises(OpfuzzError, match="cannot be opened: No such file or directory"):
        Journal.open(tmp_path)


def test_a_run_is_found_by_its_name(tmp_path):
    for name in ("20260101-000000-s0", "20260102-000000-s0"):
        (tmp_path / name).mkdir()
        Journal.create(tmp_path / name, BEGUN).close()
    (tmp_path / "20260103-000000-s0").mkdir()
    assert journals.find("latest", tmp_path).name == "20260102-000000-s0"
    assert journals.find("20260101", tmp_path).name == "20260101-000000-s0"
    assert journals.find(str(tmp_path / "20260101-000000-s0"), Path("elsewhere")).name == "20260101-000000-s0"
    for text, words in {
        "2026010": "'2026010' begins the names of 2 runs: 20260101-000000-s0, 20260102-000000-s0; write more of it",
        "20260103-000000-s0": f"{tmp_path}: the run is finished",
        "yesterday": f"{tmp_path}: no run 'yesterday' that can go on; there are 20260101-000000-s0, 20260102-000000-s0",
        "": f"{tmp_path}: no run '' that can go on; there are 20260101-000000-s0, 20260102-000000-s0",
    }.items():
        with pytest.raises(OpfuzzError) as caught:
            journals.find(text, tmp_path)
        assert str(caught.value).startswith(words)
    assert os.listdir(tmp_path)


def test_a_recipe_of_a_case_comes_back(results):
    (spec,) = load_specs([SPECS], discover(), ["square"])
    case = draw(spec, "float32", 3, 5)
    recipe = Recipe(case, None, Relation("view", "x", "stepped"), 0, (0, 1), {"x": "contiguous"})
    judged = results[0].judged[0]
    found = unpack(pack(replace(results[0], judged=(replace(judged, recipe=recipe),)))).judged[0].recipe
    assert (found.case, found.case.id, dict(found.case.dims)) == (case, case.id, dict(case.dims))
    assert (found.relation, found.piece, found.index, found.switch) == (recipe.relation, 0, (0, 1), recipe.switch)
