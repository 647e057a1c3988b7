"""Claim: answers of a replay are redacted as the recording was, and equal values meet as equal pseudonyms."""

from __future__ import annotations

import json

from tests.unit.runs.replay.flights import exchange
from tracer_bullet.capture.redaction import Pseudonyms, RedactionError, Redactor, Rules
from tracer_bullet.model.exchange import Answer, Exchange
from tracer_bullet.model.shots import KeptAnswer
from tracer_bullet.runs.replay.answers import answer_redactor

SECRET = "s3cr3t-t0ken-of-a-tester"
JSON = (("content-type", "application/json"), ("set-cookie", f"sid={SECRET}"))


def redactor() -> Redactor:
    return Redactor(Rules(), Pseudonyms(b"k" * 32))


def kept(body: bytes, *, cut: bool = False, headers: tuple[tuple[str, str], ...] = JSON) -> KeptAnswer:
    return KeptAnswer(number=3, answer=Answer(status=201, headers=headers, body=body), cut=cut)


def test_nothing_raw_is_kept() -> None:
    found = answer_redactor(redactor())(exchange(), kept(json.dumps({"token": SECRET, "id": 7}).encode()))
    assert SECRET not in repr(found)
    assert (found.number, found.cut, found.answer.status) == (3, False, 201)
    assert found.answer.body is not None
    assert json.loads(found.answer.body)["id"] == 7


def test_an_equal_value_meets_its_pseudonym() -> None:
    body = json.dumps({"token": SECRET}).encode()
    recorded = redactor().apply(exchange(answer=kept(body).answer)).answer
    assert answer_redactor(redactor())(exchange(), kept(body)).answer == recorded


def test_a_cut_body_goes_since_its_end_may_be_half_a_secret() -> None:
    for headers in (JSON, (("content-type", "text/plain"),)):
        found = answer_redactor(redactor())(exchange(), kept(b'{"token": "s3cr3t-t0', cut=True, headers=headers))
        assert (found.answer.body, found.cut) == (None, True)
        assert found.answer.values("content-type"), "headers are compared all the same"


def test_what_cannot_be_looked_into_is_marked() -> None:
    found = answer_redactor(redactor())(exchange(), kept(b"\x89PNG....", headers=(("content-type", "image/png"),)))
    assert (found.answer.body, found.cut) == (None, True)


def test_an_empty_body_is_whole() -> None:
    found = answer_redactor(redactor())(exchange(), kept(b"", headers=()))
    assert (found.answer.body, found.cut) == (b"", False)


def test_a_redactor_that_fails_leaves_the_status_alone() -> None:
    class Failing(Redactor):
        def apply(self, exchange: Exchange) -> Exchange:
            raise RedactionError("no")

    found = answer_redactor(Failing(Rules(), Pseudonyms(b"k" * 32)))(exchange(), kept(SECRET.encode()))
    assert found == KeptAnswer(number=3, answer=Answer(status=201, body=None), cut=True)
