"""HTTP/2 and gRPC through a whole engine process: the same schedule, sessions and carriers as HTTP/1.1."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.servers.grpc_services import SERVICE, add_ledger, run_server
from tests.servers.http2_peer import Asked, Conversation, Http2Peer
from tests.unit.engine.shooting import Outcome, arrival, request, shoot
from tracer_bullet.model.arrival import Origin, Protocol, Slot, Take

FLAG: dict[str, Any] = {
    "run_id": "run-1",
    "baggage": "request_type=TRACE,tb-run=run-1,tb-token=abc",
    "flag_lines": ("tracestate: tb=t", "x-tracer-bullet: abc"),
    "trace": "request",
}


def spoken(port: int, protocol: Protocol) -> Origin:
    return Origin(number=0, scheme="http", host="127.0.0.1", port=port, protocol=protocol)


def test_sessions_keep_their_order_and_what_answers_mint_is_used() -> None:
    def shop(conversation: Conversation, asked: Asked) -> None:
        if asked.path.startswith("/login"):
            token = f'{{"token": "minted-{asked.path[-1]}"}}'.encode()
            answer = lambda: conversation.answer(asked, 200, token, [("content-type", "application/json")])  # noqa: E731
            # The second request is due long before the first one's answer comes.
            asyncio.get_running_loop().call_later(0.05, answer)
        else:
            conversation.answer(asked, 201, b"made")

    arrivals = []
    for session in range(5):
        head = request("/orders", "POST", b"{}", headers="authorization: Bearer captured\r\n")
        slot = Slot("head", head.index(b"captured"), len(b"captured"), "token")
        first = 2 * session
        arrivals += [
            arrival(first, f"/login{session}", session=session, due_ns=0, takes=(Take("token", "json", "$.token"),)),
            arrival(
                first + 1,
                session=session,
                due_ns=0,
                after=first,
                head=head,
                body=b"{}",
                slots=(slot,),
                last=True,
                keep=True,
            ),
        ]

    async def story() -> tuple[Outcome, Http2Peer]:
        async with Http2Peer(shop) as peer:
            return await shoot(arrivals, spoken(peer.port, Protocol.HTTP2), **FLAG), peer

    outcome, peer = asyncio.run(story())
    assert [outcome.status(n) for n in range(10)] == [200, 201] * 5
    orders = [asked for asked in peer.seen if asked.path == "/orders"]
    assert sorted(asked.get("authorization") for asked in orders) == [f"Bearer minted-{n}" for n in range(5)]
    assert {outcome.kept[n].body for n in (1, 3, 5, 7, 9)} == {b"made"}
    for asked in peer.seen:
        assert asked.get("x-tracer-bullet") == "abc"
        assert asked.get("tracestate") == "tb=t"
        assert asked.get("baggage").startswith("request_type=TRACE,tb-run=run-1,tb-token=abc,request_id=")
    assert len({asked.get("traceparent") for asked in peer.seen}) == 10
    assert len(peer.conversations) == 1


def test_grpc_calls_are_replayed_as_recorded() -> None:
    def call(number: int, value: str) -> Any:
        message = StringValue(value=value).SerializeToString()
        body = b"\0" + len(message).to_bytes(4, "big") + message
        return arrival(number, f"/{SERVICE}/Add", "POST", body, headers="content-type: application/grpc\r\n", keep=True)

    def add(value: str) -> str:
        if value == "fail":
            raise RuntimeError(value)
        return value.upper()

    with run_server(lambda server: add_ledger(server, add)) as address:
        port = int(address.rpartition(":")[2])
        calls = [call(n, "fail" if n == 3 else f"v{n}") for n in range(8)]
        outcome = asyncio.run(shoot(calls, spoken(port, Protocol.GRPC), **FLAG))
    assert [outcome.status(n) for n in range(8)] == [200, 200, 200, 500, 200, 200, 200, 200]
    assert StringValue.FromString((outcome.kept[5].body or b"")[5:]).value == "V5"
    assert dict(outcome.kept[5].trailers)["grpc-status"] == "0"


@pytest.mark.parametrize("protocol", [Protocol.HTTP2, Protocol.GRPC])
def test_nobody_there_is_told_for_each(protocol: Protocol) -> None:
    outcome = asyncio.run(shoot([arrival(n) for n in range(3)], spoken(1, protocol)))
    assert {outcome.error(n) for n in range(3)} == {"connect"}
