"""report.html in a real Chromium: drawn, quiet, usable by mouse and keyboard, and harmless with hostile names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import open_run, part_key
from tests.unit.report.generated import HOSTILE
from tests.unit.report.shop_run import Run, shop_run, wide_graph
from tracer_bullet.model import Edge, Latency, Node, NodeKind, ServiceGraph

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUICK = Latency(p50_ms=1, p90_ms=1, p95_ms=1, p99_ms=1, p999_ms=1, max_ms=1)


@pytest.fixture(scope="module")
def failed_run() -> Run:
    return shop_run(bullets=100, lost=range(40, 52), missing=[17])


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_quietly_and_asks_the_network_for_nothing(
    browser: Browser, tmp_path: Path, failed_run: Run, width: int, scheme: str
) -> None:
    opened = open_run(browser, tmp_path, failed_run, width=width, scheme=scheme)
    page = opened.page
    assert page.locator("svg.canvas g.node").count() == len(failed_run.graph.nodes)
    assert page.locator("svg.canvas g.edge").count() == len(failed_run.graph.edges)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert opened.quiet()


def test_dark_mode_is_dark_and_light_mode_light(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    def ground(scheme: str) -> int:
        page = open_run(browser, tmp_path, failed_run, scheme=scheme).page
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(c) for c in color.removeprefix("rgb(").removesuffix(")").split(","))

    assert ground("dark") < 150 < 600 < ground("light")


def test_a_click_on_an_edge_shows_its_numbers_and_evidence(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    key = part_key(page, "checkout → payment")
    page.locator(f'g.label[data-key="{key}"]').click()
    panel = page.locator("#panel")
    assert panel.is_visible()
    said = panel.inner_text()
    for wanted in ("checkout → payment", "Calls\n100", "p99.9\t", "client-peer", "the flag did not arrive"):
        assert wanted in said
    panel.locator(".close").click()
    assert not panel.is_visible()


def test_a_click_on_the_line_itself_works_too(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    key = part_key(page, "gateway → checkout")
    point = page.evaluate(
        """(key) => {
            const line = document.querySelector(`g.edge[data-key="${key}"] .line`);
            const at = line.getPointAtLength(line.getTotalLength() * 0.15).matrixTransform(line.getScreenCTM());
            return [at.x, at.y];
        }""",
        key,
    )
    page.evaluate("(y) => window.scrollBy(0, y - 300)", point[1])
    scrolled = page.evaluate("window.scrollY")
    page.mouse.click(point[0], point[1] - scrolled)
    assert page.locator("#panel").get_attribute("data-of") == key


def test_the_keyboard_reaches_opens_closes_and_zooms(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    page.locator("#findings").click()
    for _ in range(60):  # through the bar's links to the first part of the map
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('g.edge')"):
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("tracer-bullet to gateway: ")
    page.keyboard.press("Enter")
    assert page.locator("#panel h3").inner_text() == "tracer-bullet → gateway"
    page.keyboard.press("Escape")
    page.locator("g.node .face").first.focus()
    name = page.evaluate("document.activeElement.getAttribute('aria-label')").split(",")[0]
    page.keyboard.press("Enter")
    assert page.locator("#panel h3").inner_text() == name
    assert page.locator("g.node .face").first.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.getElementById('panel').contains(document.activeElement)"), (
        "the focus is in the panel"
    )
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").split(",")[0] == name
    before = page.locator("svg.canvas > g").get_attribute("transform")
    page.keyboard.press("+")
    assert page.locator("svg.canvas > g").get_attribute("transform") != before


def test_every_part_of_the_map_can_be_focused_and_says_what_it_is(
    browser: Browser, tmp_path: Path, failed_run: Run
) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    labels = page.eval_on_selector_all(
        "svg.canvas [role=button][tabindex='0']", "all => all.map((e) => e.getAttribute('aria-label'))"
    )
    assert len(labels) == len(failed_run.graph.nodes) + len(failed_run.graph.edges)
    assert any(label.startswith("payment to payment-db: 100× · p95 ") for label in labels)
    assert "payment, service, 2 findings" in labels


def test_dragging_moves_the_map_and_opens_nothing(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    page.locator("#service-map").scroll_into_view_if_needed()
    box = page.locator("svg.canvas").bounding_box()
    assert box is not None
    before = page.locator("svg.canvas > g").get_attribute("transform")
    page.mouse.move(box["x"] + 300, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 360, box["y"] + 90, steps=4)
    page.mouse.up()
    assert page.locator("svg.canvas > g").get_attribute("transform") != before
    assert not page.locator("#panel").is_visible()


def test_a_column_sorts_by_its_value_not_its_text(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run).page
    table = page.locator("table.sortable").first
    table.locator("th button", has_text="p95").click()
    values = [float(v) for v in table.locator("tbody td:nth-child(7)").evaluate_all("c => c.map((x) => x.dataset.v)")]
    assert values == sorted(values, reverse=True)
    assert len(values) == len(failed_run.graph.edges)
    assert table.locator("th", has_text="p95").first.get_attribute("aria-sort") == "descending"


def test_without_scripts_all_numbers_are_there(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    page = open_run(browser, tmp_path, failed_run, script=False).page
    assert page.locator(".badge").inner_text().lower() == "✕ failed"
    assert page.locator(".panels .panel:visible").count() == len(failed_run.graph.nodes) + len(failed_run.graph.edges)
    assert page.locator("#latency tbody tr:visible").count() >= len(failed_run.graph.edges)
    assert not page.locator(".tools").is_visible()


def test_sixty_parts_are_readable(browser: Browser, tmp_path: Path) -> None:
    run = replace(shop_run(bullets=5), graph=wide_graph())
    opened = open_run(browser, tmp_path, run)
    heights = opened.page.locator("g.node .name").evaluate_all(
        "all => all.map((t) => t.getBoundingClientRect().height)"
    )
    assert len(heights) == 61
    assert min(heights) >= 9
    overlaps = opened.page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll("g.node .shape")].map((s) => s.getBoundingClientRect());
            return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
                a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length;
        }"""
    )
    assert overlaps == 0
    assert opened.troubles == []


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    nodes = tuple(Node(id=f"service:{i}", name=name, kind=NodeKind.SERVICE) for i, name in enumerate(HOSTILE))
    edges = tuple(
        Edge(source=nodes[0].id, target=n.id, calls=1, errors=1, latency=QUICK, evidence=()) for n in nodes[1:]
    )
    clean = shop_run(bullets=1)
    hostile = HOSTILE[0]
    run = Run(
        manifest=replace(clean.manifest, scenario=hostile, target=HOSTILE[2], versions={hostile: hostile}),
        verdict=replace(clean.verdict, scenario=hostile),
        graph=ServiceGraph(nodes=nodes, edges=edges, operations=(), traces=1, spans=1),
        traces=tuple(replace(t, spans=tuple(replace(s, name=hostile) for s in t.spans)) for t in clean.traces),
    )
    opened = open_run(browser, tmp_path, run)
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("g.node").count() == len(nodes)
    titles = opened.page.locator("g.node title").all_text_contents()
    assert hostile in titles
    assert opened.page.locator("h1").inner_text().endswith(f"{hostile} → {HOSTILE[2]}")
    assert opened.troubles == []
    assert len(opened.requests) == 1


def test_the_policy_stops_what_would_slip_in(browser: Browser, tmp_path: Path, failed_run: Run) -> None:
    opened = open_run(browser, tmp_path, failed_run)
    opened.page.evaluate(
        """() => {
            window.slipped = false;
            const script = document.createElement("script");
            script.textContent = "window.slipped = true";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/x.png";
            document.body.append(image);
        }"""
    )
    assert opened.page.evaluate("window.slipped") is False
    assert any("Content Security Policy" in t for t in opened.troubles)


def test_a_run_without_anything_still_makes_a_page(browser: Browser, tmp_path: Path) -> None:
    clean = shop_run(bullets=1)
    empty = ServiceGraph(nodes=(), edges=(), operations=(), traces=0, spans=0)
    run = Run(
        manifest=clean.manifest,
        verdict=replace(clean.verdict, bullets=(), planned=3),
        graph=empty,
        traces=(),
    )
    opened = open_run(browser, tmp_path, run)
    assert "No trace arrived." in opened.page.locator("#traces").inner_text()
    assert opened.troubles == []
