"""The page of a history in a real Chromium: it steps, by mouse, keyboard and by itself, and nothing moves about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.report.generated import HOSTILE
from tests.unit.report.test_history import graph, snapshots
from tracer_bullet.report.history import Snapshot, build_history, render_history_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    page: Page
    requests: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def states(self) -> dict[str, str]:
        """Drawn part → its state."""
        return dict(
            self.page.eval_on_selector_all(
                ".node, .edge",
                "all => all.map(e => [e.querySelector('title').textContent.split(':')[0], e.dataset.state])",
            )
        )

    def places(self) -> list[str]:
        return list(
            self.page.eval_on_selector_all(".node", "all => all.map(e => e.dataset.key + e.getAttribute('transform'))")
        )

    @property
    def step(self) -> str:
        return str(self.page.get_attribute("#history", "data-step"))


def open_history(
    browser: Browser,
    folder: Path,
    runs: list[Snapshot],
    *,
    motion: str = "reduce",
    scheme: str = "light",
    width: int = 1280,
) -> Opened:
    file = folder / "history.html"
    file.write_text(render_history_page(build_history(runs)), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion=motion,  # type: ignore[arg-type]
    )
    opened = Opened(page=context.new_page())
    opened.page.clock.install(time=0)
    opened.page.on("request", lambda r: opened.requests.append(r.url))
    opened.page.on("console", lambda m: opened.troubles.append(m.text))
    opened.page.on("pageerror", lambda e: opened.troubles.append(str(e)))
    opened.page.on("dialog", lambda d: (opened.troubles.append(d.message), d.dismiss()))
    opened.page.goto(file.as_uri())
    return opened


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_steps_by_mouse_on_one_layout_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    opened = open_history(browser, tmp_path, snapshots(), width=width, scheme=scheme)
    places = opened.places()
    assert opened.states()["web → cart"] == "there"
    assert not opened.page.locator('[data-state="absent"]').first.is_visible()
    opened.page.click('[data-do="next"]')
    assert opened.states()["cart → stock"] == "came"
    assert opened.page.locator(".edge.is-came .badge text").all_text_contents() == ["+"]
    opened.page.click('[data-do="next"]')
    assert opened.states() == {
        "cart": "went", "stock": "there", "web": "there", "cart → stock": "went", "web → cart": "went",
        "web → stock": "came",
    }  # fmt: skip
    assert opened.page.locator(".node.is-went .badge text").all_text_contents() == ["−"]
    assert "came: web → stock; went: cart, cart → stock, web → cart" in opened.page.inner_text(".now")
    assert opened.places() == places
    opened.page.click('[data-do="first"]')
    assert opened.step == "1"
    assert opened.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    assert opened.requests == [(tmp_path / "history.html").as_uri()]
    assert opened.troubles == []


def test_it_steps_by_keyboard_and_by_the_slider(browser: Browser, tmp_path: Path) -> None:
    opened = open_history(browser, tmp_path, snapshots())
    for key, step in (("ArrowRight", "2"), ("End", "4"), ("ArrowRight", "4"), ("ArrowLeft", "3"), ("Home", "1")):
        opened.page.keyboard.press(key)
        assert opened.step == step, key
    opened.page.focus("input[type=range]")
    opened.page.keyboard.press("ArrowRight")
    assert opened.step == "2"
    assert opened.page.get_attribute("input", "aria-valuetext") == "2 of 4, run-1"
    opened.page.keyboard.press("p")
    assert opened.page.get_attribute('[data-do="play"]', "aria-pressed") == "true"


def test_it_plays_once_by_itself_and_can_be_stopped(browser: Browser, tmp_path: Path) -> None:
    opened = open_history(browser, tmp_path, snapshots(), motion="no-preference")
    play = opened.page.locator('[data-do="play"]')
    assert (opened.step, play.inner_text()) == ("1", "Pause")
    opened.page.clock.run_for(2_000)
    assert opened.step == "2"
    play.click()
    opened.page.clock.run_for(10_000)
    assert (opened.step, play.inner_text()) == ("2", "Play")
    play.click()
    opened.page.clock.run_for(10_000)
    assert (opened.step, play.inner_text()) == ("4", "Play"), "it ends at the last run"
    play.click()
    assert opened.step == "1", "and begins anew"


def test_it_does_not_play_for_those_who_want_no_motion(browser: Browser, tmp_path: Path) -> None:
    opened = open_history(browser, tmp_path, snapshots(), motion="reduce")
    opened.page.clock.run_for(60_000)
    assert (opened.step, opened.page.inner_text('[data-do="play"]')) == ("1", "Play")
    opened.page.click('[data-do="play"]')
    opened.page.clock.run_for(2_000)
    assert opened.step == "2", "but does when asked"


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    runs = [Snapshot(name=HOSTILE[0], started_ns=0, graph=graph(*((h, "b") for h in HOSTILE))), *snapshots()]
    opened = open_history(browser, tmp_path, runs)
    opened.page.click('[data-do="next"]')
    assert opened.page.locator(".node").count() == len({*HOSTILE, "b", "cart", "stock", "web"})
    assert opened.troubles == []


def test_one_run_and_a_run_of_nothing(browser: Browser, tmp_path: Path) -> None:
    opened = open_history(browser, tmp_path, [Snapshot(name="a", started_ns=0, graph=graph())], motion="no-preference")
    opened.page.clock.run_for(10_000)
    assert opened.step == "1"
    assert "Nothing came or went." in opened.page.inner_text("tbody")
    assert opened.troubles == []


def test_without_scripts_the_table_tells_it(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "history.html"
    file.write_text(render_history_page(build_history(snapshots())), encoding="utf-8")
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(file.as_uri())
    row = page.locator("tr", has=page.get_by_role("rowheader", name="cart → stock"))
    told = [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
    assert told == ["· absent", "+ came", "− went", "· absent"]


def test_a_change_out_of_sight_is_scrolled_to(browser: Browser, tmp_path: Path) -> None:
    """A wide system on a narrow screen."""
    wide = [("hub", f"service-number-{i:02}") for i in range(20)]
    runs = [
        Snapshot(name="a", started_ns=1, graph=graph(*wide)),
        Snapshot(name="b", started_ns=2, graph=graph(*wide, ("service-number-00", "new"))),
        Snapshot(name="c", started_ns=3, graph=graph(*wide[:-1])),
    ]
    opened = open_history(browser, tmp_path, runs, width=420)
    visible = """(state) => {
        const area = document.querySelector(".stage").getBoundingClientRect();
        return [...document.querySelectorAll(`[data-state="${state}"]`)].map(e => e.getBoundingClientRect())
            .some(b => b.right > area.left && b.left < area.right);
    }"""
    for state in ("came", "went"):
        opened.page.keyboard.press("ArrowRight")
        assert opened.page.evaluate(visible, state), state


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_step(browser: Browser, tmp_path: Path, axe: str, width: int, scheme: str) -> None:
    page = open_history(browser, tmp_path, snapshots(), width=width, scheme=scheme).page
    page.clock.resume()
    page.evaluate(axe)
    for _ in snapshots():
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)")
        assert [f"{v['id']}: {v['help']} at {[n['target'] for n in v['nodes']][:3]}" for v in found] == []
        page.keyboard.press("ArrowRight")
