"""Claim: of 100,000 mutated flags none is accepted, and none is served as a customer's while it still claims TRACE."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tracer_bullet.context.carriers import read_claim, write_baggage
from tracer_bullet.context.decide import Admission, decide
from tracer_bullet.context.keys import KeySet, SigningKey
from tracer_bullet.context.token import Refusal, TokenClaims, check_claims, mint, open_token
from tracer_bullet.model import Context, FlagState

KEY = SigningKey("k1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = KeySet({"k1": KEY.private.public_key()})
NOW_S = int(time.time())
TOKEN = mint(KEY, issuer="tests", run_id="r1", scope=["cart"], now_s=NOW_S, lifetime_s=600)
BAGGAGE = write_baggage(Context(run_id="r1", token=TOKEN, user_id="tester-1"))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/%,; \t\r\n\0é"
COUNT = 100_000


def verify(token: str) -> TokenClaims | Refusal:
    claims = open_token(token, KEYS)
    return claims if isinstance(claims, Refusal) else check_claims(claims, "cart", NOW_S) or claims


def mutated(text: str, chance: random.Random) -> str:
    """One to four edits: replaced, inserted, deleted, swapped characters, a piece cut or said twice."""
    for _ in range(chance.randint(1, 4)):
        at, to = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        edit = chance.randrange(6)
        if edit == 0:
            text = text[:at] + chance.choice(ALPHABET) + text[at + 1 :]
        elif edit == 1:
            text = text[:at] + chance.choice(ALPHABET) + text[at:]
        elif edit == 2:
            text = text[:at] + text[at + 1 :]
        elif edit == 3 and to < len(text) and at < to:
            text = text[:at] + text[to] + text[at + 1 : to] + text[at] + text[to + 1 :]
        elif edit == 4:
            text = text[:at] + text[to:]
        else:
            text = text[:to] + text[at:to] + text[to:]
    return text


def decided(baggage: list[str], tracestate: list[str], header: list[str]) -> Admission:
    return decide(read_claim(baggage, tracestate, header), verify)


def test_the_flag_itself_is_accepted() -> None:
    assert decided([BAGGAGE], ["tb=t"], [TOKEN]).state is FlagState.VALID


def test_no_mutated_token_is_accepted() -> None:
    chance, states = random.Random(1), Counter[str]()
    for number in range(COUNT):
        token = mutated(TOKEN, chance)
        if token == TOKEN:
            continue
        bullet = Context(run_id="r1", token=token) if token.isprintable() and token.isascii() else None
        carriers = ([write_baggage(bullet)] if bullet else [BAGGAGE], ["tb=t"], [token])
        found = decided(*carriers)
        # A mutation that only adds blanks around the token is taken off by HTTP itself.
        assert found.state is not FlagState.VALID or token.strip(" \t") == TOKEN, (number, token)
        assert found.state is not FlagState.ABSENT, (number, token)
        states[found.state.value] += 1
    assert sum(states.values()) > 0.9 * COUNT


@pytest.mark.parametrize("carrier", ["baggage", "all"])
def test_a_flag_whose_carriers_are_mutated_is_refused_or_still_the_same_flag(carrier: str) -> None:
    """An edit may hit what is not the proof (`user_id`), so what is accepted must have the very token and run."""
    chance, states = random.Random(2), Counter[FlagState]()
    for number in range(COUNT // 2):
        baggage = mutated(BAGGAGE, chance)
        tracestate, header = (
            ("tb=t", TOKEN) if carrier == "baggage" else (mutated("tb=t", chance), mutated(TOKEN, chance))
        )
        found = decided([baggage], [tracestate], [header])
        states[found.state] += 1
        if found.state is FlagState.VALID:
            assert found.context is not None
            assert (found.context.token, found.context.run_id) == (TOKEN, "r1"), (number, baggage, header)
        elif found.state is FlagState.ABSENT:
            assert not claims_trace(baggage, tracestate, header), (number, baggage, tracestate, header)
    assert states[FlagState.REFUSED] > COUNT // 10


def claims_trace(baggage: str, tracestate: str, header: str) -> bool:
    """What nobody could take for a customer's request, read without the code under test."""
    members = [part.split(";")[0].strip(" \t").partition("=") for part in baggage.split(",")]
    said = any(name == "request_type" and value == "TRACE" for name, _, value in members)
    return said or tracestate.strip() == "tb=t" or bool(header.strip())
