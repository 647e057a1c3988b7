"""Claim: a replay's page shows what was sent and what differs, is usable by all, and runs nothing that was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Opened, open_document
from tests.e2e.test_page_accessibility import violations
from tests.servers.axe import AxeUnavailableError, axe_source
from tests.unit.report.replayed import HOSTILE, STOPPED, endpoint, many, replay_report, replay_run

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    report, findings = many()
    return open_document(browser, tmp_path_factory.mktemp("replay"), replay_run(report, findings)[1])


def test_recorded_markup_is_text(opened: Opened) -> None:
    assert opened.quiet(), "nothing was loaded, nothing ran"
    assert opened.page.locator("#replay img").count() == 0
    said = opened.page.locator("#replay").inner_text()
    assert said.count(HOSTILE) >= 4, "archive, endpoint, field and examples"


def test_it_is_in_the_menu_and_holds_its_tables(opened: Opened) -> None:
    page = opened.page
    page.get_by_role("link", name="Replay", exact=True).click()
    tables = page.locator("#replay table")
    assert [tables.nth(i).locator("tbody tr").count() for i in range(tables.count())] == [200, 100, 1]
    first = tables.first.locator("tbody tr").first.inner_text()
    assert "answer-differs, 3 fields" in first
    assert "answer-timeout" in first
    said = page.locator("#replay").inner_text()
    assert "Shown: 200 of 230 endpoints, failures first." in said
    assert "Shown: 100 of 122 differences, findings first." in said
    assert "225 of 230" in said


def test_it_stays_small_and_in_its_width(opened: Opened) -> None:
    assert opened.file.stat().st_size < 1_000_000
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    try:
        axe = axe_source()
    except AxeUnavailableError as error:
        pytest.skip(f"axe-core is missing: {error}")
    report, findings = many(endpoints=30, differences=12)
    page = open_document(browser, tmp_path, replay_run(report, findings)[1], width=width, scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page, axe) == []


def test_a_stopped_replay_says_why(browser: Browser, tmp_path: Path) -> None:
    report = replay_report([endpoint("GET /a")], stop=STOPPED)
    page = open_document(browser, tmp_path, replay_run(report)[1], script=False).page
    assert "61 of 80 requests failed within 10 s" in page.locator("#replay header").inner_text()
    assert "guardrail after 12.3 s" in page.locator("#replay dl").inner_text()
