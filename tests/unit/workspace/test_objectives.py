"""The grammar of objectives: what it reads, and how precisely it says what is wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.model import Indicator
from tracer_bullet.workspace.objectives import ObjectiveTerms, parse_objective, parse_period
from tracer_bullet.workspace.slos import load_objectives

DAY = 86_400.0
SETTINGS = "version: 1\ntargets: {shop: {url: http://shop}}\n"


def latency(target: float, threshold_ms: float, window_s: float = 300) -> ObjectiveTerms:
    return ObjectiveTerms(indicator=Indicator.LATENCY, target=target, threshold_ms=threshold_ms, window_s=window_s)


def availability(target: float, window_s: float = 30 * DAY, *, client_errors: bool = False) -> ObjectiveTerms:
    return ObjectiveTerms(
        indicator=Indicator.AVAILABILITY, target=target, window_s=window_s, client_errors=client_errors
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("p99 < 300 ms over 5 min", latency(0.99, 300)),
        ("p99<300ms over 5m", latency(0.99, 300)),
        ("p99.9 <= 1.5 s over 1 h", latency(0.999, 1_500, 3_600)),
        ("p50 ≤ 250 us over 1 d", latency(0.5, 0.25, DAY)),
        ("95 % < 2 s", latency(0.95, 2_000)),
        ("99.5% of calls < 40 ms over 10 minutes", latency(0.995, 40, 600)),
        ("availability 99.9 % over 30 d", availability(0.999)),
        ("Availability >= 99.95% over 4 weeks", availability(0.9995, 28 * DAY)),
        ("availability 99 % over 7 d counting 4xx", availability(0.99, 7 * DAY, client_errors=True)),
        ("availability 99 % counting 4xx", availability(0.99, client_errors=True)),
    ],
)
def test_what_it_reads(text: str, terms: ObjectiveTerms) -> None:
    assert parse_objective(text) == terms


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the objective is empty; write one as 'p99 < 300 ms over 5 min'"),
        ("avalability 99 %", "'avalability' begins no objective; did you mean 'availability'?"),
        ("p999 < 3 s", "a percentile lies between p0 and p100; did you mean 'p99.9'?"),
        ("p0 < 3 s", "0 % asks for nothing"),
        ("availability 100 %", "100 % leaves no budget for anything to go wrong"),
        ("p99 300 ms", "`<` is needed at character 5, not '300'"),
        ("p99 > 300 ms", "`<` is needed at character 5, not '>'"),
        ("p99 < 300", "a unit of time (us, ms, s, min, h, d or w) is needed at the end"),
        ("p99 < 300 mss", "is needed at character 11, not 'mss'; did you mean 'ms'?"),
        ("p99 < 3 S", "a unit of time is needed at character 9, not 'S'; did you mean 's'?"),
        ("p99 < fast", "a duration as `300 ms` is needed at character 7, not 'fast'"),
        ("p99 < 0 ms", "a duration must be longer than 0"),
        ("p99 < 3 ms ovr 5 min", "`over` or the end is needed at character 12, not 'ovr'; did you mean 'over'?"),
        ("p99 < 3 ms over 5 min please", "`over` or the end is needed at character 23, not 'please'"),
        ("p99 < 3 ms over 10 ms", "a window is between 1 s and 366 d long"),
        ("availability 99", "`%` is needed at the end"),
        ("availability 99 % counting 5xx", "`4xx` is needed at character 28, not '5xx'; did you mean '4xx'?"),
    ],
)
def test_what_it_says(text: str, says: str) -> None:
    with pytest.raises(ValueError) as told:
        parse_objective(text)
    assert says in str(told.value)


@given(st.text(max_size=30) | st.text(alphabet="p0123456789.% <>=smhdover", max_size=30))
def test_any_text_is_an_objective_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        terms = parse_objective(text)
        assert 0 < terms.target < 1
        assert terms.window_s >= 1


@given(
    st.integers(1, 9_999),
    st.integers(1, 90_000),
    st.sampled_from(["us", "ms", "s"]),
    st.integers(1, 300),
    st.booleans(),
)
def test_written_and_read_again(share: int, number: int, unit: str, window: int, spaced: bool) -> None:
    gap = " " if spaced else ""
    text = f"{share / 100:.2f}{gap}% <{gap}{number}{gap}{unit} over {window}{gap}min"
    terms = parse_objective(text)
    factor = {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    assert terms.target == pytest.approx(share / 10_000, rel=1e-12)
    assert terms.threshold_ms == pytest.approx(number * factor)
    assert terms.window_s == window * 60


def test_periods() -> None:
    assert parse_period("4 w") == 28 * DAY
    with pytest.raises(ValueError, match="the end is needed at character 5"):
        parse_period("4 w 3")


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_objectives_of_settings_and_files_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        "tracer-bullet.yaml",
        SETTINGS + 'slos:\n  - {service: checkout, objective: "p99 < 300 ms over 5 min", owner: team-a}\n',
    )
    write(
        tmp_path,
        "slos/b.yaml",
        "version: 1\nslos:\n  - service: cart\n    operation: GET /\n    objective: availability 99 % over 7 d\n"
        "    budget: ${BUDGET:-14 d}\n    name: cart is up\n",
    )
    write(tmp_path, "slos/a.yml", "version: 1\nslos:\n  - {service: x, objective: availability 99.9 % over 90 d}\n")
    found = load_objectives(tmp_path, {}).objectives
    assert [o.name for o in found] == [
        "checkout p99 < 300 ms over 5 min",
        "x availability 99.9 % over 90 d",
        "cart is up",
    ]
    assert [o.where.removeprefix(str(tmp_path)) for o in found] == [
        "/tracer-bullet.yaml:4",
        "/slos/a.yml:3",
        "/slos/b.yaml:3",
    ]
    assert (found[0].owner, found[0].budget_s) == ("team-a", 30 * DAY)
    assert (found[1].window_s, found[1].budget_s) == (90 * DAY, 90 * DAY), "a budget holds a whole window"
    assert (found[2].operation, found[2].budget_s) == ("GET /", 14 * DAY)


def test_a_folder_without_any(tmp_path: Path) -> None:
    assert load_objectives(tmp_path, {}).objectives == ()


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "tracer-bullet.yaml", SETTINGS + "slos:\n  - {service: a, objective: p99 < 3}\n")
    write(tmp_path, "slos/a.yaml", "version: 1\nslos:\n  - service: b\n    objectiv: p99 < 3 ms\n")
    write(tmp_path, "slos/b.yaml", "version: 1\nslos:\n  - {service: c, objective: p99 < 1 s over 7 d, budget: 1 d}\n")
    with pytest.raises(WorkspaceError) as told:
        load_objectives(tmp_path, {})
    said = {(Path(p.file).name, p.line, p.path): f"{p.message} {p.cure}" for p in told.value.problems}
    assert "a unit of time" in said["tracer-bullet.yaml", 4, "slos.0.objective"]
    assert "did you mean 'objective'" in said["a.yaml", 4, "slos.0.objectiv"]
    assert "the budget's period is shorter than the window" in said["b.yaml", 3, "slos.0.budget"]


def test_one_name_for_two_objectives_is_a_mistake(tmp_path: Path) -> None:
    row = "  - {service: a, objective: p99 < 3 ms}\n"
    write(tmp_path, "slos/a.yaml", "version: 1\nslos:\n" + row + row)
    with pytest.raises(WorkspaceError, match=r"a.yaml:4: the objective 'a p99 < 3 ms' is given twice, first in .*:3"):
        load_objectives(tmp_path, {})
