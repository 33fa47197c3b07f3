"""The table as a page that can be sorted: its rows, that it is inert, and, where there is a browser, its buttons."""

from __future__ import annotations

import os
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
from swept_documents import document
from waiting import HUNG

from opfuzz.report.accuracy.cells import table_of
from opfuzz.report.accuracy.html import render

CHROMIUM = os.environ.get("OPFUZZ_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def page():
    found = [
        document(op=op, max_ulp=error, max_ulp_at_most=error, tail={"max_ulp": 0.0, "max_ulp_at_most": 0.0})
        for op, error in (("exp", 9.25), ("a<b", 10.5), ("tanh", 0.5))
    ]
    return render(table_of(found, "opfuzz accuracy", ["if 1 < 2:\n    print('<b>')\n", "", ""]))


class Rows(HTMLParser):
    """The cells of each row of the body of the table, and tags that load something."""

    def __init__(self):
        super().__init__()
        self.rows, self.loads, self.is_body, self.is_cell = [], [], False, False

    def handle_starttag(self, tag, attributes):
        self.is_body |= tag == "tbody"
        if self.is_body and tag == "tr":
            self.rows.append([])
        elif self.is_body and tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_cell = True
        self.loads += [value for name, value in attributes if name in ("src", "href") and value[:1] != "#"]

    def handle_endtag(self, tag):
        self.is_body &= tag != "tbody"
        self.is_cell &= tag not in ("td", "th")

    def handle_data(self, data):
        if self.is_cell and self.is_body:
            self.rows[-1][-1] += data


def test_a_row_a_cell_with_its_reproducer_and_nothing_that_is_loaded():
    read = Rows()
    read.feed(page())
    assert [row[0] for row in read.rows] == ["exp", "a<b", "tanh"]
    assert read.rows[0][3:9] == ["9.5", "9.25", "0x3c00", "5", "", "65536"]
    assert "if 1 < 2:\n    print('<b>')\n" in read.rows[0][10]
    assert read.rows[1][10] == ""
    assert set(read.loads) == {"data:,"}
    assert "default-src 'none'" in unescape(page())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; OPFUZZ_CHROMIUM names one")
def test_it_is_sorted_by_number_and_filtered_by_op(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install 'opfuzz[test]'")
    (tmp_path / "page.html").write_text(page(), encoding="utf-8")
    complaints = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(1000 * HUNG)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto((tmp_path / "page.html").as_uri())
        ops = opened.locator("#rows tbody tr:visible > th")
        opened.get_by_role("button", name="at most, ulp").click()
        assert ops.all_text_contents() == ["a<b", "exp", "tanh"]
        opened.get_by_role("button", name="max ulp").click()
        opened.get_by_role("button", name="max ulp").click()
        assert ops.all_text_contents() == ["tanh", "exp", "a<b"]
        opened.locator("input[name=op]").fill("ex")
        assert ops.all_text_contents() == ["exp"]
        browser.close()
    assert complaints == []
