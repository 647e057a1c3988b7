"""Each phase has its time-out, TLS is verified, and what cannot be reached is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.servers.certificates import Authority, address
from tests.servers.recording import Recording
from tests.unit.engine.shooting import Outcome, arrival, origin, shoot


def test_each_phase_has_its_time_out() -> None:
    big = b"b" * 12_000_000

    async def run() -> tuple[Outcome, Recording]:
        recording = Recording()
        async with recording.serving():
            arrivals = [
                arrival(0, "/slow-reader", "POST", big),
                arrival(1, "/never"),
                arrival(2, "/stalls"),
                arrival(3, "/plain"),
                arrival(4, "/stalls", keep=True),
                arrival(5, "/never", "HEAD"),
            ]
            return await shoot(arrivals, recording.port, send_s=0.3, answer_s=0.3, total_s=0.8), recording

    outcome, recording = asyncio.run(run())
    assert [outcome.error(n) for n in range(6)] == [
        "send-timeout", "answer-timeout", "total-timeout", "", "total-timeout", "answer-timeout",
    ]  # fmt: skip
    assert len(recording.seen) == 6
    assert outcome.status(2) == 200  # it was seen
    assert 0.3e9 <= outcome.rows[1]["ended_ns"] - outcome.rows[1]["sent_ns"] < 5e9
    assert not outcome.kept


def test_a_slow_reader_gets_its_body_whole() -> None:
    big = bytes(range(256)) * 40_000

    async def run() -> tuple[Outcome, Recording]:
        recording = Recording()
        async with recording.serving():
            shooting = asyncio.create_task(
                shoot([arrival(0, "/slow-reader", "POST", big), arrival(1)], recording.port, answer_s=0.5)
            )
            await recording.until(1, "plain")
            await asyncio.sleep(0.7)  # longer than answer_s, which counts from when the request is written
            recording.gate.set()
            return await shooting, recording

    outcome, recording = asyncio.run(run())
    assert [outcome.error(0), outcome.error(1)] == ["", ""]
    assert recording.of("slow-reader")[0].body == big


def test_shots_that_wait_for_a_connection_time_out_unsent() -> None:
    async def run() -> tuple[Outcome, Recording]:
        recording = Recording()
        async with recording.serving():
            arrivals = [arrival(n, "/never") for n in range(4)]
            return await shoot(arrivals, recording.port, connections=1, total_s=0.4), recording

    outcome, recording = asyncio.run(run())
    assert {outcome.error(n) for n in range(4)} == {"total-timeout"}
    assert sum(row["sent_ns"] == 0 for row in outcome.rows.values()) >= 2
    assert len(recording.seen) == sum(row["sent_ns"] != 0 for row in outcome.rows.values())


def test_what_refuses_or_ignores_connections_is_told() -> None:
    with socket.socket() as closed, socket.socket() as deaf:
        closed.bind(("127.0.0.1", 0))  # not listening
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        full = [socket.socket() for _ in range(4)]
        for one in full:  # its backlog, so that the next connection is not answered
            one.settimeout(0)
            one.connect_ex(deaf.getsockname())
        arrivals = [arrival(n) for n in range(5)]
        refused = asyncio.run(shoot(arrivals, closed.getsockname()[1]))
        ignored = asyncio.run(shoot(arrivals, deaf.getsockname()[1], connect_s=0.3))
        for one in full:
            one.close()
    unknown = asyncio.run(shoot(arrivals, origin(80, host="nowhere.invalid")))
    assert {refused.error(n) for n in range(5)} == {"connect"}
    assert {ignored.error(n) for n in range(5)} == {"connect-timeout"}
    assert {unknown.error(n) for n in range(5)} == {"connect"}
    assert all(row["sent_ns"] == 0 for outcome in (refused, ignored, unknown) for row in outcome.rows.values())


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", address("127.0.0.1")))
    return context, authority.ca


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_everything_is_as_without_and_certificates_are_verified(
    tls_server: tuple[ssl.SSLContext, Path], trusted: bool
) -> None:
    context, ca = tls_server
    body = bytes(range(256)) * 8000
    arrivals = [
        arrival(0, "/plain", "POST", body), arrival(1, "/chunked", keep=True), arrival(2, "/no-length", keep=True),
        arrival(3, "/head", "HEAD"), arrival(4, "/interim", "POST", b"x"), arrival(5, "/long/900000"),
        arrival(6, "/reset-before", "POST"), arrival(7, "/close-said"),
    ]  # fmt: skip

    async def run() -> tuple[Outcome, Recording]:
        recording = Recording()
        async with recording.serving(context):
            where = origin(recording.port, "https")
            return await shoot(arrivals, where, ca_file=str(ca) if trusted else ""), recording

    outcome, recording = asyncio.run(run())
    if not trusted:
        assert {outcome.error(n) for n in range(8)} == {"tls"}
        assert not recording.seen
        return
    assert [outcome.error(n) for n in range(8)] == [""] * 6 + ["reset", ""]
    assert len(recording.seen) == 8
    assert recording.of("plain")[0].body == body
    assert outcome.kept[1].body == b"hello world"
    assert outcome.kept[2].body == b"until the end"


def test_verification_can_be_switched_off(tls_server: tuple[ssl.SSLContext, Path]) -> None:
    async def run() -> Outcome:
        recording = Recording()
        async with recording.serving(tls_server[0]):
            return await shoot([arrival(0)], origin(recording.port, "https"), verify=False)

    assert asyncio.run(run()).error(0) == ""
