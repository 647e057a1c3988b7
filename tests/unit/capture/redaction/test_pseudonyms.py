"""Pseudonyms: keyed, equal for equal values, shaped as what they stand for, and known as ours."""

from __future__ import annotations

import json
import re
import uuid
from base64 import urlsafe_b64decode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.redaction.planting import cards, jwts
from tracer_bullet.capture.redaction.looking.detectors import find, is_card
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms, is_pseudonym

OURS = Pseudonyms(b"k" * 32)
OTHERS = Pseudonyms(b"o" * 32)


@given(st.text(min_size=1).filter(lambda t: not is_pseudonym(t)))
def test_any_text(text: str) -> None:
    mine = OURS.of(text)
    assert mine == OURS.of(text)
    assert is_pseudonym(mine)
    assert OURS.of(mine) == mine
    if len(text) > 8:
        assert mine != OTHERS.of(text)
        assert text not in mine


@given(st.lists(st.text(min_size=6), min_size=2, max_size=9, unique=True))
def test_different_texts_differ(texts: list[str]) -> None:
    plain = [text for text in texts if not re.fullmatch(r"[-\d .+]+", text)]
    assert len({OURS.of(text) for text in plain}) == len(plain)


@given(cards())
def test_a_card_becomes_digits_that_are_no_card(card: str) -> None:
    mine = OURS.of(card)
    assert [c.isdigit() for c in mine] == [c.isdigit() for c in card]
    bare = re.sub(r"\D", "", mine)
    assert not is_card(bare)
    assert OURS.of(re.sub(r"\D", "", card)) == bare, "with separators and without it is the same card"
    assert not list(find(f"{mine} {OURS.of(card[::-1])}"))


@given(jwts())
def test_a_jwt_becomes_a_jwt(token: str) -> None:
    mine = OURS.of(token)
    assert jwt.get_unverified_header(mine)["alg"] == "HS256"
    claims = json.loads(urlsafe_b64decode(mine.split(".")[1] + "=="))
    before = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == OURS.of(before["sub"]), "users can still be told apart"
    assert claims.get("exp") == before.get("exp")
    assert set(claims) <= {"sub", "exp", "iat", "nbf", "jti"}


@given(st.uuids(version=4), st.booleans())
def test_a_uuid_becomes_a_uuid(value: uuid.UUID, upper: bool) -> None:
    text = str(value).upper() if upper else str(value)
    mine = OURS.of(text)
    assert uuid.UUID(mine).variant == uuid.RFC_4122
    assert mine.upper() == OURS.of(str(value)).upper()
    assert (mine.upper() == mine) == (text.upper() == text)


@given(st.binary(min_size=8, max_size=64))
def test_hex_becomes_hex(data: bytes) -> None:
    mine = OURS.of(data.hex())
    assert len(mine) == 2 * len(data)
    assert int(mine, 16) >= 0


@given(st.integers(10**6, 10**20))
def test_a_number_becomes_a_number(number: int) -> None:
    mine = OURS.digits(str(number))
    assert len(str(int(mine))) == len(str(number))
    assert OURS.digits(str(-number)) == f"-{mine}"


def test_short_numbers_become_nines_and_addresses_addresses() -> None:
    assert OURS.of("123") == "999"
    assert re.fullmatch(r"tbp_[a-z2-7]{24}@redacted\.invalid", OURS.of("Ann@shop.example"))
    assert OURS.of("ann@shop.example") == OURS.of("Ann@Shop.example")
    assert OURS.of("") == ""


def test_ordinary_values_are_not_taken_for_ours() -> None:
    for text in (
        "tbp_",
        "tbp_short",
        "4111111111111111",
        "123456",
        "99a",
        str(uuid.UUID(int=7)),
        "deadbeef" * 4,
        "eyJhbGci.x.y",
    ):
        assert not is_pseudonym(text)


def test_a_key_must_have_some_length() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Pseudonyms(b"short")


@given(st.text())
def test_shares_are_even_enough_to_sample_with(text: str) -> None:
    assert 0 <= OURS.share(text) < 1
    assert OURS.share(text) == OURS.share(text)
