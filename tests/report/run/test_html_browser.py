"""The page in a browser without a network: what a reader clicks, sees and hears. Needs Playwright and Chromium."""

from __future__ import annotations

import os
import shutil

import pytest
from pages import CODE, OPS, compared, full_run, trends
from waiting import HUNG

from opfuzz.report.run.html import render

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install 'opfuzz[test]'")
CHROMIUM = os.environ.get("OPFUZZ_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; OPFUZZ_CHROMIUM names one")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run = compared(full_run(folder))
    (folder / "report.html").write_text(render(run, folder, trends(run)), encoding="utf-8")
    return (folder / "report.html").as_uri()


@pytest.fixture
def opened(browser, address):
    """A function that opens the page; in the end nothing may have been requested, and nothing complained."""
    contexts, requests, complaints = [], [], []

    def visit(fragment="", **settings):
        context = browser.new_context(offline=True, reduced_motion="reduce", **settings)
        contexts.append(context)
        context.set_default_timeout(1000 * HUNG)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + fragment, wait_until="load")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert {request.split("#")[0] for request in requests} == {address}
    assert complaints == []


def shown(page, column):
    return page.locator(f"#rows tbody tr:visible > :nth-child({column})").all_inner_texts()


def test_it_opens_with_its_ops_closed(opened):
    page = opened()
    assert page.locator("h1").inner_text().startswith("Since 20260130")
    assert page.locator("details.op").count() == len(OPS)
    assert not page.locator("details.op article:visible").count(), "ops are closed at first"


def test_names_of_ops_break_on_phones_alone(opened):
    page = opened()
    name = page.locator("#rows tbody th a").first
    name.evaluate("each => each.append('layer_', document.createElement('wbr'), 'norm')")
    place = "each => getComputedStyle(each.querySelector('wbr')).display"
    assert name.evaluate(place) == "none"
    page.set_viewport_size({"width": 390, "height": 800})
    assert name.evaluate(place) != "none"


def test_the_ranking_is_sorted_by_a_click(opened):
    page = opened()
    heading = page.locator("#rows th", has_text="max ulp")
    before = [float(text) for text in shown(page, 5)]
    assert before != sorted(before, reverse=True), "faults stand first"
    heading.get_by_role("button").click()
    assert [float(text) for text in shown(page, 5)] == sorted(before, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert [float(text) for text in shown(page, 5)] == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"
    page.locator("#rows th", has_text="op").first.get_by_role("button").click()
    assert shown(page, 1) == sorted(shown(page, 1))
    assert page.locator("#rows [aria-sort]").count() == 1


def test_the_ranking_is_filtered(opened):
    page = opened()
    total = len(shown(page, 1))
    assert page.locator("#count").inner_text() == f"{total} rows"
    page.get_by_label("op", exact=True).fill("SOFT")
    assert set(shown(page, 1)) == {"softmax"}
    page.locator("#filters [name=subject]").select_option("mlx:cpu")
    page.locator("#filters [name=format]").select_option("float16")
    assert (shown(page, 1), shown(page, 2), shown(page, 3)) == (["softmax"], ["mlx:cpu"], ["float16"])
    assert page.locator("#count").inner_text() == f"1 of {total} rows"
    page.get_by_role("button", name="Show all").click()
    playwright.expect(page.locator("#count")).to_have_text(f"{total} rows")
    page.locator("#filters [name=verdict]").select_option("fault")
    assert set(shown(page, 4)) == {"wrong", "special"}
    page.locator("#filters [name=verdict]").select_option("special")
    assert set(shown(page, 4)) == {"special"}


@pytest.mark.parametrize("is_allowed", [True, False], ids=["clipboard", "clipboard refused"])
def test_the_reproducer_is_copied(opened, is_allowed):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('something else')")
    if not is_allowed:
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.get_by_role("button", name="Open all").click()
    code = page.locator("details.code").first
    code.locator("summary").click()
    code.get_by_role("button").click()
    playwright.expect(code.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == CODE


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_dark_and_light(opened):
    light, dark = "rgb(255, 255, 255)", "rgb(21, 24, 27)"
    assert ground(opened(color_scheme="light")) == light
    page = opened(color_scheme="dark")
    assert ground(page) == dark
    switch = page.locator("#theme")
    assert switch.inner_text() == "Theme: system"
    switch.click()
    assert (switch.inner_text(), ground(page)) == ("Theme: light", light)
    page.reload()
    assert (switch.inner_text(), ground(page)) == ("Theme: light", light), "it is remembered"
    switch.click()
    page.emulate_media(color_scheme="light")
    assert (switch.inner_text(), ground(page)) == ("Theme: dark", dark)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_only_tables_scroll_sideways(opened, width):
    page = opened(viewport={"width": width, "height": 800})
    page.get_by_role("button", name="Open all").click()
    for each in page.locator("details.data, details.code").all():
        each.evaluate("each => each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#rows").evaluate("each => each.parentElement.scrollWidth > each.parentElement.clientWidth")


def test_a_link_to_a_finding_opens_its_op(opened):
    page = opened()
    link = page.locator("table:has(#changed-caption) a[href^='#f-']").first
    target = page.locator(link.get_attribute("href"))
    assert not target.is_visible()
    link.click()
    target.wait_for(state="visible")
    fresh = opened(fragment=link.get_attribute("href"))
    assert fresh.locator(link.get_attribute("href")).is_visible()


def test_all_is_there_without_scripts(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#rows tbody tr").count() == 24
    assert not page.locator("button:visible, form:visible").count(), "nothing that would do nothing"
    page.locator("details.op summary").first.click()
    assert page.locator("article:visible").count()


def test_it_is_read_without_a_mouse(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.locator(".skip").evaluate("each => each === document.activeElement")
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.locator("#main").evaluate("each => each === document.activeElement")
    page.get_by_role("button", name="Open all").click()
    for picture in page.locator("svg.map").all():
        assert "correctly rounded" in picture.get_attribute("aria-label")
    controls = page.locator("button, input, select, a")
    assert all(controls.evaluate_all("found => found.map(e => Boolean(e.textContent.trim() || e.labels?.length))"))
