"""Claim: a load run's page shows what was sent and demanded, is usable by all, and runs nothing that came from outside;
so does the page that is looked at while the run lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Opened, open_document
from tests.e2e.test_page_accessibility import violations
from tests.unit.report.loaded import STOPPED, hostile, load_report, load_run, step_failed
from tests.unit.report.replayed import HOSTILE
from tests.unit.runs.load.outputs.watched import live, live_run, page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

SIZES = [(1280, "light"), (1280, "dark"), (360, "light")]


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_document(browser, tmp_path_factory.mktemp("load"), load_run(hostile())[1])


def test_foreign_markup_is_text(opened: Opened) -> None:
    assert opened.quiet(), "nothing was loaded, nothing ran"
    assert opened.page.locator("#load img").count() == 0
    assert opened.page.locator("#load").inner_text().count(HOSTILE) >= 20


def test_it_is_in_the_menu_and_holds_its_tables(opened: Opened) -> None:
    page = opened.page
    page.get_by_role("link", name="Load", exact=True).click()
    found = page.locator("#load table")
    assert [found.nth(i).locator("tbody tr").count() for i in range(found.count())] == [3, 4, 200, 2, 2, 3, 2, 3, 2]
    assert page.locator("#load figure.over-time path.line").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert opened.file.stat().st_size < 1_000_000


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, axe: str, width: int, scheme: str) -> None:
    document = load_run(load_report(stop=STOPPED), [step_failed("buy / pay")])[1]
    shown = open_document(browser, tmp_path, document, width=width, scheme=scheme).page
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(shown, axe) == []


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_the_live_page_tells_how_it_goes(browser: Browser, axe: str, width: int, scheme: str) -> None:
    troubles: list[str] = []
    with page() as (watching, warnings):
        watching.begun(live_run(HOSTILE))
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False)  # type: ignore[arg-type]
        shown = context.new_page()
        shown.on("console", lambda m: troubles.append(m.text))
        shown.on("pageerror", lambda e: troubles.append(str(e)))
        asked: list[str] = []
        shown.on("request", lambda r: asked.append(r.url))
        for n in range(20):
            watching.tell(live(n / 2))
        shown.goto(watching.url)
        shown.locator("#charts path.main").first.wait_for(state="attached")  # nothing can be evaluated there
        for _ in range(600):  # figures of steps come once it is known that somebody looks
            watching.tell(live(10.0))
            if shown.locator("#steps th").count():
                break
            shown.wait_for_timeout(50)
        assert shown.locator("h1").inner_text() == HOSTILE
        assert shown.locator("#tiles").inner_text().split("\n")[:3] == ["Rate", "48.5/s", "planned 50/s"]
        assert shown.locator("#state").inner_text() == "Sending."
        assert shown.locator("#steps tr").nth(1).inner_text().split("\t")[1:3] == ["5", "1 reset"]
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(shown, axe) == []
        watching.close()
        shown.get_by_text("The run has ended").wait_for()
        context.close()
    assert set(asked) == {watching.url, f"{watching.url}events"}
    assert (troubles, warnings) == ([], [])
