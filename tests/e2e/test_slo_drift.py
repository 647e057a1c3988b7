"""`slo`, `drift` and `history` as a user calls them, from spans on disk to exit codes and files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.unit.graph.slo.test_derive import shop
from tracer_bullet.cli.main import run
from tracer_bullet.model import Drift, RequestType, RunManifest, SloReport, Span, SpanStatus
from tracer_bullet.model.codec import decode
from tracer_bullet.runs.store import write_spans
from tracer_bullet.workspace.openslo import read_openslo
from tracer_bullet.workspace.runs import RunFolder, create_run, write_json

Told = tuple[int, str, str]
Cli = Callable[..., Told]


@pytest.fixture
def cli(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line inside a workspace of its own: exit code, stdout, stderr."""
    (workdir / "tracer-bullet.yaml").write_text("version: 1\ntargets: {shop: {url: http://shop}}\n")

    def call(*arguments: str) -> Told:
        code = run(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def make_run(number: int, spans: list[Span]) -> RunFolder:
    folder = create_run(Path.cwd(), f"20260101-00000{number}-abcdef")
    manifest = RunManifest(
        run_id=folder.run_id, kind="import", scenario="spans", scenario_file="", target="", target_url="",
        production=False, request_type=RequestType.STANDARD, bullets=0, concurrency=0, started_ns=number,
        ended_ns=number, state="finished",
    )  # fmt: skip
    write_json(folder.manifest, manifest)
    write_spans(folder, spans)
    return folder


def asked(*objectives: str) -> None:
    rows = "".join(f'  - {{service: shop, operation: "GET /", objective: "{text}"}}\n' for text in objectives)
    Path("slos").mkdir(exist_ok=True)
    Path("slos/shop.yaml").write_text(f"version: 1\nslos:\n{rows}")


@pytest.mark.parametrize(
    ("objective", "code", "sign", "says"),
    [
        ("p95 < 2 s over 1 h", 0, "✓ met", ""),
        ("p95 < 20 ms over 1 h", 1, "✕ missed", "slos/shop.yaml:3"),
        ("p99.9 < 2 s over 1 h", 3, "? too few", "it takes 3,838 calls, none of them bad, to show it"),
    ],
)
def test_the_exit_code_says_what_became_of_the_objectives(
    cli: Cli, objective: str, code: int, sign: str, says: str
) -> None:
    folder = make_run(1, shop(200))
    asked(objective)
    found, out, err = cli("slo")
    assert (found, err) == (code, "")
    assert sign in out
    assert says in out
    report = decode(SloReport, json.loads(folder.slos.read_text()))
    assert report.verdicts[0].calls == 200
    assert json.loads(cli("slo", "--json")[1]) == json.loads(folder.slos.read_text())


def test_derived_objectives_are_shown_checked_and_exported(cli: Cli) -> None:
    make_run(1, shop(300))
    asked("p99 < 90 ms over 1 h")
    _, out, _ = cli("slo", "--derive")
    for said in ("GET / (own time)", "› stock GET /stock", "› › store query", "when the calls at depth 2 just keep"):
        assert said in out
    _, exported, _ = cli("slo", "--openslo")
    documents = list(yaml.safe_load_all(exported))
    assert [d["kind"] for d in documents] == ["SLO"] * 3
    again = read_openslo(exported.encode(), "f.yaml")
    assert {(o.service, o.operation) for o in again.objectives} == {
        ("cart", "GET /cart"), ("stock", "GET /stock"), ("store", "query")
    }  # fmt: skip
    assert cli("slo", "--openslo")[1] == exported


def test_mistakes_are_told_before_anything_is_judged(cli: Cli) -> None:
    make_run(1, shop(1))
    code, _, err = cli("slo")
    assert code == 2
    assert "TB530" in err
    asked("p99 < 90 mss")
    code, _, err = cli("slo")
    assert (code, "slos/shop.yaml:3" in err, "did you mean 'ms'" in err) == (2, True, True)


def test_what_cannot_be_judged_is_told_and_not_counted_as_met(cli: Cli) -> None:
    make_run(1, shop(2))
    Path("slos").mkdir()
    Path("slos/o.yaml").write_text(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec:\n  service: shop\n"
        "  objectives: [{target: 0.9}]\n"
        "  indicator: {spec: {ratioMetric: {good: {metricSource: {type: Datadog, spec: {query: q}}}}}}\n"
    )
    code, out, _ = cli("slo")
    assert code == 3
    assert "slos/o.yaml:7: x cannot be judged from traces: its metrics are in Datadog" in out


def test_a_run_that_keeps_no_spans_has_the_verdicts_of_its_analysis(cli: Cli, tmp_path: Path) -> None:
    asked("p95 < 20 ms over 1 h")
    source = make_run(1, shop(200))
    assert cli("analyse", str(source.spans))[0] == 0
    code, out, _ = cli("slo")
    assert (code, "✕ missed" in out) == (1, True)
    code, _, err = cli("slo", "--derive")
    assert (code, "TB501" in err) == (2, True)


def slower(spans: list[Span], service: str, factor: float) -> list[Span]:
    """The spans of a service stretched about their starts."""
    return [
        replace(s, end_ns=s.start_ns + round((s.end_ns - s.start_ns) * factor)) if s.service == service else s
        for s in spans
    ]


def failing(spans: list[Span], service: str, share: float) -> list[Span]:
    rng = random.Random(1)
    return [replace(s, status=SpanStatus.ERROR) if s.service == service and rng.random() < share else s for s in spans]


def analysed(cli: Cli, number: int, spans: list[Span]) -> RunFolder:
    folder = make_run(number, spans)
    assert cli("analyse", folder.run_id)[0] in (0, 1, 3)
    assert folder.analysis.is_file()
    return folder


def test_drift_between_runs(cli: Cli) -> None:
    first = analysed(cli, 1, shop(600, seed=1))
    same = analysed(cli, 2, shop(600, seed=2))
    code, out, _ = cli("drift", first.run_id, same.run_id)
    assert code == 0, out
    assert "✓ no regression" in out
    worse = analysed(cli, 3, failing(slower(shop(600, seed=3), "cart", 1.6), "stock", 0.1))
    code, out, _ = cli("drift", first.run_id, "latest")
    assert code == 1
    assert "✕ cart GET /cart is slower: p50 " in out
    assert "✕ stock GET /stock has more errors: 0.00% → " in out
    drift = decode(Drift, json.loads(worse.drift.read_text()))
    assert (drift.before, drift.after, len(drift.regressed)) == (first.run_id, worse.run_id, 2)
    assert json.loads(cli("drift", first.run_id, "--json")[1]) == json.loads(worse.drift.read_text())
    assert cli("drift", first.run_id, "--fail-on", "came,went")[0] == 0
    assert cli("drift", f"{first.run_id},{same.run_id}", worse.run_id)[0] == 1, "sets of runs"
    merged = decode(Drift, json.loads(worse.drift.read_text()))
    assert merged.before_traces == 1200


def test_an_edge_that_went_and_one_that_came(cli: Cli) -> None:
    first = analysed(cli, 1, shop(100))
    kept = [s for s in shop(100) if s.service != "store"]
    after = analysed(cli, 2, kept)
    code, out, _ = cli("drift", first.run_id, after.run_id, "--fail-on", "went")
    assert code == 1
    assert "service:stock → service:store went: 100 calls in 100 of 100 traces" in out
    code, out, _ = cli("drift", after.run_id, first.run_id, "--fail-on", "came")
    assert code == 1
    assert "service:stock → service:store came" in out


def test_few_traces_are_inconclusive(cli: Cli) -> None:
    first, second = analysed(cli, 1, shop(3)), analysed(cli, 2, shop(3, seed=4))
    code, out, _ = cli("drift", first.run_id, second.run_id)
    assert code == 3
    assert "? not enough data to tell" in out
    big = analysed(cli, 3, shop(600, seed=1))
    assert cli("drift", big.run_id, analysed(cli, 4, shop(600, seed=2)).run_id, "--strict")[0] == 3


def test_wrong_calls_of_drift(cli: Cli) -> None:
    first = make_run(1, shop(1))
    second = make_run(2, shop(1))
    code, _, err = cli("drift", first.run_id, second.run_id)
    assert (code, "TB540" in err, f"tracer-bullet analyse {first.run_id}" in err) == (2, True, True)
    code, _, err = cli("drift", first.run_id, first.run_id)
    assert (code, "TB541" in err) == (2, True)
    code, _, err = cli("drift", first.run_id, second.run_id, "--fail-on", "slwer")
    assert (code, "did you mean 'slower'" in err) == (2, True)
    assert cli("drift", ",", "latest")[0] == 2


def test_a_history_as_text_and_page(cli: Cli, tmp_path: Path) -> None:
    runs = [
        analysed(cli, 1, shop(3)),
        analysed(cli, 2, [s for s in shop(3) if s.service != "store"]),
        analysed(cli, 3, shop(3)),
    ]
    code, out, err = cli("history", *(r.run_id for r in runs), "--out", "over/history.html")
    assert code == 0
    row = next(r for r in out.splitlines() if "stock → store" in r)
    assert row.split()[-3:] == ["●", "−", "+"]
    assert "over/history.html" in err
    assert "stock → store" in Path("over/history.html").read_text()
    assert cli("history")[0] == 2
