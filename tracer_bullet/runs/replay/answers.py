"""Answers of a replay, redacted as the recording was: nothing raw is kept, and a pseudonym meets the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tracer_bullet.capture.redaction import RedactionError, Redactor
from tracer_bullet.model.exchange import Answer, Exchange
from tracer_bullet.model.shots import KeptAnswer

Redact = Callable[[Exchange, KeptAnswer], KeptAnswer]


def answer_redactor(redactor: Redactor) -> Redact:
    """What redacts an answer to the request of a recorded exchange. What cannot be looked into loses its content."""

    def redact(exchange: Exchange, kept: KeptAnswer) -> KeptAnswer:
        whole = replace(exchange, answer=kept.answer, lacks=frozenset(), redacted=())
        try:
            answer = redactor.apply(whole).answer
        except RedactionError:
            answer = None
        if answer is None:
            return replace(kept, answer=Answer(status=kept.answer.status, body=None), cut=True)
        return replace(kept, answer=answer, cut=kept.cut or answer.body is None)

    return redact
