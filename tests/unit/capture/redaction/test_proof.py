"""The proof: what the audit finds before redaction, it does not find after it, wherever and however it stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.redaction.planting import ENCODINGS, NAMED, PLACES, SHAPED, TELLING, VALUES, exchange_with
from tracer_bullet.capture.redaction import Pseudonyms, Redactor, Rules
from tracer_bullet.capture.redaction.audit import find_secrets
from tracer_bullet.model.exchange import Exchange

KEY = b"k" * 32


def redacted(exchange: Exchange) -> Exchange:
    return Redactor(Rules(), Pseudonyms(KEY)).apply(exchange)


def everything(exchange: Exchange) -> str:
    return repr(exchange)


def check(exchange: Exchange, secret: str) -> None:
    before = list(find_secrets(exchange))
    assert before, "the audit does not find it"
    assert all(secret not in repr(found) for found in before), "the audit shows it"
    clean = redacted(exchange)
    assert list(find_secrets(clean)) == []
    assert secret not in everything(clean)
    assert clean.redacted
    assert secret not in repr(clean.redacted)
    assert redacted(clean).request == clean.request, "redacting twice changes something"
    assert redacted(clean).answer == clean.answer


chains = st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=3)


@settings(max_examples=400, derandomize=True)
@given(secret=st.one_of(*SHAPED.values()), chain=chains, place=st.sampled_from(sorted(PLACES)), in_answer=st.booleans())
def test_a_secret_of_a_known_shape_anywhere(secret: str, chain: list[str], place: str, in_answer: bool) -> None:
    text = secret
    for encoding in chain:
        text = ENCODINGS[encoding](text)
    check(exchange_with(PLACES[place]("data", text), in_answer=in_answer), secret)


@settings(max_examples=300, derandomize=True)
@given(
    name=st.sampled_from(TELLING),
    secret=VALUES,
    form=st.sampled_from(sorted(NAMED)),
    chain=chains,
    place=st.sampled_from(sorted(PLACES)),
    in_answer=st.booleans(),
)
def test_a_value_under_a_telling_name_in_a_text_anywhere(
    name: str, secret: str, form: str, chain: list[str], place: str, in_answer: bool
) -> None:
    text = NAMED[form](name, secret)
    for encoding in chain:
        text = ENCODINGS[encoding](text)
    check(exchange_with(PLACES[place]("data", text), in_answer=in_answer), secret)


@settings(max_examples=200, derandomize=True)
@given(name=st.sampled_from(TELLING), secret=VALUES, place=st.sampled_from(sorted(PLACES)), in_answer=st.booleans())
def test_a_value_under_a_telling_name(name: str, secret: str, place: str, in_answer: bool) -> None:
    check(exchange_with(PLACES[place](name, secret), in_answer=in_answer), secret)


@settings(max_examples=200, derandomize=True)
@given(secrets=st.lists(st.one_of(*SHAPED.values()), min_size=2, max_size=5), data=st.data())
def test_many_at_once(secrets: list[str], data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([" ", ",", "\n", "|", "; "])).join(secrets)
    exchange = exchange_with(PLACES[data.draw(st.sampled_from(sorted(PLACES)))]("data", text), in_answer=False)
    clean = redacted(exchange)
    assert list(find_secrets(clean)) == []
    assert all(secret not in everything(clean) for secret in secrets)


@pytest.mark.parametrize("depth", [8, 9, 12, 40])
def test_what_is_wrapped_too_deeply_is_replaced_whole(depth: int) -> None:
    text = "ghp_" + "a1B2" * 9
    for _ in range(min(depth, 14)):
        text = ENCODINGS["base64"](text)
    clean = redacted(exchange_with(PLACES["json"]("data", text), in_answer=False))
    assert clean.redacted == ("json:$.items[*].data",)
    assert text.encode() not in (clean.request.body or b"")
