"""The page of a run of a million spans: small, quick to show, and usable. No clock decides; sizes and counts do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Opened, open_document
from tests.unit.report.analysed import Sample, sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Generous: a slow machine under load takes a few of these, a page that grows with its run takes many.
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def large() -> Sample:
    return sample(services=500, operations=2_000, edges=5_000, examples=12, spans=5_000)


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory, large: Sample) -> Opened:
    return open_document(browser, tmp_path_factory.mktemp("large"), large.document())


def test_the_file_stays_under_five_megabytes(opened: Opened, large: Sample) -> None:
    assert sum(len(t.spans) for t in large.run.traces) > 30_000
    assert opened.file.stat().st_size < 5_000_000


def test_the_browser_has_little_to_do(opened: Opened) -> None:
    page = opened.page
    assert page.evaluate("document.querySelectorAll('*').length") < 25_000
    seen = page.evaluate(
        """() => {
            const [way] = performance.getEntriesByType("navigation");
            const paint = performance.getEntriesByName("first-contentful-paint")[0];
            return { loaded: way.loadEventEnd, painted: paint.startTime };
        }"""
    )
    assert 0 < seen["painted"] <= seen["loaded"] < PATIENCE_MS, "text is painted before scripts have drawn the map"
    assert opened.quiet()


def test_the_map_draws_the_most_important_and_says_so(opened: Opened) -> None:
    page = opened.page
    assert page.locator("g.node").count() == 80
    assert 0 < page.locator("g.edge").count() <= 160
    assert page.locator("g.node .folded").count() > 40
    said = page.locator("#service-map").inner_text()
    assert "Drawn at first: at most 80 of 668 parts and 160 of 5,000 edges" in said
    assert "The page holds 668 parts, and all numbers of 1,000 edges." in said


def test_a_part_that_is_not_drawn_is_found_and_drawn_with_its_neighbours(opened: Opened, large: Sample) -> None:
    page = opened.page
    drawn = set(page.locator("g.node title").all_text_contents())
    hidden = page.evaluate("(drawn) => tb.data.nodes.map((n) => n.name).find((n) => !drawn.includes(n))", sorted(drawn))
    assert hidden in {n.name for n in large.run.graph.nodes}
    page.locator("#find").fill(hidden)
    page.keyboard.press("Enter")
    assert page.locator("#panel h3").inner_text() == hidden
    assert hidden in page.locator("g.node title").all_text_contents()
    center = next(n.id for n in large.run.graph.nodes if n.name == hidden)
    near = {i for e in large.run.graph.edges if center in (e.source, e.target) for i in (e.source, e.target)}
    assert page.locator("g.node").count() == min(len(near), 41), "edges of few numbers are drawn too"
    page.get_by_role("button", name="Whole map").click()
    assert page.locator("g.node").count() == 80


def test_every_example_opens(opened: Opened) -> None:
    page = opened.page
    examples = page.locator("details.trace")
    assert examples.count() == 12
    examples.evaluate_all("all => all.forEach((d) => { d.open = true; })")
    page.locator("#t11 table.waterfall").wait_for(state="attached")
    rows = examples.evaluate_all("all => all.map((d) => d.querySelectorAll('.waterfall tbody tr').length)")
    assert all(20 <= n <= 250 for n in rows)
    assert "further spans left out" in page.locator("#t11").inner_text()
