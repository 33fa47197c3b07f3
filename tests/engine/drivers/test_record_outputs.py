"""Cases recorded here: what each subject did, whatever it did to its process."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exports import exported, plan_of, read
from small_campaigns import SPECS, plugin

import opfuzz.engine.plan
from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.record_outputs import record
from opfuzz.engine.plan import load_specs
from opfuzz.store.exchange import OutputRecorder, read_recorded
from opfuzz.store.exchange.outputs import missing

SQUARE = load_specs([SPECS / "square.yaml"], discover(), dialects=())


def statuses(export, path, subject: str) -> dict[str, set[int]]:
    """The numbers of the cases in float32 by what was told of them."""
    backends = discover((path,))
    record(export, {subject: OutputRecorder(export, subject, {}, {})}, (path,), backends, jobs=2)
    recorded = read_recorded(export, subject)
    assert missing(export, recorded) == ()
    found: dict[str, set[int]] = {}
    for entry in export.entries:
        (told,) = recorded.told[entry.case.id].values()
        found.setdefault(told.status, set()).add(entry.number)
    return found


@pytest.fixture
def export(tmp_path):
    return exported(tmp_path / "cases", replace(plan_of(each=17), specs=SQUARE, formats=("float32",)))


def large(export) -> set[int]:
    return {entry.number for entry in export.entries if entry.case.dims["n"] > 30}


def test_a_crash_and_a_hang_are_of_their_cases_alone(tmp_path, monkeypatch):
    few = exported(tmp_path / "cases", replace(plan_of(each=8), specs=SQUARE, formats=("float32",)))
    monkeypatch.setattr(opfuzz.engine.plan, "CASE_SECONDS", 0.5)
    path, others = plugin(tmp_path), set(range(8)) - large(few)
    assert 1 < len(large(few)) < 7
    assert statuses(few, path, "aborting:cpu") == {"crash": large(few), "ok": others}
    assert statuses(few, path, "hanging:cpu") == {"timeout": large(few), "ok": others}


def test_what_raises_and_what_changes_is_told(export, tmp_path):
    path = plugin(tmp_path)
    assert statuses(export, path, "raising:cpu") == {"crash": set(range(17))}
    told = (export.place / "outputs" / "raising-cpu" / "status.txt").read_text()
    assert told.count(" crash raised ValueError: ") == told.count("\n") == 17
    repeated = {0, 8, 16}  # as a run repeats them
    assert statuses(export, path, "undecided:cpu") == {"unstable": repeated, "ok": set(range(17)) - repeated}


def test_an_op_without_a_call_is_unsupported_and_all_implementations_are_recorded(tmp_path):
    export = exported(tmp_path / "cases", plan_of(each=2))
    backends = discover()
    record(export, {"numpy:cpu": OutputRecorder(export, "numpy:cpu", {}, {})}, (), backends, jobs=2)
    recorded = read_recorded(export, "numpy:cpu")
    assert missing(export, recorded) == ()
    for entry in export.entries:
        told = recorded.told[entry.case.id]
        assert set(told) == ({"plain", "doubled"} if entry.case.op == "mean" else {""})
        is_known = entry.case.format != "bfloat16"
        assert {each.status for each in told.values()} == {"ok" if is_known else "unsupported"}


def test_inputs_that_were_changed_are_not_computed_with(tmp_path):
    exported(tmp_path / "cases", plan_of(each=2))
    shard = tmp_path / "cases" / "inputs" / "00000.safetensors"
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    export = read(tmp_path / "cases")
    with pytest.raises(OpfuzzError, match="has other values than the case"):
        record(export, {"numpy:cpu": OutputRecorder(export, "numpy:cpu", {}, {})}, (), discover(), jobs=2)
