"""A line of JSON holds the whole exchange."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given

from tests.unit.capture.archive.exchanges import EXCHANGES, small
from tracer_bullet.capture.archive import records
from tracer_bullet.model.exchange import Answer, Exchange, Request


@given(EXCHANGES)
def test_what_is_encoded_is_decoded(exchange: Exchange) -> None:
    line = records.encode(exchange)
    assert b"\n" not in line
    assert records.decode(line) == exchange
    assert records.started(line) == exchange.started_ns
    assert records.id_key(line) in records.id_keys(exchange.id)


def test_half_a_surrogate_pair_in_a_header_survives() -> None:
    exchange = replace(small(1), id="ä", request=replace(small(1).request, headers=(("name", "\ud800"),)))
    line = records.encode(exchange)
    assert records.decode(line) == exchange
    assert records.id_key(line) in records.id_keys("ä")


def test_a_time_after_64_bits_of_the_answer_survives() -> None:
    exchange = replace(small(1), ended_ns=2**70)
    assert records.decode(records.encode(exchange)) == exchange


@pytest.mark.parametrize("start", [2**63, -(2**63) - 1])
def test_a_start_beyond_64_bits_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        records.encode(small(1, start))


def test_text_stays_readable_and_bytes_are_base64() -> None:
    exchange = replace(
        small(1),
        request=Request(method="POST", scheme="http", authority="a", target="/", body="grüße".encode()),
        answer=Answer(status=200, body=b"\xff\x00"),
    )
    line = orjson.loads(records.encode(exchange))
    assert line["request"]["body"] == "grüße"
    assert "body" not in line["answer"]
    assert line["answer"]["body_base64"] == "/wA="


def test_unknown_is_not_empty() -> None:
    unknown = replace(small(1), answer=Answer(status=200, body=None))
    empty = replace(small(1), answer=Answer(status=200, body=b""))
    assert records.decode(records.encode(unknown)) == unknown
    assert records.decode(records.encode(empty)) == empty


def test_names_of_later_versions_are_passed_over_but_marks_are_not() -> None:
    line = orjson.loads(records.encode(small(1)))
    assert records.decode(orjson.dumps(line | {"colour": "red"})) == small(1)
    with pytest.raises(KeyError):
        records.decode(orjson.dumps(line | {"lacks": ["request-colour"]}))
