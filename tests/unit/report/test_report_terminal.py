from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.report.generated import runs
from tests.unit.report.shop_run import Run, shop_run
from tracer_bullet.report import build_document
from tracer_bullet.report.terminal import TerminalStyle, render_terminal, terminal_style


def shown(run: Run, style: TerminalStyle, page_path: str = "") -> str:
    return render_terminal(build_document(run.manifest, run.verdict, run.graph, run.traces), style, page_path=page_path)


@pytest.fixture(scope="module")
def failed() -> Run:
    return shop_run(bullets=20, lost=[4])


def test_a_failed_run_reads_from_verdict_to_cure(failed: Run) -> None:
    said = shown(failed, TerminalStyle(), "runs/1/report.html")
    assert said.startswith("✘ FAILED  checkout → shop-staging\n  1 of 20 bullets failed.\n")
    assert "│   └ gateway POST" not in said.splitlines()[0]
    rows = [r for r in said.splitlines() if "payment POST /charges" in r]
    assert len(rows) == 1
    assert rows[0].rstrip().endswith("flag-lost no flag")
    assert "inventory UPDATE stock" in said
    assert "  where checkout → payment · POST /charges\n  why   rule flag-lost, seen in 1 of 20 bullets\n" in said
    assert "  cure  Let checkout's HTTP client forward baggage" in said
    assert said.endswith("\nPage  runs/1/report.html\n")


def test_the_tree_is_drawn_with_guides(failed: Run) -> None:
    rows = shown(failed, TerminalStyle()).splitlines()
    start = next(i for i, r in enumerate(rows) if r.startswith("  tracer-bullet bullet checkout"))
    heads = [r[2:].split(" tracer-bullet")[0] for r in rows[start : start + 30] if "tracer-bullet" in r]
    assert heads == ["tracer-bullet bullet checkout" + heads[0][29:], "├", "├", "└"]


def test_no_escape_codes_without_colour_and_some_with(failed: Run) -> None:
    assert "\x1b" not in shown(failed, TerminalStyle())
    assert "\x1b[" in shown(failed, TerminalStyle(color=True))


def test_ascii_only(failed: Run) -> None:
    said = shown(failed, TerminalStyle(ascii_only=True), "runs/日本/report.html")
    assert said.isascii()
    assert said.startswith("x FAILED  checkout -> shop-staging")


@pytest.mark.parametrize(
    ("is_tty", "encoding", "environ", "color", "ascii_only"),
    [
        (True, "utf-8", {}, True, False),
        (False, "utf-8", {}, False, False),
        (True, "utf-8", {"NO_COLOR": "1"}, False, False),
        (True, "utf-8", {"NO_COLOR": ""}, True, False),
        (True, "UTF8", {"TERM": "dumb"}, False, False),
        (True, "ascii", {}, True, True),
        (True, "latin-1", {}, True, True),
    ],
)
def test_style_for_a_stream(
    is_tty: bool, encoding: str, environ: dict[str, str], color: bool, ascii_only: bool
) -> None:
    style = terminal_style(is_tty=is_tty, encoding=encoding, environ=environ, width=100)
    assert style == TerminalStyle(width=100, color=color, ascii_only=ascii_only)


def test_a_narrow_terminal_counts_as_forty_columns() -> None:
    assert terminal_style(is_tty=True, encoding="utf-8", environ={}, width=3).width == 40


@settings(deadline=None)
@given(runs(), st.sampled_from([40, 80, 132]), st.booleans())
def test_no_line_is_too_wide_and_no_foreign_code_gets_through(run: Run, width: int, ascii_only: bool) -> None:
    said = shown(run, TerminalStyle(width=width, ascii_only=ascii_only))
    assert max(cell_len(row) for row in said.splitlines()) <= width
    assert not set(said) & set("\x1b\x07\x00\x9b\u202e")
    said.encode("ascii" if ascii_only else "utf-8")


def test_importing_the_package_brings_neither_rich_nor_jinja() -> None:
    code = "import sys, tracer_bullet.report; print([m for m in ('rich', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
