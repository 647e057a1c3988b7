"""What is told to Locust is what Locust would have counted itself, and the exact histograms lose nothing by merging."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import msgpack
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import SECOND, START, batch, shot
from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.engine.locust_worker import Deltas, ExactStatistics
from tracer_bullet.engine.locust_worker.deltas import error_key, locust_buckets
from tracer_bullet.engine.locust_worker.messages import Message, pack, spawn_job, unpack
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.shots import SHOT_ERRORS

MS = 1_000_000
ENDPOINTS = [
    Endpoint(number=n, method=m, name=p) for n, (m, p) in enumerate([("GET", "/a"), ("POST", "/b"), ("GET", "/c")])
]
TIMES = st.integers(0, 42).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))
# Where rounding is a matter of taste: halves, and the edges between grids.
EDGES = st.sampled_from(
    [99_500_000, 99_499_999, 105 * MS, 115 * MS, 995 * MS, 1050 * MS, 9950 * MS, 10_500 * MS, 500_000]
)


def rounded(ms: float) -> int:
    """`locust.stats.bucket_response_time` of 2.47, checked against the installed one below."""
    if ms < 100:
        return round(ms)
    if ms < 1000:
        return round(ms, -1).__int__()
    if ms < 10000:
        return round(ms, -2).__int__()
    return round(ms, -3).__int__()


@given(st.lists(st.one_of(TIMES, EDGES), max_size=30))
def test_buckets_are_locusts(latencies: list[int]) -> None:
    assert locust_buckets(np.array(latencies, np.int64)).tolist() == [rounded(ns / 1e6) for ns in latencies]


def test_the_installed_locust_rounds_and_names_errors_so() -> None:
    # In a process of its own: importing Locust patches the world.
    times = [0.4, 0.5, 1.5, 99.4, 99.5, 99.6, 104.9, 105.0, 115.0, 995.0, 1050.0, 1150.1, 9950.0, 10500.0, 11500.0]
    script = (
        "from locust.stats import bucket_response_time as b, StatsError\n"
        f"print([b(x) for x in {times}])\n"
        "print(StatsError.create_key('GET', '/a', \"HTTP 404 'x'\"))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    buckets, key = done.stdout.splitlines()
    assert buckets == str([rounded(t) for t in times])
    assert key == error_key("GET", "/a", "HTTP 404 'x'")


SHOTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 5 * SECOND),
        st.sampled_from([("", 200), ("", 404), ("", 503), ("reset", 0), ("answer-timeout", 0)]),
        st.booleans(),
    ),
    max_size=40,
)


def test_unexpected_answers_are_failures_by_their_status_and_what_was_not_sent_is_not_there() -> None:
    unexpected = {"error": SHOT_ERRORS.index("unexpected")}
    rows = [
        shot(), shot() | unexpected, shot(status=404) | unexpected, shot(error="skipped", sent=False),
        shot(error="stale", sent=False), shot(status=503),
    ]  # fmt: skip
    for failing, wanted in ((400, {"HTTP 404": 1, "HTTP 503": 1}), (1000, {"unexpected, HTTP 404": 1})):
        deltas = Deltas(START / SECOND, failing_status=failing)
        deltas.record(batch(rows), ENDPOINTS)
        report = deltas.report(START / SECOND + 1)
        assert report["stats_total"]["num_requests"] == 4
        assert report["stats_total"]["num_failures"] == 1 + sum(wanted.values())
        told = {e["error"]: e["occurrences"] for e in report["errors"].values()}
        assert told == {"unexpected, HTTP 200": 1, **wanted}


@given(SHOTS, st.integers(1, 7))
def test_every_shot_is_in_the_report_once(shots: list[tuple[int, int, tuple[str, int], bool]], cut: int) -> None:
    rows = [shot(endpoint=e, service=t, error=error, status=status) for e, t, (error, status), _ in shots]
    deltas = Deltas(START / SECOND)
    for n in range(0, len(rows), cut):
        deltas.record(batch(rows[n : n + cut]), ENDPOINTS)
    report = deltas.report(START / SECOND + 1)
    wanted = Counter((ENDPOINTS[e].method, ENDPOINTS[e].name) for e, *_ in shots)
    assert Counter({(e["method"], e["name"]): e["num_requests"] for e in report["stats"]}) == wanted
    total = report["stats_total"]
    assert total["num_requests"] == len(shots)
    assert total["num_failures"] == sum(bool(error) or status >= 400 for _, _, (error, status), _ in shots)
    assert sum(total["response_times"].values()) == len(shots)
    assert sum(total["num_reqs_per_sec"].values()) == len(shots)
    assert sum(e["occurrences"] for e in report["errors"].values()) == total["num_failures"]
    latencies = [(row["ended_ns"] - row["due_ns"]) / 1e6 for row in rows]
    assert abs(total["total_response_time"] - sum(latencies)) < 1e-3
    assert total["max_response_time"] == max(latencies, default=0)
    assert total["min_response_time"] == min(latencies, default=None)
    assert unpack(pack(Message("stats", report, "n"))) == Message("stats", report, "n")


def test_what_was_not_sent_is_not_told_and_what_was_cut_off_has_no_time() -> None:
    deltas = Deltas(0.0)
    deltas.record(batch([shot(error="slot", sent=False), shot(error="stopped", sent=False)]), ENDPOINTS)
    assert deltas.report(1.0)["stats"] == []
    lost = shot(error="lost", sent=False) | {"ended_ns": 0}
    deltas.record(batch([shot(error="stopped"), lost]), ENDPOINTS)
    (entry,) = deltas.report(1.0)["stats"]
    assert (entry["num_requests"], entry["num_none_requests"], entry["num_failures"]) == (2, 2, 2)
    assert set(entry["num_reqs_per_sec"]) == {START // SECOND}
    assert entry["response_times"] == {}
    assert entry["min_response_time"] is None


@given(st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=60), st.integers(1, 4))
def test_merged_percentiles_equal_those_over_all_samples(samples: list[tuple[int, int]], workers: int) -> None:
    exact = ExactStatistics()
    for worker in range(workers):
        deltas = Deltas(0.0)
        deltas.record(batch(shot(endpoint=e, late=0, service=t) for e, t in samples[worker::workers]), ENDPOINTS)
        # As the master gets it: through msgpack.
        exact.add(msgpack.unpackb(msgpack.packb({"tb_histograms": deltas.histograms()})))
    everything = Histogram()
    everything.record_ns(np.array([t for _, t in samples], np.int64))
    assert exact.total() == everything.quantiles()
    for number, endpoint in enumerate(ENDPOINTS):
        own = Histogram()
        own.record_ns(np.array([t for e, t in samples if e == number], np.int64))
        found = exact.histograms.get((endpoint.method, endpoint.name), Histogram())
        assert found.quantiles() == own.quantiles()
    assert exact.unread == 0


ANY = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"tb_histograms": ANY | st.fixed_dictionaries({"entries": ANY})}))
def test_a_strange_report_is_counted_and_changes_nothing(data: dict[str, object]) -> None:
    exact = ExactStatistics()
    exact.add(data)
    assert exact.histograms == {}


@given(st.binary(max_size=60) | ANY.map(msgpack.packb))
def test_any_bytes_are_a_message_or_none(raw: bytes) -> None:
    message = unpack(raw)
    assert message is None or isinstance(message.kind, str)


@given(
    ANY | st.fixed_dictionaries({"timestamp": ANY, "user_classes_count": ANY | st.just({"Replay": "2"}), "host": ANY})
)
def test_any_spawn_is_a_job_or_none(data: object) -> None:
    job = spawn_job(data, "Replay")
    assert job is None or isinstance(job.users, int)


def test_a_spawn_names_our_users_only() -> None:
    job = spawn_job({"timestamp": 3, "user_classes_count": {"Other": 4, "Replay": 2}, "host": None}, "Replay")
    assert job is not None
    assert (job.timestamp, job.users, job.host) == (3.0, 2, "")
