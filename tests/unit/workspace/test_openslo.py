"""OpenSLO documents: what traces can judge is read, what they cannot is told, and our own export comes back."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.model import DerivedObjective, Indicator, Objective
from tracer_bullet.workspace.openslo import OpenSlos, read_openslo
from tracer_bullet.workspace.openslo_write import BOUNDS_MS, bound_of, openslo_documents
from tracer_bullet.workspace.promql import UnjudgeableError, read_ratio, read_threshold

DAY = 86_400.0
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: fast}}
spec:
  service: web
  indicator:
    metadata: {{name: fast}}
    spec:
{indicator}
  timeWindow: [{{duration: 4w, isRolling: true}}]
  budgetingMethod: {method}
  objectives:
    - {goal}
"""
HISTOGRAM = """      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec: {query: 'sum(rate(http_server_request_duration_seconds_bucket{job="web",le="0.25"}[5m]))'}
        total:
          metricSource:
            type: Prometheus
            spec: {query: 'sum(rate(http_server_request_duration_seconds_count{job="web"}[5m]))'}"""
CODES = """      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(http_requests{code=~"2xx|3xx|4xx"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(http_requests{})'}}}"""


def read(indicator: str, goal: str = "{target: 0.99}", method: str = "Occurrences") -> OpenSlos:
    return read_openslo(SLO.format(indicator=indicator, goal=goal, method=method).encode(), "f.yaml")


def test_a_ratio_over_a_histogram_is_a_latency_objective() -> None:
    (found,) = read(HISTOGRAM).objectives
    assert found == Objective(
        name="fast", service="web", indicator=Indicator.LATENCY, target=0.99, threshold_ms=250.0,
        window_s=28 * DAY, budget_s=28 * DAY, where="f.yaml:22",
    )  # fmt: skip


def test_a_ratio_over_status_codes_is_an_availability_objective() -> None:
    (found,) = read(CODES, "{targetPercent: 99.9}").objectives
    assert (found.indicator, found.target, found.client_errors) == (Indicator.AVAILABILITY, 0.999, False)


def test_a_quantile_is_read_with_what_is_lost() -> None:
    query = 'histogram_quantile(0.95, sum(rate(x_milliseconds_bucket{service="api"}[5m])) by (le))'
    indicator = f"      thresholdMetric: {{metricSource: {{type: Prometheus, spec: {{query: '{query}'}}}}}}"
    found = read(
        indicator, "{op: lte, value: 300, target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 5m}", "Timeslices"
    )
    (objective,) = found.objectives
    assert (objective.service, objective.target, objective.threshold_ms) == ("api", 0.95, 300)
    assert (objective.window_s, objective.budget_s) == (300, 28 * DAY)
    assert "99.0000% of time slices are to be good" in found.notes[0].message


def test_time_slices_are_windows() -> None:
    found = read(HISTOGRAM, "{target: 0.995, timeSliceTarget: 0.9, timeSliceWindow: 1m}", "Timeslices")
    (objective,) = found.objectives
    assert (objective.target, objective.window_s) == (0.9, 60)
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("{type: Datadog, spec: {query: x}}", "its metrics are in Datadog; only PromQL is read"),
        ("{spec: {query: x}}", "a store that it does not name"),
        (
            '{type: Prometheus, spec: {query: \'sum(http_requests{component="web",code=~"2xx"})\'}}',
            "selects by component",
        ),
        ("{type: Prometheus, spec: {query: 'sum(a{code=\"2xx\"}) - sum(b{})'}}", "more than the sum or rate"),
    ],
)
def test_what_cannot_be_judged_is_told_with_its_reason_and_line(metric: str, why: str) -> None:
    indicator = f"      ratioMetric:\n        good: {{metricSource: {metric}}}"
    found = read(indicator)
    assert found.objectives == ()
    (note,) = found.notes
    assert "fast cannot be judged from traces" in note.message
    assert why in note.message
    assert note.line == 8


def test_several_documents_lists_and_references_with_the_right_lines() -> None:
    sli = "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: s}\nspec:\n" + HISTOGRAM.replace(
        "      ratio", "  ratio", 1
    )
    sli = sli.replace("        ", "    ")
    goals = "[{target: 0.9}, {target: 0.99, displayName: strict}]"
    slo = (
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec:\n  service: web\n  indicatorRef: %s\n"
        f"  budgetingMethod: Occurrences\n  objectives: {goals}\n"
    )
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: web}\nspec: {}\n"
    text = f"# objectives\n---\n{slo % 's'}---\n{sli}\n--- # a comment\n{service}"
    found = read_openslo(text.encode(), "f.yaml")
    assert [(o.name, o.target, o.where) for o in found.objectives] == [
        ("a 1", 0.9, "f.yaml:10"),
        ("a strict", 0.99, "f.yaml:10"),
    ]
    listed = "".join(
        f"{'- ' if i == 0 else '  '}{row}\n" for part in (slo % "s", sli) for i, row in enumerate(part.splitlines())
    )
    assert [o.target for o in read_openslo(listed.encode(), "f.yaml").objectives] == [0.9, 0.99]
    with pytest.raises(WorkspaceError, match=r"f.yaml:8: spec.indicatorRef: there is no SLI 't' in this file"):
        read_openslo(text.replace("indicatorRef: s", "indicatorRef: t").encode(), "f.yaml")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("openslo/v1", "openslo/v2"), "f.yaml:1: apiVersion: must be openslo/v1, not 'openslo/v2'"),
        (("kind: SLO", "kind: SLOO"), "must be one of SLO, SLI"),
        (("{name: fast}\nspec", "{}\nspec"), "'name' is needed"),
        (("target: 0.99", "target: 99"), "f.yaml:22: spec.objectives.0.target: 'target' must lie between 0 and 1"),
        (("target: 0.99", "op: lt"), "'target' is needed"),
        (("4w", "4 weeks"), "f.yaml:19: spec.timeWindow.0.duration: must be a duration as 5m, 1h, 30d or 4w"),
        (("service: web", "servce: web"), "spec.service: 'service' is needed"),
    ],
)
def test_mistakes_of_form_have_a_line(change: tuple[str, str], says: str) -> None:
    text = SLO.format(indicator=HISTOGRAM, goal="{target: 0.99}", method="Occurrences").replace(*change)
    with pytest.raises(WorkspaceError) as told:
        read_openslo(text.encode(), "f.yaml")
    assert says in str(told.value)


def test_broken_yaml_in_a_later_document_has_its_line_in_the_file() -> None:
    with pytest.raises(WorkspaceError, match=r"f.yaml:4:"):
        read_openslo(b"apiVersion: openslo/v1\nkind: Service\n---\na: b: c\n", "f.yaml")


@given(st.text(alphabet="apiVersonlkdSLO:{}[]-/1 \n\"'", max_size=80))
def test_any_text_is_read_or_a_workspace_error(text: str) -> None:
    with suppress(WorkspaceError):
        read_openslo(f"apiVersion: openslo/v1\n{text}".encode(), "f")


@pytest.mark.parametrize(
    ("bad", "counted"),
    [
        ('code=~"5.."', False),
        ('status!~"[23].."', True),
        ('status_code="STATUS_CODE_ERROR"', False),
        ('code="5xx"', False),
    ],
)
def test_bad_calls_by_status(bad: str, counted: bool) -> None:
    asked = read_ratio({"bad": f"sum(rate(x_total{{{bad}}}[1m]))", "total": "sum(rate(x_total{}[1m]))"}, service="s")
    assert (asked.threshold_ms, asked.client_errors) == (None, counted)


@pytest.mark.parametrize(
    "queries",
    [
        {"good": 'x{code="404"}'},
        {"good": 'x{job=~"a|b",code="200"}'},
        {"good": 'x_bucket{le="0.1"}'},
        {"good": 'x_seconds_bucket{le="+Inf"}'},
        {"good": 'x_seconds_bucket{le="0.1",span_kind="SPAN_KIND_CLIENT"}'},
        {"good": 'x{code="200"}', "total": 'x{job="other"}'},
        {"total": "x{}"},
        {"good": "x"},
    ],
)
def test_a_query_that_is_half_understood_is_refused(queries: dict[str, str]) -> None:
    with pytest.raises(UnjudgeableError):
        read_ratio(queries, service="s")


def test_a_threshold_needs_a_quantile_and_a_bound_above() -> None:
    for query, op, value in (
        ("avg(x_seconds{})", "lt", 1.0),
        ("histogram_quantile(0.9, rate(x_seconds_bucket{}[1m]))", "gt", 1.0),
        ("histogram_quantile(0.9, rate(x_seconds_bucket{}[1m]))", "lt", None),
    ):
        with pytest.raises(UnjudgeableError):
            read_threshold(query, op, value, service="s")


def derived(service: str, operation: str, threshold_ms: float, target: float = 0.995) -> DerivedObjective:
    return DerivedObjective(
        outer="front", service=service, operation=operation, depth=1, calls=2.0, share=0.25, target=target,
        threshold_ms=threshold_ms, observed_ms=1.0, met_now=True, message="m",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "bound"), [(300, 250), (250, 250), (249.9, 100), (5, 5), (1, 5), (99_999, 10_000)]
)
def test_thresholds_come_down_to_a_bound_that_histograms_have(threshold: float, bound: int) -> None:
    assert bound_of(threshold) == bound
    assert bound in BOUNDS_MS


names = st.text(alphabet="abcXYZ09 /{}\"\\'._-é", min_size=1, max_size=20)


# What OpenSLO's own JSON Schemas ask for (github.com/OpenSLO/OpenSLO, schemas/v1), of the parts that we write.
NAME = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
SOURCE = {
    "required": ["metricSource"],
    "properties": {
        "metricSource": {
            "required": ["spec"],
            "properties": {"type": {"type": "string"}, "spec": {"type": "object"}},
        }
    },
}
RULES = {
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "openslo/v1"},
        "kind": {"const": "SLO"},
        "metadata": {
            "required": ["name"],
            "properties": {"name": NAME, "displayName": {"type": "string", "minLength": 1}},
        },
        "spec": {
            "required": ["service", "budgetingMethod", "objectives", "indicator"],
            "properties": {
                "description": {"type": "string", "maxLength": 1_050},
                "service": NAME,
                "indicator": {
                    "properties": {
                        "metadata": {"required": ["name"], "properties": {"name": NAME}},
                        "spec": {"properties": {"ratioMetric": {
                            "required": ["counter", "total"],
                            "properties": {"counter": {"type": "boolean"}, "good": SOURCE, "total": SOURCE},
                        }}},
                    }
                },
                "timeWindow": {"maxItems": 1, "items": {
                    "required": ["duration"],
                    "properties": {"duration": {"pattern": "^[1-9][0-9]*[mhdwMQY]$"}, "isRolling": {"const": True}},
                }},
                "budgetingMethod": {"enum": ["Occurrences", "Timeslices"]},
                "objectives": {"items": {
                    "required": ["target"],
                    "properties": {
                        "displayName": {"type": "string", "minLength": 1},
                        "target": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                    },
                }},
            },
        },
    },
}  # fmt: skip


@given(st.lists(st.tuples(names, names, st.floats(0.1, 20_000), st.floats(0.5, 1 - 1e-15)), min_size=1, max_size=4))
def test_what_is_exported_keeps_the_rules_of_openslo(parts: list[tuple[str, str, float, float]]) -> None:
    some = [derived(s, o, ms, target) for s, o, ms, target in parts]
    for document in yaml.safe_load_all(openslo_documents(some)):
        Draft202012Validator(RULES).validate(document)


@given(st.lists(st.tuples(names, names, st.floats(5, 20_000)), min_size=1, max_size=4))
def test_what_is_exported_comes_back(parts: list[tuple[str, str, float]]) -> None:
    """Each document is read by our own reader as the objective that was written, at the bound."""
    some = [derived(s, o, ms) for s, o, ms in parts]
    found = read_openslo(openslo_documents(some).encode(), "f.yaml")
    assert found.notes == ()
    assert [(o.service, o.operation, o.threshold_ms, o.target) for o in found.objectives] == [
        (d.service, d.operation, bound_of(d.threshold_ms), d.target) for d in some
    ]
    assert len({o.name for o in found.objectives}) == len(some)
