"""Claim: a load run's line of progress says what matters first, stays on one line, and is silent without a terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.runs.load.outputs.watched import live
from tracer_bullet.cli.render import ProgressLine, live_line, rewrite_line
from tracer_bullet.model import Progress
from tracer_bullet.model.load import GuardrailReading


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_says_how_it_goes() -> None:
    assert live_line(live(12.0, errors=2, left={"time": "48 s", "requests": "900"})) == (
        "12/60 s  48/s of 50/s  p50 4.0 p99 31.0 ms  2 errors  late 0.2 ms  3 users  requests left 900"
    )
    assert live_line(live(-0.4, warming_up=True)).startswith("warm-up 0/60 s")


@given(name=st.text(), last=st.text())
def test_a_broken_guardrail_is_named_on_the_same_line(name: str, last: str) -> None:
    broken = GuardrailReading(name=name, last=last, worst="", limit="", looks=1, broken=True)
    said = live_line(live(guardrails=(broken, replace(broken, name="fine", broken=False))))
    assert not [c for c in said if c < " " or c in "\x7f\x85\u2028\u2029"], "nothing that a terminal obeys"
    assert "fine" not in said
    assert len(said) < 250


@pytest.mark.parametrize("columns", [20, 40, 80, 300])
def test_a_narrow_terminal_does_not_wrap(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    rewrite_line(live_line(live(left={"requests": "9" * 200, "wide": "写" * 50})))
    shown = terminal.getvalue().removeprefix("\r\x1b[2K")
    assert cell_len(shown) < columns
    assert "\n" not in shown


def test_without_a_terminal_it_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine()
    line.tell(Progress(phase="send", done=1, total=0, live=live()))
    line.end()
    assert capsys.readouterr() == ("", "")
