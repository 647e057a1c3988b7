"""A report's page, opened in a real Chromium, with all that went on while it was open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.report.shop_run import Run
from tracer_bullet.report import Document, build_document
from tracer_bullet.report.page import render_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page and what went on while it was open."""

    page: Page
    file: Path
    requests: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def quiet(self) -> bool:
        """Nothing was asked for but the page itself, and nobody complained."""
        assert self.troubles == []
        return self.requests == [self.file.as_uri()]


def open_document(
    browser: Browser,
    folder: Path,
    document: Document,
    *,
    width: int = 1280,
    scheme: str = "light",
    script: bool = True,
    media: str = "screen",
    motion: str = "no-preference",
) -> Opened:
    """The page of a document, in a window of its own."""
    file = folder / "report.html"
    file.write_text(render_page(document), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion=motion,  # type: ignore[arg-type]
        java_script_enabled=script,
    )
    opened = Opened(page=context.new_page(), file=file)
    opened.page.emulate_media(media=media)  # type: ignore[arg-type]
    opened.page.on("request", lambda r: opened.requests.append(r.url))
    opened.page.on("console", lambda m: opened.troubles.append(m.text))
    opened.page.on("pageerror", lambda e: opened.troubles.append(str(e)))
    opened.page.on("dialog", lambda d: (opened.troubles.append(d.message), d.dismiss()))
    opened.page.goto(file.as_uri())
    return opened


def open_run(
    browser: Browser, folder: Path, run: Run, *, width: int = 1280, scheme: str = "light", script: bool = True
) -> Opened:
    """The page of a run with a verdict."""
    document = build_document(run.manifest, run.verdict, run.graph, run.traces)
    return open_document(browser, folder, document, width=width, scheme=scheme, script=script)


def part_key(page: Page, title: str) -> str:
    """The key of a part (`payment`) or a line (`cart → payment`) of the map, by what it is called."""
    return str(
        page.evaluate(
            """(title) => {
                const name = new Map(tb.data.nodes.map((n) => [n.key, n.name]));
                const edge = tb.data.edges.find((e) => `${name.get(e.source)} → ${name.get(e.target)}` === title);
                return (edge || tb.data.nodes.find((n) => n.name === title)).key;
            }""",
            title,
        )
    )
