"""The notebook of `examples`, run by a kernel, and what its cells show, in a browser as well."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from waiting import HUNG

from opfuzz.core.verdicts import CLEAN, FAULT, SEVERITY

nbclient = pytest.importorskip("nbclient", reason="no nbclient here: pip install 'opfuzz[test]'")
pytest.importorskip("ipykernel", reason="no ipykernel here: pip install 'opfuzz[test]'")
pytest.importorskip("pandas", reason="no pandas here: pip install 'opfuzz[test]'")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "first_look.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after all of its cells ran, in a folder of its own."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
        client = nbclient.NotebookClient(notebook, timeout=HUNG, resources={"metadata": {"path": str(folder)}})
        client.execute()
    return notebook, folder


def html_of(notebook) -> list[str]:
    """What each cell shows as HTML, one after another."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


def test_it_shows_progress_causes_ranking_and_tables(executed):
    notebook, folder = executed
    shown = html_of(notebook)
    assert re.fullmatch(r"<small>\d+ cases, \d+ faults?, \d+ s</small>", shown[0])
    causes, table = (next(each for each in shown if word in each) for word in ('class="opfuzz"', "dataframe"))
    assert "Ranking, the worst first" in causes
    assert "<th>smallest</th>" in table
    texts = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    right, rounded = re.findall(r"^exp in float32: ([a-z]+)", texts, re.MULTILINE)
    assert SEVERITY[right] == CLEAN
    assert SEVERITY[rounded] == FAULT
    (page,) = folder.glob("reports/*/report.html")
    assert page.stat().st_size > 10_000


def test_its_tables_fit_a_page(executed, tmp_path):
    """Drawn by a browser in the width of a notebook, light and dark: nothing runs out to the side."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install 'opfuzz[test]'")
    found = (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    chromium = os.environ.get("OPFUZZ_CHROMIUM") or next(found, None)
    if chromium is None:
        pytest.skip("no Chromium here; OPFUZZ_CHROMIUM names one")
    body = "\n<hr>\n".join(html_of(executed[0]))
    page = tmp_path / "cells.html"
    style = ":root{color-scheme:light dark}body{width:1000px;font-family:sans-serif;font-size:14px}"
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}", encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            opened = browser.new_page(viewport={"width": 1024, "height": 900}, color_scheme=scheme)
            opened.goto(page.as_uri())
            if folder := os.environ.get("OPFUZZ_PICTURES"):
                opened.screenshot(path=str(Path(folder) / f"notebook-{scheme}.png"), full_page=True)
            assert opened.evaluate("document.querySelector('.opfuzz').scrollWidth") <= 1000
        browser.close()
