"""Claim: metrics say what is counted, to Prometheus and by OTLP to a collector, whatever names there are."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.unit.engine.shot_batches import batch
from tests.unit.runs.load.outputs.watched import STEPS, get, live, live_run, page, row
from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.errors import UsageError
from tracer_bullet.model.load import GuardrailReading, StepKey
from tracer_bullet.runs.load.outputs import WatchOptions, watch
from tracer_bullet.runs.load.outputs.otlp import encode_metrics
from tracer_bullet.runs.load.outputs.prometheus import metrics_text
from tracer_bullet.runs.load.outputs.readings import BOUNDS_S, counts_of, read

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """Every sample without the prefix, by name and sorted labels; each only once."""
    found: Samples = {}
    for family in parse(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name.removeprefix("tracer_bullet_load_"), tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def labels(**of: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(of.items()))


def test_prometheus_gets_what_is_counted() -> None:
    run = live_run()
    found = samples(metrics_text(run, live(), read(run)))
    pay = {"scenario": "buy", "step": "pay"}
    assert found["requests_total", labels(**pay, method="POST", outcome="ok")] == 4
    assert found["requests_total", labels(**pay, method="POST", outcome="reset")] == 1
    assert found["requests_not_sent_total", labels(reason="stale")] == 1
    assert found["iterations_total", labels(scenario="buy", outcome="whole")] == 4
    assert found["iterations_total", labels(scenario="buy", outcome="broken")] == 1
    assert found["request_duration_seconds_count", labels(**pay)] == 5
    assert found["request_duration_seconds_bucket", labels(**pay, le="0.025")] == 1, "the one that was reset"
    assert found["request_duration_seconds_bucket", labels(**pay, le="0.05")] == 5
    assert found["request_duration_seconds_bucket", labels(**pay, le="+Inf")] == 5
    assert found["request_duration_seconds_sum", labels(**pay)] == pytest.approx(0.121, rel=0.01)
    assert found["lateness_seconds_count", labels(sender="0")] == 10
    assert found["planned_requests_per_second", ()] == 50
    assert found["guardrail_broken", labels(guardrail="shop health")] == 0
    assert found["info", labels(run="run-1", scenario="buy", target="http://shop:80")] == 1


def test_a_scrape_is_as_new_as_the_run_tells() -> None:
    run = live_run()
    with page() as (watching, _):
        assert get(watching.url + "metrics")[2] == "", "no run yet"
        watching.begun(run)
        watching.tell(live())
        ended = threading.Event()

        def tell_on() -> None:
            while not ended.wait(0.02):
                watching.tell(live())

        telling = threading.Thread(target=tell_on)
        telling.start()
        try:
            _, headers, body = get(watching.url + "metrics")
        finally:
            ended.set()
            telling.join()
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert samples(body)["iterations_total", labels(scenario="buy", outcome="whole")] == 4
        _, _, later = get(watching.url + "metrics")
        assert samples(later) == samples(body), "when it is told nothing new, the last figures are given"


@example(scenario='a"b\\', step="x\ny\\n", guardrail='"')
@settings(max_examples=60, deadline=None)
@given(scenario=st.text(), step=st.text(), guardrail=st.text())
def test_any_name_can_be_told(scenario: str, step: str, guardrail: str) -> None:
    steps = (StepKey(scenario=scenario, step=step, method="GET", path="/", index=0, of=1), *STEPS)
    run = live_run(scenario, steps)
    now = live(guardrails=(GuardrailReading(name=guardrail, last="", worst="", limit="", looks=1, broken=True),))
    text = metrics_text(run, now, read(run)).encode().decode()
    shown = {
        key: value.encode("utf-8", "replace").decode() for key, value in {"scenario": scenario, "step": step}.items()
    }
    assert samples(text)["request_duration_seconds_count", labels(**shown)] == 5
    decoded = ExportMetricsServiceRequest.FromString(encode_metrics(run, now, read(run), start_ns=1, now_ns=2))
    assert decoded.resource_metrics[0].scope_metrics[0].metrics


@given(st.lists(st.integers(0, 20_000_000), max_size=50))
def test_buckets_are_those_of_the_times(times_us: list[int]) -> None:
    histogram = Histogram()
    histogram.record_ns(np.array(times_us, np.int64) * 1000)
    counts = counts_of(histogram)
    assert sum(counts.buckets) == counts.count == len(times_us)
    assert counts.sum_s == pytest.approx(sum(times_us) / 1e6, rel=0.001, abs=1e-4)
    for n, bound in enumerate(BOUNDS_S):
        below = sum(counts.buckets[: n + 1])
        assert (
            sum(t < bound * 1e6 * 0.999 for t in times_us) <= below <= sum(t <= bound * 1e6 * 1.001 for t in times_us)
        )


@contextmanager
def collector(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str, ExportMetricsServiceRequest]]]]:
    """A collector of metrics; what it was sent: path, content type, body."""
    sent: list[tuple[str, str, ExportMetricsServiceRequest]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sent.append((self.path, self.headers["content-type"], ExportMetricsServiceRequest.FromString(body)))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", sent
        finally:
            server.shutdown()
            thread.join()


def attributes(of: Any) -> dict[str, str]:
    return {a.key: a.value.string_value for a in of.attributes}


def test_a_collector_gets_metrics_that_add_up() -> None:
    run, warnings = live_run(), list[str]()
    with collector() as (url, sent):
        with watch(WatchOptions(otlp_url=url + "/"), warnings.append) as watching:
            watching.begun(run)
            watching.tell(live())
            run.figures.shots(0, batch([row(9, 0)]))
        path, content_type, body = sent[-1]
    assert warnings == []
    assert 1 <= len(sent) <= 2, "every 5 s, and at the end"
    assert (path, content_type) == ("/v1/metrics", "application/x-protobuf")
    (resource,) = body.resource_metrics
    told = attributes(resource.resource)
    assert (told["service.name"], told["tb.run"]) == ("tracer-bullet", "run-1")
    metrics = {m.name: m for m in resource.scope_metrics[0].metrics}
    requests = metrics["tracer_bullet.load.requests"].sum
    assert requests.is_monotonic
    assert requests.aggregation_temporality == 2, "cumulative"
    by = {(attributes(p)["tb.step"], attributes(p).get("error.type", "")): p.as_int for p in requests.data_points}
    assert by == {("look", ""): 6, ("pay", ""): 4, ("pay", "reset"): 1}, "the end is told too"
    duration = metrics["tracer_bullet.load.request.duration"]
    assert (duration.unit, duration.histogram.aggregation_temporality) == ("s", 2)
    for point in duration.histogram.data_points:
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert sum(point.bucket_counts) == point.count in (5, 6)
        assert 0 < point.start_time_unix_nano <= point.time_unix_nano
    assert metrics["tracer_bullet.load.users"].gauge.data_points[0].as_double == 3


@pytest.mark.parametrize("status", [503, 0])
def test_a_collector_that_is_away_is_told_once(status: int) -> None:
    run, warnings = live_run(), list[str]()
    with collector(status or 200) as (url, sent):
        pass
    if status:
        with collector(status) as (url, sent):
            _export(run, url, warnings)
            assert sent
    else:
        _export(run, url, warnings)
    assert len(warnings) == 1
    assert f"metrics do not reach {url}/v1/metrics" in warnings[0]
    assert not [t for t in threading.enumerate() if t.name.startswith("tracer-bullet")]


def _export(run: Any, url: str, warnings: list[str]) -> None:
    with watch(WatchOptions(otlp_url=url), warnings.append) as watching:
        watching.begun(run)
        for n in range(3):
            watching._next_export_s = 0.0
            watching.tell(live(float(n)))
            exporter = watching._exporter
            assert exporter is not None
            while exporter._waiting is not None:  # it is taken up soon, whether or not it arrives
                time.sleep(0.001)


@pytest.mark.parametrize("url", ["collector:4318", "ftp://a", "", "http://", "http://[", "http://a:99999999"])
def test_what_is_no_address_is_told_before(url: str) -> None:
    with pytest.raises(UsageError) as told, watch(WatchOptions(otlp_url=url, live_port=0), print):
        pass
    assert told.value.code == "TB1071"
