"""The page of an analysis in a real Chromium: map, search, colours, traces, histograms, with scripts and without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Opened, open_document, part_key
from tests.unit.report.analysed import Sample, sample
from tests.unit.report.generated import HOSTILE
from tracer_bullet.model import NodeKind

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECTIONS = ["causes", "slos", "drift", "service-map", "traces", "paths", "latency", "declared", "imported", "run"]


@pytest.fixture(scope="module")
def small() -> Sample:
    return sample()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path, small: Sample) -> Opened:
    return open_document(browser, tmp_path, small.document())


def find(page: Page, words: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(words)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_is_there_and_nothing_scrolls_sideways(
    browser: Browser, tmp_path: Path, small: Sample, width: int, scheme: str
) -> None:
    opened = open_document(browser, tmp_path, small.document(), width=width, scheme=scheme)
    page = opened.page
    assert page.locator("section.part").evaluate_all("all => all.map((s) => s.id)") == SECTIONS
    assert page.locator(".bar a").evaluate_all("all => all.map((a) => a.hash.slice(1))") == SECTIONS
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert opened.quiet()


def test_a_name_is_found_from_the_keyboard_and_its_part_opens(opened: Opened) -> None:
    page = opened.page
    find(page, "pric")
    rows = page.locator("#found li")
    assert rows.count() == 2
    assert page.locator("#find").get_attribute("aria-activedescendant") == "found-0"
    page.keyboard.press("ArrowDown")
    assert page.locator("#find").get_attribute("aria-activedescendant") == "found-1"
    assert rows.nth(1).get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator("#panel h3").inner_text() == "pricing"
    said = page.locator("#panel").inner_text()
    for wanted in ("Owner\ngroup:default/pricing", "On call\npricing-oncall", "p99.9\n", "Own time\n"):
        assert wanted in said
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("pricing, service")
    assert not page.locator("#found").is_visible()


def test_a_name_that_nobody_has_says_so_and_escape_empties_the_box(opened: Opened) -> None:
    page = opened.page
    find(page, "no such part")
    assert page.locator("#found").inner_text() == "nothing of that name"
    page.keyboard.press("Enter")
    assert not page.locator("#panel").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#find").input_value() == ""
    assert not page.locator("#found").is_visible()


def test_colours_change_words_widths_and_legend_too(opened: Opened) -> None:
    page = opened.page

    def look() -> tuple[list[str], set[str], set[str]]:
        words = page.locator("g.node .sub").all_text_contents()
        fills = page.locator("g.node .shape").evaluate_all("all => all.map((s) => getComputedStyle(s).fill)")
        widths = page.locator("g.edge .line").evaluate_all("all => all.map((s) => getComputedStyle(s).strokeWidth)")
        return words, set(fills), set(widths)

    plain = look()
    assert not page.locator(".legend [data-paint=latency]").is_visible()
    page.get_by_label("latency", exact=True).check()
    slow = look()
    assert page.locator(".legend [data-paint=latency] .step").count() == 5
    assert page.locator(".legend [data-paint=latency]").is_visible()
    assert not page.locator(".legend [data-paint=plain]").is_visible()
    assert any(word.startswith("p95 ") for word in slow[0])
    assert len(slow[1]) >= 3, "several steps of colour"
    assert len(slow[2]) >= 3, "and of width"
    page.keyboard.press("ArrowLeft")  # radio buttons are walked by arrows
    wrong = look()
    assert "no errors" in wrong[0]
    assert any("% errors" in word for word in wrong[0])
    page.get_by_label("findings", exact=True).check()
    assert look() == plain


def test_an_edge_says_both_sides_and_leads_to_a_trace(opened: Opened, small: Sample) -> None:
    page = opened.page
    by_id = {n.id: n.name for n in small.run.graph.nodes}
    shown = {t.trace_id: f"t{i}" for i, t in enumerate(small.run.traces)}
    edge = next(
        e
        for e in small.run.graph.edges
        if e.target.startswith("service:") and shown.get(e.evidence[0].example_trace_ids[0], "t0") != "t0"
    )
    trace_id = edge.evidence[0].example_trace_ids[0]
    key = part_key(page, f"{by_id[edge.source]} → {by_id[edge.target]}")
    page.locator(f'g.edge[data-key="{key}"]').focus()
    page.keyboard.press("Enter")
    panel = page.locator("#panel")
    said = panel.inner_text()
    for wanted in ("caller waited\tcallee took", "p99.9\t", "Rate\n", "Calls per trace\n1.4", "client-server"):
        assert wanted in said
    assert panel.locator(".plot .axis text").count() >= 3
    link = panel.locator(f'a[title="Show trace {trace_id}"]').first
    target = page.locator(str(link.get_attribute("href")))
    assert target.get_attribute("open") is None
    assert target.locator("tr").count() == 0
    link.click()
    target.locator("table.waterfall tbody tr").first.wait_for()
    assert target.get_attribute("open") is not None
    assert target.locator("summary code").first.inner_text() == trace_id
    assert target.locator("summary").first.evaluate("s => s === document.activeElement")


def test_a_waterfall_marks_the_critical_path_and_the_waste(opened: Opened, small: Sample) -> None:
    first = opened.page.locator("#t0")
    trace_id = first.locator("summary code").first.inner_text()
    on_path = {s.span_id for s in small.paths[trace_id]}
    assert first.locator("tr.on-path").count() == len(on_path)
    assert first.locator(".waterfall th").last.inner_text() == "On critical path"
    assert first.locator("tr.on-path .crit").count() == len(small.paths[trace_id])
    assert first.get_by_text("repeated calls", exact=True).count() >= 1


def test_the_flame_view_opens_and_has_a_table(opened: Opened) -> None:
    first = opened.page.locator("#t0")
    flame = first.locator("details.sub").first
    flame.locator("summary").first.click()
    blocks = flame.locator("svg.flame > svg")
    assert blocks.count() >= 5
    widths = blocks.evaluate_all("all => all.map((b) => b.getBoundingClientRect().width)")
    assert widths[0] == pytest.approx(
        flame.locator("svg.flame").evaluate("f => f.getBoundingClientRect().width"), abs=2
    )
    assert all(w <= widths[0] + 0.5 for w in widths)
    flame.get_by_text("As a table").click()
    assert flame.locator("tbody tr").count() >= 5


def test_a_histogram_opens_large_and_closes_by_escape(opened: Opened) -> None:
    page = opened.page
    button = page.locator("#latency td.spread button").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator(".axis text").count() >= 3
    assert "p99.9" in dialog.inner_text()
    drawn = dialog.locator(".mid").get_attribute("d")
    assert drawn
    assert drawn == button.locator(".mid").get_attribute("d")
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert button.evaluate("b => b === document.activeElement")


def test_the_surroundings_of_a_part_and_back(opened: Opened, small: Sample) -> None:
    page = opened.page
    find(page, "cart")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Draw only its surroundings").click()
    cart = next(n.id for n in small.run.graph.nodes if n.name == "cart")
    near = {i for e in small.run.graph.edges if cart in (e.source, e.target) for i in (e.source, e.target)}
    assert page.locator("g.node").count() == len(near)
    assert "cart and its neighbours" in page.locator(".said").inner_text()
    page.get_by_role("button", name="Whole map").click()
    assert page.locator("g.node").count() == len(small.run.graph.nodes)
    assert not page.get_by_role("button", name="Whole map").is_visible()


def test_only_web_addresses_of_the_catalog_are_links(opened: Opened) -> None:
    outward = opened.page.locator("a:not([href^='#'])")
    assert outward.evaluate_all("all => all.map((a) => a.href)") == ["https://runbooks.example/pricing"]
    assert outward.first.get_attribute("rel") == "noreferrer noopener"
    assert "Bad link" in opened.page.locator("#causes").inner_text()


def test_without_scripts_all_of_it_is_there(browser: Browser, tmp_path: Path, small: Sample) -> None:
    page = open_document(browser, tmp_path, small.document(), script=False).page
    assert page.locator(".panels .panel").count() == len(small.run.graph.nodes) + len(small.run.graph.edges)
    assert page.locator("#t0 table.waterfall tbody tr").first.is_visible()
    assert not page.locator("#find").is_visible()
    page.locator("#t1 > summary").click()
    assert page.locator("#t1 table.waterfall tbody tr").first.is_visible()
    page.locator(".heat details summary").click()
    assert page.locator(".heat tbody tr").count() == 60
    assert page.locator("#latency svg.histogram").count() > 40
    page.locator(".cause a.id").first.click()
    assert page.url.endswith("#t0")


def test_hostile_names_stay_text_everywhere(browser: Browser, tmp_path: Path, small: Sample) -> None:
    """Every name is hostile: in tables, in the waterfall that is parsed late, in panels and in the search."""
    name = HOSTILE[0]
    analysis = replace(
        small.analysis,
        services=tuple(replace(s, service=name) for s in small.analysis.services),
        operations=tuple(replace(o, service=name, name=HOSTILE[1]) for o in small.analysis.operations),
        causes=tuple(replace(c, error=name, path=HOSTILE) for c in small.analysis.causes),
        contrasts=tuple(replace(c, attribute=name, value=HOSTILE[2]) for c in small.analysis.contrasts),
        patterns=tuple(replace(p, message=name) for p in small.analysis.patterns),
    )
    traces = tuple(
        replace(t, spans=tuple(replace(s, name=name, service=HOSTILE[1], status_message=name) for s in t.spans))
        for t in small.run.traces
    )
    graph = replace(
        small.run.graph,
        nodes=tuple(
            replace(n, name=name, system=name) if n.kind is NodeKind.SERVICE else n for n in small.run.graph.nodes
        ),
    )
    hostile = replace(small, analysis=analysis, run=replace(small.run, graph=graph, traces=traces))
    opened = open_document(browser, tmp_path, hostile.document())
    page = opened.page
    page.locator("details").evaluate_all("all => all.forEach((d) => { d.open = true; })")
    page.locator("#t5 details details").first.wait_for(state="attached")
    page.locator("details").evaluate_all("all => all.forEach((d) => { d.open = true; })")
    find(page, "</script>")
    page.keyboard.press("Enter")
    assert page.locator("#panel h3").inner_text() == name
    page.locator("#latency td.spread button").first.click()
    assert name in page.locator("dialog").inner_text()
    assert page.locator("img, main script").count() == 0
    assert name in page.locator("#t0 .label-text").first.inner_text()
    assert opened.quiet()


def test_on_paper_there_are_no_tools_and_nothing_is_cut_off(browser: Browser, tmp_path: Path, small: Sample) -> None:
    page = open_document(browser, tmp_path, small.document(), media="print", width=780).page
    assert not page.locator(".tools").is_visible()
    assert not page.locator(".bar").is_visible()
    assert page.locator("g.node").count() == len(small.run.graph.nodes)
    cut = page.locator("#latency .scroll").evaluate_all(
        "all => all.filter((s) => s.scrollHeight > s.clientHeight + 2).length"
    )
    assert cut == 0


def test_nothing_moves_for_those_who_do_not_want_it(browser: Browser, tmp_path: Path, small: Sample) -> None:
    for motion, moves in (("reduce", False), ("no-preference", True)):
        page = open_document(browser, tmp_path, small.document(), motion=motion).page
        lengths = page.locator("g.node").evaluate_all("all => all.map((n) => getComputedStyle(n).transitionDuration)")
        assert (set(lengths) != {"0s"}) is moves
