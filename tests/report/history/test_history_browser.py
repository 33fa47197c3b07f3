"""The history in a browser without a network: as wide as the screen, nothing asked for, nothing complained of."""

from __future__ import annotations

import os
import shutil

import pytest
from made_nights import DAYS, write

from opfuzz.report.history.html import render_history
from opfuzz.store.history import NAME, trends
from opfuzz.store.lives import past

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install 'opfuzz[test]'")
CHROMIUM = os.environ.get("OPFUZZ_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; OPFUZZ_CHROMIUM names one")
SCREENS = [
    (1280, "light", "rgb(255, 255, 255)"),
    (400, "dark", "rgb(21, 24, 27)"),
    (320, "light", "rgb(255, 255, 255)"),
]


def test_it_fits_every_screen_without_scripts(tmp_path):
    path = write(tmp_path / NAME)
    (tmp_path / "history.html").write_text(render_history(past(path), trends(path)), encoding="utf-8")
    address, requests, complaints = (tmp_path / "history.html").as_uri(), set(), []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme, ground in SCREENS:
            screen = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
            page = browser.new_page(offline=True, java_script_enabled=False, **screen)
            page.on("request", lambda request: requests.add(request.url))
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(address)
            assert page.locator("html").evaluate("each => each.scrollWidth") == width
            assert page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor") == ground
            assert page.locator(".axis .told").first.is_visible() == (width > 640), "a number stands for it on a phone"
            assert page.locator(".axis .number").first.is_visible() == (width < 640)
            strokes = page.locator(".axis line.run").evaluate_all("all => all.map(e => e.getBoundingClientRect().x)")
            left, right = page.locator(".axis .strip").evaluate(
                "each => [each.getBoundingClientRect().left, each.getBoundingClientRect().right]"
            )
            assert len(strokes) == len(DAYS)
            assert left < strokes[0] < strokes[-1] < right
        browser.close()
    assert (requests, complaints) == ({address}, [])
