"""Tells a story of a client and a misbehaving HTTP/2 server, on the loop that the engine has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.servers.http2_peer import Http2Peer
from tests.unit.engine.volley import QUICK, Volley, on_uvloop
from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.http2 import Http2Client
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.shots import SHOT_ERRORS

Story = Callable[[Volley, Http2Peer], Awaitable[None]]


def tell(story: Story, peer: Http2Peer, **changes: object) -> tuple[list[Shot], Http2Peer]:
    """Run a story against a peer; the shots by number."""

    async def run() -> list[Shot]:
        async with peer:
            origin = Origin(number=0, scheme="http", host="127.0.0.1", port=peer.port)
            settings = replace(QUICK, **changes)  # type: ignore[arg-type]
            async with Volley(Http2Client, origin, settings) as volley:
                await story(volley, peer)
                assert volley.client.waiting == 0
                return sorted(volley.back, key=lambda s: s.number)

    return on_uvloop(run()), peer


def firing(*shots: Shot) -> Story:
    async def story(volley: Volley, _peer: Http2Peer) -> None:
        await volley.fire(*shots)

    return story


def outcomes(back: list[Shot]) -> list[tuple[int, str]]:
    return [(s.status, SHOT_ERRORS[s.error]) for s in back]


def sent_paths(peer: Http2Peer) -> Counter[str]:
    return Counter(asked.path for asked in peer.seen)
