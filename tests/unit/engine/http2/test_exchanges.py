"""What goes out is what came in; windows, limits of streams, interim and early answers are kept as HTTP/2 has them."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.servers.http2_peer import Asked, Conversation, Http2Peer, ok
from tests.unit.engine.http2.stories import firing, outcomes, sent_paths, tell
from tests.unit.engine.volley import Volley, shot


def test_every_request_arrives_once_with_its_bytes() -> None:
    rng = random.Random(7)
    bodies = [rng.randbytes(rng.choice([0, 1, 100, 16_384, 16_385, 70_000, 300_000])) for _ in range(150)]
    shots = [shot(n, f"/{n}", method="POST", body=body) for n, body in enumerate(bodies)]
    back, peer = tell(firing(*shots), Http2Peer(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 7}), connections=4)
    assert outcomes(back) == [(200, "")] * 150
    arrived = {asked.path: asked for asked in peer.seen}
    assert sent_paths(peer) == Counter(f"/{n}" for n in range(150))
    assert all(arrived[f"/{n}"].body == body for n, body in enumerate(bodies))
    assert all(c.most_open <= 100 for c in peer.conversations[:1])
    assert all(c.most_open <= 7 for c in peer.conversations[1:])


def test_the_head_is_told_as_http2_wants_it() -> None:
    headers = ("Accept: */*", "Connection: keep-alive, X-Hop", "X-Hop: 1", "TE: gzip", "Cookie: a=1; b=2", "X-Two:  v ")
    back, peer = tell(firing(shot(0, "/a?b=c d", headers=headers)), Http2Peer())
    (asked,) = peer.seen
    assert [(n.decode(), v.decode()) for n, v in asked.fields] == [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.test"),
        (":path", "/a?b=c d"),
        ("accept", "*/*"),
        ("cookie", "a=1; b=2"),
        ("x-two", "v"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    assert outcomes(back) == [(200, "")]


def test_a_head_that_is_none_fails_alone() -> None:
    broken = shot(0)
    broken.head = b"nonsense\r\n"
    back, peer = tell(firing(broken, shot(1)), Http2Peer())
    assert outcomes(back) == [(0, "protocol"), (200, "")]
    assert len(peer.seen) == 1


def test_a_body_waits_for_the_window_and_then_goes_on() -> None:
    body = os.urandom(200_000)

    def open_slowly(conversation: Conversation, asked: Asked) -> None:
        # First the setting, which moves windows that are open already, then credit in small pieces.
        conversation.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        for _ in range(210):
            conversation.h2.increment_flow_control_window(1000, asked.stream)
            conversation.flush()

    peer = Http2Peer(on_head=open_slowly, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
    back, peer = tell(firing(shot(0, "/", method="POST", body=body)), peer)
    assert outcomes(back) == [(200, "")]
    assert peer.seen[0].body == body


def test_a_setting_alone_may_open_the_windows() -> None:
    def open_up(conversation: Conversation, _asked: Asked) -> None:
        conversation.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 60_000})

    peer = Http2Peer(on_head=open_up, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
    back, peer = tell(firing(shot(0, "/", method="POST", body=b"x" * 50_000)), peer)
    assert outcomes(back) == [(200, "")]
    assert len(peer.seen[0].body) == 50_000


def test_a_window_that_stays_shut_is_a_send_time_out_and_hinders_nobody_else() -> None:
    stuck = shot(0, "/stuck", method="POST", body=b"x" * 200_000)
    peer = Http2Peer(reads=False)
    back, peer = tell(firing(stuck, *(shot(n, f"/{n}") for n in range(1, 5))), peer, send_s=0.3)
    assert outcomes(back) == [(0, "send-timeout")] + [(200, "")] * 4
    assert len(peer.conversations) == 1
    assert peer.conversations[0].resets == [1]


def test_a_limit_of_streams_that_shrinks_is_kept() -> None:
    waiting: list[tuple[Conversation, Asked]] = []

    def shrink(conversation: Conversation, asked: Asked) -> None:
        if asked.path == "/0":
            conversation.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
            conversation.most_open = 0
            ok(conversation, asked)
            return
        waiting.append((conversation, asked))
        asyncio.get_running_loop().call_later(0.01, lambda: ok(*waiting.pop(0)))

    async def story(volley: Volley, _peer: Http2Peer) -> None:
        await volley.fire(shot(0, "/0"))
        await volley.fire(*(shot(n, f"/{n}") for n in range(1, 21)))

    back, peer = tell(story, Http2Peer(shrink), connections=1)
    assert outcomes(back) == [(200, "")] * 21
    assert len(peer.conversations) == 1
    assert peer.conversations[0].most_open == 2


def test_no_streams_at_all_for_now_is_waited_out() -> None:
    async def story(volley: Volley, peer: Http2Peer) -> None:
        await volley.fire(shot(0, "/0"))
        volley.send(shot(1, "/1"))
        (conversation,) = peer.conversations
        assert len(peer.seen) == 1
        conversation.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        conversation.flush()
        await volley.until(2)

    def none_left(conversation: Conversation, asked: Asked) -> None:
        if asked.path == "/0":
            conversation.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        ok(conversation, asked)

    back, _ = tell(story, Http2Peer(none_left), connections=1)
    assert outcomes(back) == [(200, "")] * 2


def test_interim_answers_are_not_the_answer() -> None:
    def early(conversation: Conversation, asked: Asked) -> None:
        conversation.h2.send_headers(asked.stream, [(":status", "100")])
        conversation.h2.send_headers(asked.stream, [(":status", "103"), ("link", "</a.css>")])
        conversation.answer(asked, 201, b"made", [("x-a", "1")], [("x-sum", "7")])

    back, _ = tell(firing(shot(0)), Http2Peer(early))
    answer = back[0].answer
    assert answer is not None
    assert (answer.status, answer.headers, answer.body, answer.trailers) == (
        201,
        (("x-a", "1"),),
        b"made",
        (("x-sum", "7"),),
    )


def test_huge_headers_are_taken_up_to_the_limit() -> None:
    def huge(conversation: Conversation, asked: Asked) -> None:
        conversation.answer(asked, 200, b"ok", [("x-huge", "v" * int(asked.path[1:]))])

    shots = [shot(0, "/100000"), shot(1, "/300000"), shot(2, "/10")]
    back, peer = tell(firing(*shots), Http2Peer(huge))
    assert outcomes(back) == [(200, ""), (0, "too-large"), (200, "")]
    assert len(peer.conversations) == 1


def test_pings_are_answered() -> None:
    async def story(volley: Volley, peer: Http2Peer) -> None:
        await volley.fire(shot(0))
        (conversation,) = peer.conversations
        conversation.h2.ping(b"12345678")
        conversation.flush()
        await volley.fire(shot(1))
        assert conversation.pings == [b"12345678"]

    tell(story, Http2Peer())


def test_an_early_answer_ends_the_sending() -> None:
    def refuse(conversation: Conversation, asked: Asked) -> None:
        conversation.answer(asked, 413, b"too much")
        conversation.h2.reset_stream(asked.stream, ErrorCodes.NO_ERROR)

    peer = Http2Peer(on_head=refuse, reads=False)
    back, _ = tell(firing(shot(0, "/", method="POST", body=b"x" * 500_000), shot(1, "/")), peer)
    assert outcomes(back) == [(413, ""), (413, "")]
    assert back[0].request_bytes < 500_000


def test_a_body_that_nobody_waits_for_any_more_is_called_off() -> None:
    def answer_only(conversation: Conversation, asked: Asked) -> None:
        conversation.answer(asked, 200, b"enough")

    async def story(volley: Volley, peer: Http2Peer) -> None:
        await volley.fire(shot(0, "/", method="POST", body=b"x" * 500_000))
        await peer.reset.wait()

    back, peer = tell(story, Http2Peer(on_head=answer_only, reads=False))
    assert outcomes(back) == [(200, "")]
    assert peer.conversations[0].resets == [1]
