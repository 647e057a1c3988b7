"""Claim: guardrails say what they watch, mistakes in them are told, and the documentation's examples are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from tracer_bullet.workspace.safety import LoadGuardrailsSpec
from tracer_bullet.workspace.tree import read_tree
from tracer_bullet.workspace.windows import WindowsSpec

PAGE = Path(__file__).parents[3] / "docs" / "load-safety.md"
PROMETHEUS = {"url": "http://p:9090", "query": "up", "above": 0}


def load(**given: Any) -> LoadGuardrailsSpec:
    return LoadGuardrailsSpec.model_validate(given)


def examples() -> dict[str, Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {key: value for block in blocks for key, value in read_tree(block.encode(), "x").value.items()}


def test_the_documentations_guardrails() -> None:
    spec = load(**examples()["guardrails"])
    assert [(h.path, h.url) for h in spec.health] == [("/health", None), (None, "https://payments.example/ready")]
    full = spec.health[1]
    assert (full.every_s, full.timeout_s, full.latency_s, full.failures) == (2.0, 1.0, 0.5, 3)
    assert full.json_["$.status"].eq == "up"
    (query,) = spec.prometheus
    assert (query.below, query.for_s, query.unknown_for_s) == (0.3, 15.0, 30.0)
    assert spec.standard[0].percentiles == ((0.99, 0.3),)
    assert spec.standard[0].errors == 0.01
    assert (spec.error_budget[0].burn, spec.error_budget[0].window_s) == (2.0, 300.0)


def test_the_documentations_values_are_the_defaults() -> None:
    spec = load(**examples()["guardrails"])
    plain = load(
        health=["/h"], prometheus=[PROMETHEUS], standard=[{"service": "s", "p99": 1}], error_budget=[{"slo": "s"}]
    )
    for name in ("every_s", "timeout_s", "failures", "status"):
        assert getattr(spec.health[1], name) == getattr(plain.health[0], name), name
    for name in ("every_s", "timeout_s", "unknown_for_s"):
        assert getattr(spec.prometheus[0], name) == getattr(plain.prometheus[0], name), name
    for name in ("window_s", "at_least", "unknown_for_s"):
        assert getattr(spec.standard[0], name) == getattr(plain.standard[0], name), name
    assert spec.error_budget[0].model_copy(update={"slo": "s"}) == plain.error_budget[0]


def test_the_documentations_windows() -> None:
    spec = WindowsSpec.model_validate(examples()["targets"]["shop"]["windows"])
    assert (spec.closed[0].text, spec.freeze[0].from_) == ("mon-fri 09:00 to 17:00", "2026-12-20")


def test_it_is_written_as_it_is_read() -> None:
    """Senders get it as JSON."""
    spec = load(**examples()["guardrails"])
    assert load(**yaml.safe_load(spec.model_dump_json(by_alias=True, exclude_unset=True))) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"health": [{}]}, "give either `path` .* or `url`"),
        ({"health": [{"path": "/h", "url": "http://h/"}]}, "give either"),
        ({"health": ["health"]}, "must be an address"),
        ({"health": ["//evil/h"]}, "must be a path"),
        ({"health": ["/a b"]}, "must be a path"),
        ({"health": ["http://u:p@h/x"]}, "must not hold a user"),
        ({"health": ["ftp://h/x"]}, "must be an address"),
        ({"health": ["http://h:99999/x"]}, "no valid address"),
        ({"health": [{"path": "/h", "latency": "2s", "timeout": "1s"}]}, "`latency` must be below"),
        ({"health": [{"path": "/h", "json": {"status": "up"}}]}, r"must begin with \$"),
        ({"health": [{"path": "/h", "json": {"$": "up"}}]}, "name a member"),
        ({"health": [{"path": "/h", "every": 0}]}, "greater than 0"),
        ({"health": [{"path": "/h", "headers_from": {"baggage": "X"}}]}, "no header that can be set"),
        ({"health": [{"path": "/h", "headers_from": {"X-Tracer-Bullet": "X"}}]}, "no header that can be set"),
        (
            {"health": [{"path": "/h", "headers_from": {"Authorization": "Bearer abc"}}]},
            "secrets do not stand in files",
        ),
        ({"prometheus": [{"url": "http://p", "query": "up"}]}, "give `below`, `above` or both"),
        ({"prometheus": [{**PROMETHEUS, "below": 0}]}, "no value is right"),
        ({"prometheus": [{**PROMETHEUS, "query": ""}]}, "at least 1 character"),
        ({"prometheus": [{**PROMETHEUS, "above": float("nan")}]}, "finite number"),
        ({"standard": [{"service": "s"}]}, "give one of `p50`"),
        ({"standard": [{"service": "s", "p99": "1s", "window": "0.5s"}]}, "greater than or equal to 1"),
        ({"standard": [{"service": "s", "p98": "1s"}]}, "Extra inputs"),
        ({"error_budget": [{"slo": "s", "burn": 0}]}, "greater than 0"),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        load(**given)
