"""What of an exchange is not kept: bodies past a limit, and the frames of another protocol. Pure."""

from __future__ import annotations

from dataclasses import replace

from tracer_bullet.model.exchange import Exchange, Lack


def cut(exchange: Exchange, body_limit: int) -> Exchange:
    """With bodies of at most `body_limit` bytes, and marked where they were longer."""
    lacks = set(exchange.lacks)
    request, answer = exchange.request, exchange.answer
    if request.body is not None and len(request.body) > body_limit:
        request = replace(request, body=request.body[:body_limit])
        lacks.add(Lack.REQUEST_BODY_CUT)
    if answer is not None and answer.body is not None and len(answer.body) > body_limit:
        answer = replace(answer, body=answer.body[:body_limit])
        lacks.add(Lack.ANSWER_BODY_CUT)
    if len(lacks) == len(exchange.lacks):
        return exchange
    return replace(exchange, request=request, answer=answer, lacks=frozenset(lacks))


def without_frames(exchange: Exchange) -> Exchange:
    """After an upgrade, bodies are another protocol's frames, which redaction cannot look into: they are not kept."""
    if exchange.unreplayable != "upgrade" or (exchange.answer is not None and exchange.answer.status != 101):
        return exchange
    answer = replace(exchange.answer, body=None) if exchange.answer is not None else None
    lacks = exchange.lacks | {Lack.REQUEST_BODY, Lack.ANSWER_BODY}
    return replace(exchange, request=replace(exchange.request, body=None), answer=answer, lacks=lacks)
