"""The profiles against what the systems themselves say of the same spans: Zipkin's server, and answers of Jaeger's."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.zipkin import post_spans, run_zipkin, to_zipkin
from tests.unit.graph.foreign_set import BASE_NS, foreign_set
from tests.unit.graph.profile_reference import profile
from tests.unit.graph.test_profiles import profile_of
from tracer_bullet.model import Span
from tracer_bullet.model.graph import ProfileEdge
from tracer_bullet.traces.zipkin_spans import from_zipkin

GOLDEN = Path(__file__).parent / "golden" / "jaeger_dependencies.json"


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_zipkin(tmp_path_factory.mktemp("zipkin") / "log") as url:
        yield url


def dependencies(url: str, day: int = 0) -> tuple[ProfileEdge, ...]:
    """Zipkin's graph of the 24 h around `BASE_NS`, `day` days later."""
    end_ms = BASE_NS // 10**6 + (day * 24 + 12) * 3_600_000
    with urllib.request.urlopen(f"{url}/api/v2/dependencies?endTs={end_ms}&lookback=86400000", timeout=30) as answer:
        links = json.load(answer)
    return tuple(
        ProfileEdge(parent=k["parent"], child=k["child"], calls=k["callCount"], errors=k.get("errorCount", 0))
        for k in sorted(links, key=lambda k: (k["parent"], k["child"]))
    )


def posted(span: Span) -> dict[str, Any]:
    value = to_zipkin(span)
    if span.service == "unknown_service":
        value["localEndpoint"] = {"ipv4": "10.0.0.1"}
    if peer := span.attributes.get("peer.service"):
        value["remoteEndpoint"] = {"serviceName": peer}
    return value


def test_zipkin_draws_what_the_profile_says(zipkin: str) -> None:
    spans = foreign_set()
    post_spans(zipkin, map(posted, spans))
    found = profile_of(spans, "zipkin")
    assert found == dependencies(zipkin)
    assert len(found) > 20
    assert any(edge.errors for edge in found)


def test_shared_ids_are_drawn_as_zipkin_draws_them(zipkin: str) -> None:
    at = BASE_NS // 1_000 + 30 * 86_400_000_000
    trace, root, asked, local = f"{7_777:032x}", f"{1:016x}", f"{2:016x}", f"{3:016x}"
    values: list[dict[str, Any]] = [
        {"traceId": trace, "id": root, "kind": "SERVER", "timestamp": at, "localEndpoint": {"serviceName": "web"}},
        {"traceId": trace, "id": asked, "parentId": root, "kind": "CLIENT", "timestamp": at + 1,
         "localEndpoint": {"serviceName": "web"}},
        {"traceId": trace, "id": asked, "parentId": root, "kind": "SERVER", "shared": True, "timestamp": at + 2,
         "localEndpoint": {"serviceName": "cart"}},
        {"traceId": trace, "id": local, "parentId": asked, "timestamp": at + 3,
         "localEndpoint": {"serviceName": "cart"}},
        {"traceId": trace, "id": f"{4:016x}", "parentId": local, "kind": "CLIENT", "timestamp": at + 4,
         "tags": {"error": "refused"}, "localEndpoint": {"serviceName": "cart"},
         "remoteEndpoint": {"serviceName": "redis"}},
    ]  # fmt: skip
    post_spans(zipkin, values)
    found = dependencies(zipkin, 30)
    assert {(e.parent, e.child, e.calls, e.errors) for e in found} == {("web", "cart", 1, 0), ("cart", "redis", 1, 1)}
    assert profile_of(from_zipkin(trace, values), "zipkin") == found


def test_jaeger_draws_what_the_profile_says() -> None:
    recorded = tuple(
        ProfileEdge(parent=k["parent"], child=k["child"], calls=k["callCount"], errors=0)
        for k in json.loads(GOLDEN.read_text(encoding="utf-8"))["data"]
    )
    # Recorded from 1.76 as all-in-one, which leaves out what a service calls of itself; Jaeger 2's own store does not.
    assert tuple(e for e in profile_of(foreign_set(), "jaeger") if e.parent != e.child) == recorded
    assert len(recorded) > 15


def test_the_references_agree_on_the_same_traces() -> None:
    for name in ("jaeger", "tempo", "zipkin"):
        assert profile(foreign_set(), name) == profile_of(foreign_set(), name)
