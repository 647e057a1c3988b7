"""axe-core finds nothing on the page, in light and dark, wide and narrow, closed and with everything open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import open_document
from tests.unit.report.analysed import Sample, sample
from tests.unit.report.shop_run import shop_run
from tracer_bullet.report import Document, build_document

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


def judged() -> Document:
    """A failed run with everything that an analysis adds."""
    run, more = shop_run(bullets=20, lost=[4], missing=[7]), sample()
    return build_document(run.manifest, run.verdict, run.graph, run.traces, analysis=more.analysis, slos=more.slos)


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)")
    return [f"{v['id']}: {v['help']} at {json.dumps([n['target'] for n in v['nodes']][:3])}" for v in found]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["analysis", "run"])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, axe: str, width: int, scheme: str, kind: str) -> None:
    document = sample().document() if kind == "analysis" else judged()
    page = open_document(browser, tmp_path, document, width=width, scheme=scheme).page
    page.get_by_label("latency", exact=True).check()
    page.locator("#find").fill("a")
    for _ in range(3):  # details inside of details come when they are opened
        page.locator("details:not([open])").evaluate_all("all => all.forEach((d) => { d.open = true; })")
        page.wait_for_function("document.querySelectorAll('details[open] > noscript.lazy').length === 0")
    assert violations(page, axe) == []
    page.locator("g.edge").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator("#panel").is_visible()
    assert violations(page, axe) == []
    if kind == "analysis":
        page.locator("#latency td.spread button").first.click()
        assert violations(page, axe) == []


def test_axe_would_find_something(browser: Browser, tmp_path: Path, axe: str, small: Sample) -> None:
    page = open_document(browser, tmp_path, small.document()).page
    page.evaluate("document.documentElement.removeAttribute('lang')")
    page.locator(".headline").evaluate("p => { p.style.color = '#bbb'; }")
    said = " ".join(violations(page, axe))
    assert "color-contrast" in said
    assert "html-has-lang" in said


@pytest.fixture(scope="module")
def small() -> Sample:
    return sample()
