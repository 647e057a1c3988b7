"""Whatever a peer breaks, each shot comes back once, and nothing is sent twice that may have been processed."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from h2.errors import ErrorCodes

from tests.servers.http2_peer import Asked, Conversation, Http2Peer, ok
from tests.unit.engine.http2.stories import firing, outcomes, sent_paths, tell
from tests.unit.engine.volley import Volley, on_uvloop, shot
from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.http2 import Http2Client
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.shots import SHOT_ERRORS


def test_a_peer_that_goes_away_gets_again_only_what_it_did_not_process() -> None:
    held: list[Asked] = []

    def leave_at_ten(conversation: Conversation, asked: Asked) -> None:
        if conversation.number:
            ok(conversation, asked)
            return
        held.append(asked)
        if len(held) == 10:
            conversation.goaway(held[4].stream)
            for kept in held[:5]:
                ok(conversation, kept)

    back, peer = tell(firing(*(shot(n, f"/{n}") for n in range(10))), Http2Peer(leave_at_ten))
    assert outcomes(back) == [(200, "")] * 10
    assert sent_paths(peer) == Counter({f"/{n}": 1 if n < 5 else 2 for n in range(10)})
    assert len(peer.conversations) == 2


def test_a_graceful_goaway_in_two_steps_loses_nothing() -> None:
    """As nginx and Envoy do: first "any stream", then the true last one; answers under way still come."""

    def leave(conversation: Conversation, asked: Asked) -> None:
        if conversation.number == 0 and asked.path == "/3":
            conversation.goaway(2**31 - 1)
            conversation.goaway(asked.stream)
        ok(conversation, asked)

    async def story(volley: Volley, peer: Http2Peer) -> None:
        for n in range(8):
            await volley.fire(shot(n, f"/{n}"))
        assert volley.client.connections == 1

    back, peer = tell(story, Http2Peer(leave))
    assert outcomes(back) == [(200, "")] * 8
    assert max(sent_paths(peer).values()) == 1
    assert [asked.connection for asked in peer.seen] == [0] * 4 + [1] * 4


def test_what_may_have_been_processed_is_never_sent_again() -> None:
    def die(conversation: Conversation, asked: Asked) -> None:
        if asked.path == "/4":
            conversation.goaway(asked.stream)
            conversation.transport.close()

    back, peer = tell(firing(*(shot(n, f"/{n}", method="POST") for n in range(5))), Http2Peer(die))
    assert outcomes(back) == [(0, "reset")] * 5
    assert max(sent_paths(peer).values()) == 1


def test_a_connection_that_breaks_in_an_answer_is_a_reset_with_its_status() -> None:
    def half(conversation: Conversation, asked: Asked) -> None:
        conversation.h2.send_headers(asked.stream, [(":status", "200"), ("content-length", "100")])
        conversation.h2.send_data(asked.stream, b"half")
        conversation.flush()
        conversation.transport.close()

    back, peer = tell(firing(shot(0)), Http2Peer(half))
    assert outcomes(back) == [(200, "reset")]
    assert back[0].answer is None
    assert back[0].first_ns > 0
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("code", "times", "wanted"),
    [(ErrorCodes.REFUSED_STREAM, 2, (200, "")), (ErrorCodes.INTERNAL_ERROR, 1, (0, "reset"))],
)
def test_a_reset_stream_is_sent_again_only_when_it_was_refused(
    code: ErrorCodes, times: int, wanted: tuple[int, str]
) -> None:
    def once(conversation: Conversation, asked: Asked) -> None:
        if len(peer.seen) == 1:
            conversation.h2.reset_stream(asked.stream, code)
        else:
            ok(conversation, asked)

    peer = Http2Peer(once)
    back, peer = tell(firing(shot(0, "/x", method="POST", body=b"once")), peer)
    assert outcomes(back) == [wanted]
    assert [asked.body for asked in peer.seen] == [b"once"] * times


def test_a_peer_that_refuses_for_ever_is_left_alone() -> None:
    def never(conversation: Conversation, asked: Asked) -> None:
        conversation.h2.reset_stream(asked.stream, ErrorCodes.REFUSED_STREAM)

    back, peer = tell(firing(shot(0)), Http2Peer(never))
    assert outcomes(back) == [(0, "reset")]
    assert len(peer.seen) == 4


@pytest.mark.parametrize(
    "fields",
    [
        [(":status", "200"), ("content-length", "99")],
        [(":status", "200"), ("content-length", "2"), ("content-length", "3")],
        [(":status", "20x")],
        [("x-no", "status")],
    ],
)
def test_a_malformed_answer_fails_alone(fields: list[tuple[str, str]]) -> None:
    def malformed(conversation: Conversation, asked: Asked) -> None:
        if asked.path != "/bad":
            ok(conversation, asked)
            return
        conversation.h2.send_headers(asked.stream, fields)
        conversation.h2.send_data(asked.stream, b"ok", end_stream=True)

    back, peer = tell(firing(shot(0, "/1"), shot(1, "/bad"), shot(2, "/2")), Http2Peer(malformed))
    assert [SHOT_ERRORS[s.error] for s in back] == ["", "protocol", ""]
    assert len(peer.conversations) == 1


def test_a_304_may_tell_a_length() -> None:
    def unchanged(conversation: Conversation, asked: Asked) -> None:
        conversation.h2.send_headers(asked.stream, [(":status", "304"), ("content-length", "1234")])
        conversation.h2.send_data(asked.stream, b"", end_stream=True)

    back, _ = tell(firing(shot(0)), Http2Peer(unchanged))
    assert outcomes(back) == [(304, "")]


def test_a_frame_that_is_none_fails_its_stream_and_cuts_the_others_off() -> None:
    def nonsense(conversation: Conversation, asked: Asked) -> None:
        if asked.path == "/0":
            ok(conversation, asked)  # in the same read as the nonsense, and yet it counts
        elif asked.path == "/2":
            conversation.raw(0x1, 0x4, asked.stream, b"\xff\xff\xff\xff\xff\xff")

    back, _ = tell(firing(*(shot(n, f"/{n}") for n in range(4))), Http2Peer(nonsense))
    assert outcomes(back) == [(200, ""), (0, "reset"), (0, "protocol"), (0, "reset")]


def test_an_http1_server_is_no_http2_server() -> None:
    async def run() -> list[Shot]:
        async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(old, "127.0.0.1", 0) as server:
            origin = Origin(number=0, scheme="http", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
            async with Volley(Http2Client, origin) as volley:
                return await volley.fire(shot(0), shot(1))

    assert outcomes(on_uvloop(run())) == [(0, "protocol")] * 2


def test_a_late_answer_is_nobodys() -> None:
    async def story(volley: Volley, peer: Http2Peer) -> None:
        volley.send(shot(0, "/late"))
        await volley.until(1)
        await peer.reset.wait()
        conversation, asked = late[0]
        # What was under way when the reset came: frames of a stream that the client has forgotten.
        conversation.raw(0x0, 0, asked.stream, b"x" * 1000)
        await volley.fire(shot(1, "/soon"))

    late: list[tuple[Conversation, Asked]] = []

    def hold(conversation: Conversation, asked: Asked) -> None:
        if asked.path == "/late":
            late.append((conversation, asked))
            conversation.h2.send_headers(asked.stream, [(":status", "200")])
        else:
            ok(conversation, asked)

    back, peer = tell(story, Http2Peer(hold), total_s=1.0)
    assert outcomes(back) == [(200, "total-timeout"), (200, "")]
    assert len(peer.conversations) == 1


def test_a_connection_that_says_nothing_at_all_is_not_used_again() -> None:
    def silent_first(conversation: Conversation, asked: Asked) -> None:
        if conversation.number or asked.path == "/0":
            ok(conversation, asked)

    async def story(volley: Volley, _peer: Http2Peer) -> None:
        await volley.fire(shot(0, "/0"))
        await volley.fire(shot(1, "/1"))
        await volley.fire(shot(2, "/2"))

    back, peer = tell(story, Http2Peer(silent_first), answer_s=1.0)
    assert outcomes(back) == [(200, ""), (0, "answer-timeout"), (200, "")]
    assert [asked.connection for asked in peer.seen] == [0, 0, 1]
