"""Answers of a replay, redacted as the recording was: nothing raw is kept, and a pseudonym meets the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tracer_bullet.capture.redaction import RedactionError, Redactor
from tracer_bullet.model.exchange import Answer, Exchange, Lack
from tracer_bullet.model.shots import KeptAnswer

Redact = Callable[[Exchange, KeptAnswer], KeptAnswer]


def answer_redactor(redactor: Redactor) -> Redact:
    """What redacts an answer to the request of a recorded exchange. What cannot be looked into loses its content."""

    def redact(exchange: Exchange, kept: KeptAnswer) -> KeptAnswer:
        # The end of a cut body may be half a secret, which only the mark tells.
        lacks = frozenset({Lack.ANSWER_BODY_CUT}) if kept.cut else frozenset[Lack]()
        try:
            whole = redactor.apply(replace(exchange, answer=kept.answer, lacks=lacks, redacted=()))
        except RedactionError:
            return replace(kept, answer=Answer(status=kept.answer.status, body=None), cut=True)
        answer = whole.answer or Answer(status=kept.answer.status, body=None)
        cut = kept.cut or answer.body is None or Lack.ANSWER_BODY_CUT in whole.lacks
        return replace(kept, answer=answer, cut=cut)

    return redact
