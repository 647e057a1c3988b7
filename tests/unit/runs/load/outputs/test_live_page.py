"""Claim: whoever looks at a run sees how it is doing, and whoever does not keep up, or is not meant to look, is let go
of; the run itself never notices."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.unit.runs.load.outputs.watched import Events, get, live, live_run, page
from tracer_bullet.errors import UsageError
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.outputs import WatchOptions, watch
from tracer_bullet.runs.load.outputs import watching as watch_module
from tracer_bullet.runs.load.outputs.readings import Reading


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("tracer-bullet")}


def test_the_latest_is_there_for_machines() -> None:
    with page() as (watching, _):
        watching.begun(live_run())
        assert json.loads(get(watching.url + "live.json")[2])["live"] is None, "nothing was sent yet"
        watching.tell(live(1.0))
        watching.tell(live(2.0, errors=3))
        status, headers, body = get(watching.url + "live.json")
        told = json.loads(body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert told["run"] == {"id": "run-1", "scenario": "buy", "target": "http://shop:80"}
        assert (told["live"]["t_s"], told["live"]["errors"]) == (2.0, 3)
        assert told["live"]["guardrails"][0]["name"] == "shop health"
    assert threads() == set(), "it leaves nothing behind"


def test_who_looks_is_told_from_the_beginning_to_the_end() -> None:
    with page() as (watching, _):
        watching.begun(live_run())
        watching.tell(live(1.0))
        with Events(watching.url) as events:
            assert events.content_type == "text/event-stream; charset=utf-8"
            assert events.next()[1]["live"]["t_s"] == 1.0, "what was before is told too"
            watching.tell(live(2.0))
            assert events.next()[1]["live"]["t_s"] == 2.0
            kind, steps = events.next()
            assert kind == "steps", "figures of steps come when somebody looks"
            assert [(s["name"], s["sent"], s["failed"]) for s in steps] == [
                ("buy / look", 5, {}),
                ("buy / pay", 5, {"reset": 1}),
            ]
            watching.close()
            assert events.next()[0] == "end"
            assert events.next() == ("", None)
        with pytest.raises(ConnectionRefusedError):
            get(watching.url)


def test_no_more_than_two_minutes_are_kept() -> None:
    with page() as (watching, _):
        watching.begun(live_run())
        for n in range(1000):
            watching.tell(live(n / 2))
        with Events(watching.url) as events:
            assert events.next()[1]["live"]["t_s"] == 380.0


def test_the_page_is_whole_and_bound_by_its_policy() -> None:
    with page() as (watching, _):
        status, headers, body = get(watching.url)
        assert status == 200
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "://" not in body.replace("http://www.w3.org/2000/svg", ""), "nothing is fetched from elsewhere"
        assert get(watching.url + "nothing")[0] == 404
        assert get(watching.url, method="POST")[0] == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 403), ("127.0.0.1.evil:80", 403)],
)
def test_only_this_machine_may_ask_what_is_only_for_it(host: str, status: int) -> None:
    with page() as (watching, _):
        assert get(watching.url + "live.json", host=host)[0] == status


def test_who_listens_for_others_is_asked_by_any_name() -> None:
    with page(live_host="0.0.0.0") as (watching, _):
        assert get(watching.url.replace("0.0.0.0", "127.0.0.1"), host="load.example")[0] == 200


def test_a_taken_port_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as told, watch(WatchOptions(live_port=port), print):
            pass
    assert told.value.code == "TB1070"
    assert "--live-port" in told.value.cure
    assert threads() == set()


def test_rubbish_and_hang_ups_harm_nobody() -> None:
    with page() as (watching, warnings):
        watching.begun(live_run())
        parts = urlsplit(watching.url)
        for said in (b"", b"\r\n\r\n", b"GET", b"\x00\xff" * 40_000, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
            with socket.create_connection((parts.hostname, parts.port)) as one:
                try:
                    one.sendall(said)
                except OSError:
                    continue
        Events(watching.url).__exit__()
        watching.tell(live())
        assert json.loads(get(watching.url + "live.json")[2])["live"]["t_s"] == 1.0
        assert warnings == []


def test_who_takes_nothing_does_not_hold_the_run_up() -> None:
    """Its socket is full after some values; the others, and the end, come all the same."""
    with page() as (watching, _):
        watching.begun(live_run())
        parts = urlsplit(watching.url)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            deaf.connect((parts.hostname, parts.port))
            deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            took = 0.0
            for n in range(2000):
                before = time.thread_time()
                watching.tell(live(float(n), left={"much": "x" * 20_000}))
                took += time.thread_time() - before
            assert took < 10, "telling is a copy, whoever reads it"
            assert get(watching.url + "live.json")[0] == 200
            watching.close()
    assert threads() == set()


def test_what_cannot_be_shown_is_told_once_and_the_run_goes_on() -> None:
    with page() as (watching, warnings):
        watching.begun(live_run())
        watching.tell(live(left={"requests": {1}}))  # no JSON
        watching.tell(live(left={"requests": {1}}))
    assert len(warnings) == 1
    assert "stop here" in warnings[0]


def test_reading_figures_takes_a_twentieth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps there are, and however often somebody asks."""
    now_s, spent_s = 1000.0, 0.0
    real = watch_module.read

    def slow(run: LiveRun) -> Reading:
        nonlocal now_s, spent_s
        now_s, spent_s = now_s + 0.7, spent_s + 0.7
        return real(run)

    with page() as (watching, _):
        watching.begun(live_run())
        with monkeypatch.context() as patched:
            patched.setattr(watch_module, "read", slow)
            patched.setattr(watch_module, "time", SimpleNamespace(monotonic=lambda: now_s))
            for n in range(1000):
                watching._scrapes = 1
                watching.tell(live(n / 2))
                now_s += 0.5
    assert 0 < spent_s < 0.06 * (now_s - 1000)
