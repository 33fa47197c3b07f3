"""Runs on disk: strict JSON, whole files, folders of their own, one line for a disk that refuses."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from results import result, witness

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.results import Mark
from opfuzz.core.run import Run
from opfuzz.judge.ranking import Ranking
from opfuzz.report.causes import describe
from opfuzz.store.write import SCHEMA, new_folder, run_to_json, summarize, to_json, write_run

NOW = datetime(2026, 1, 31, 14, 25, 30)
CASE = Case("gelu", "d" * 16, "float32", {"n": 3}, {"eps": 1e-5}, {"x": "normal"}, {"x": "contiguous"}, 7)
INF, NAN = float("inf"), float("nan")


def strict(text: str):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def run_of(*results) -> Run:
    ranking = Ranking()
    for item in results:
        ranking.add(item)
    return Run(
        run="20260131-142530-s0",
        started="2026-01-31T14:25:30+01:00",
        command=("opfuzz", "run"),
        seed=0,
        subjects=("torch:cpu",),
        absent={},
        versions={"numpy": "2"},
        machine={"cores": "2"},
        cases=len(results),
        elements=100,
        seconds=1.5,
        interrupted=False,
        ranking=tuple(ranking.rows()),
        findings=tuple(ranking.findings()),
        distances=({"op": "gelu", "format": "float32", "a": "a", "b": "b", "max_ulp_distance": INF},),
    )


@pytest.fixture
def odd_run() -> Run:
    """A fault with numbers that JSON has no words for."""
    return run_of(result(0, "special", INF, excess=NAN, conditioned=INF), result(1, "exact", 0.5))


def test_run_json_is_strict_and_whole(odd_run, tmp_path):
    write_run(odd_run, tmp_path, describe)
    document = strict((tmp_path / "run.json").read_text())
    assert os.listdir(tmp_path) == ["run.json"]
    assert document["schema"] == SCHEMA
    assert (document["run"], document["seed"], document["command"]) == (odd_run.run, 0, ["opfuzz", "run"])
    (row,) = document["ranking"]
    assert (row["max_ulp"], row["conditioned"], row["verdict"]) == ("inf", "inf", "special")
    assert document["distances"][0]["max_ulp_distance"] == "inf"


def test_numbers_come_back_with_every_bit():
    values = (0.1, -0.0, 5e-324, 1.7976931348623157e308, INF, -INF, NAN)
    shown = strict(json.dumps(to_json(values), allow_nan=False))
    assert shown[4:] == ["inf", "-inf", "nan"]
    assert [float(v).hex() for v in shown] == [v.hex() for v in values]


def test_a_witness_lies_flat():
    odd = witness(mark=Mark((3,), NAN, "0x7fc00000", -INF, NAN, 0.0), inputs={"x": (INF,), "i": (4.0,)})
    document = strict(json.dumps(to_json(odd), allow_nan=False))
    assert {"case", "index", "inputs_hex", "inputs", "computed", "exact"} <= document.keys()
    assert (document["index"], document["computed"], document["exact"]) == ([3], "nan", "-inf")
    assert document["inputs"] == {"x": ["inf"], "i": [4.0]}


def test_summary_names_the_folders_of_findings(odd_run, tmp_path):
    document = strict(json.dumps(summarize(odd_run, tmp_path / "r", describe), allow_nan=False))
    (finding,) = document["findings"]
    assert finding["path"] == str(tmp_path / "r" / "findings" / finding["id"])
    assert finding["signature"] == ["gelu", "torch:cpu", "float32", "special", "reference"]


def test_every_run_has_a_folder_of_its_own(tmp_path):
    reports = tmp_path / "new" / "reports"
    names = [new_folder(reports, NOW, "s5").name for _ in range(3)]
    assert names == ["20260131-142530-s5", "20260131-142530-s5-2", "20260131-142530-s5-3"]
    assert sorted(os.listdir(reports)) == names


@pytest.mark.parametrize("reports", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_one_line(reports, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / reports if not reports.startswith("/") else Path(reports)
    with pytest.raises(OpfuzzError) as caught:
        new_folder(path, NOW, "s0")
    assert str(caught.value).startswith(f"{path}: cannot write reports here: ")
    assert str(caught.value).endswith("; choose a folder with --out")
    assert "\n" not in str(caught.value)


def test_text_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(OpfuzzError, match=r"gone/run\.json: cannot be written: No such file or directory"):
        write_text(tmp_path / "gone" / "run.json", "text")


def test_a_list_of_numbers_takes_one_line(odd_run, tmp_path):
    odd = dataclasses.replace(odd_run, command=("[\n 1,\n 2\n]", "[ 1,  2 ]", "\\[\n1]"))
    write_run(odd, tmp_path, describe)
    text = (tmp_path / "run.json").read_text()
    assert strict(text) == {"schema": SCHEMA, **run_to_json(odd, describe)}
    assert '"index": [0, 2],' in text


def test_many_may_write_the_same_file_at_once(tmp_path):
    texts = [str(number) * 100_000 for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "f", text), texts * 25))
    assert (tmp_path / "f").read_text() in texts
    assert os.listdir(tmp_path) == ["f"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OpfuzzError, match="folder: cannot be written"):
        write_text(tmp_path / "folder", "text")
    assert sorted(os.listdir(tmp_path)) == ["f", "folder"], "a draft that could not be moved is taken away"
