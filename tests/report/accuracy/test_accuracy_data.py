"""The table as JSON and as CSV: the same figures."""

from __future__ import annotations

import csv
import io
import json

from swept_documents import document

from opfuzz.report.accuracy.cells import table_of
from opfuzz.report.accuracy.data import COLUMNS, to_csv, to_json

CODE = 'print("a, b")\nprint(1)\n'


def made():
    found = [document(op="elu", params={"alpha": 1.0}), document("mlx:cpu", exact=float("inf"))]
    return table_of(found, "opfuzz accuracy", [CODE, ""], ["exp torch:cpu float16: crash"])


def test_json_has_a_cell_with_its_place_its_inputs_and_its_reproducer():
    read = json.loads(to_json(made()))
    cell, other = read["cells"]
    assert set(cell) == set(COLUMNS)
    wanted = {"op": "elu", "subject": "torch:cpu", "format": "float16", "max_ulp": 1.49034896, "at_hex": "0x3c00"}
    assert {name: cell[name] for name in wanted} == wanted
    assert (cell["flushed"], cell["inputs"], cell["is_whole"], cell["rounded_up"]) == (5, 65536, True, "1.5")
    assert (cell["reproducer"], other["reproducer"]) == (CODE, "")
    assert read["missing"] == ["exp torch:cpu float16: crash"]
    assert (read["versions"], read["processor"], read["vector_unit"]) == ({"torch": "2.13.0"}, "X1", "AVX2")


def test_csv_has_the_same_cells():
    rows = list(csv.DictReader(io.StringIO(to_csv(made()), newline="")))
    cells = json.loads(to_json(made()))["cells"]
    assert [json.loads(row.pop("params")) for row in rows] == [cell.pop("params") for cell in cells]
    assert rows == [{name: str(value) for name, value in cell.items()} for cell in cells]
