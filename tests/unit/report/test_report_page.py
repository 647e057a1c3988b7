"""The page as text: well-formed, escaped, and closed to the network. The browser opens it in tests/e2e."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings

from tests.unit.report.generated import runs
from tests.unit.report.shop_run import Run, shop_run
from tracer_bullet.report import build_document
from tracer_bullet.report.page import render_page

VOID = {"meta", "link", "img", "br", "input", "hr"}
WORDS = """
html head meta link title style script body a nav div span main header h1 h2 h3 p code dl dt dd section article figure
figcaption
button dialog input label fieldset legend noscript aside ol h4 br
svg text path rect ul li strong details summary table caption thead tbody tr th td i b footer
"""
TAGS = frozenset(WORDS.split())


class Reader(HTMLParser):
    """Checks that every tag is ours and closed, and keeps what scripts and styles say."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, f"<{tag}> is not ours"
        self.attributes += attrs
        if tag in ("script", "style"):
            self.inline.append((tag, dict(attrs), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            tag, attrs, said = self.inline[-1]
            self.inline[-1] = (tag, attrs, said + data)
        else:
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def page_of(run: Run) -> str:
    return render_page(build_document(run.manifest, run.verdict, run.graph, run.traces))


@pytest.fixture(scope="module")
def shop() -> str:
    return page_of(shop_run(bullets=20, lost=[4], missing=[7]))


def test_the_policy_allows_exactly_the_inline_texts(shop: str) -> None:
    reader = read(shop)
    policy = next(v for k, v in reader.attributes if k == "content" and v and v.startswith("default-src"))
    assert policy is not None
    for kind in ("script", "style"):
        allowed = set(re.findall(r"'(sha256-[^']+)'", policy.split(f"{kind}-src ")[1].split(";")[0]))
        texts = [t for tag, attrs, t in reader.inline if tag == kind and attrs.get("type") != "application/json"]
        sums = {"sha256-" + base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts}
        assert sums == allowed
    assert "unsafe" not in policy
    assert not [k for k, _ in reader.attributes if k.startswith("on") or k in ("style", "src")]


def test_nothing_points_outside(shop: str) -> None:
    reader = read(shop)
    links = {v for k, v in reader.attributes if k in ("href", "src", "action")}
    assert all(v and (v.startswith("#") or v == "data:,") for v in links)
    own = "".join(t for tag, _, t in reader.inline if tag == "style")
    assert "url(" not in own
    assert "@import" not in own
    assert "sourceMappingURL" not in shop


def test_verdict_numbers_and_evidence_are_in_plain_html(shop: str) -> None:
    said = " ".join("".join(read(shop).text).split())
    for wanted in (
        "✕ failed checkout → shop-staging",
        "1 of 20 bullets failed.",
        "payment served the bullet as a customer's request",
        "Let checkout's HTTP client forward baggage",
        "It met no guard that decided on it, so it may have happened for real.",
        "no flag on 1 call",
        "client-peer",
        "$.order.total: 49.90",
    ):
        assert wanted in said


def test_the_licence_of_the_vendored_library_travels_with_the_page(shop: str) -> None:
    assert "Copyright (c) 2012-2014 Chris Pettitt" in shop
    assert "THE SOFTWARE IS PROVIDED" in shop


def test_the_vendored_library_is_what_its_readme_says() -> None:
    folder = files("tracer_bullet.report").joinpath("static", "vendor")
    digest = hashlib.sha256(folder.joinpath("dagre.min.js").read_bytes()).hexdigest()
    assert digest in folder.joinpath("README.md").read_text(encoding="utf-8")


def test_a_page_of_five_hundred_bullets_is_small() -> None:
    assert len(page_of(shop_run(bullets=500, lost=range(40, 52), missing=[17])).encode()) < 400_000


@settings(deadline=None)
@given(runs())
def test_no_text_breaks_out_of_the_page(run: Run) -> None:
    page = page_of(run)
    page.encode("utf-8")
    reader = read(page)
    data = next(t for tag, attrs, t in reader.inline if tag == "script" and attrs.get("type") == "application/json")
    parsed = json.loads(data)
    made = build_document(run.manifest, run.verdict, run.graph, run.traces)
    assert sorted(n["name"] for n in parsed["nodes"]) == sorted(n.name for n in made.graph.nodes)
    assert len([t for tag, _, t in reader.inline if tag == "script"]) == 11
