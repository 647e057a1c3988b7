"""Claim: a flag that is not proved gets 403 at the first service: nothing written, nobody called.

Six kinds of forgery, each over random mutations, against the running shop.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.conftest import Range
from tests.e2e.test_shop import dumps
from tracer_bullet.context.carriers import write_baggage
from tracer_bullet.context.keys import SigningKey, load_signing_key
from tracer_bullet.context.token import mint
from tracer_bullet.model import Context

BODY = {"items": [{"sku": "mug", "quantity": 1}]}
Mutation = Callable[[st.DataObject, SigningKey], tuple[str, str]]  # → token for the carriers, expected reason


def _mint(key: SigningKey, *, scope: list[str] | None = None, start_s: int = 0) -> str:
    now_s = int(time.time()) + start_s
    return mint(key, issuer="t", run_id="run-1", scope=scope or ["*"], now_s=now_s, lifetime_s=600)


def forged(data: st.DataObject, key: SigningKey) -> tuple[str, str]:
    """Other claims under an old signature."""
    head, _, signature = _mint(key).split(".")
    claims = {"iss": "x", "iat": 1, "nbf": 1, "exp": 10**11, "run": data.draw(st.text(min_size=1, max_size=20)),
              "scope": ["*"], "ops": ["trace"]}  # fmt: skip
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}", "bad-signature"


def expired(data: st.DataObject, key: SigningKey) -> tuple[str, str]:
    return _mint(key, start_s=-data.draw(st.integers(661, 10**8))), "expired"


def wrong_key(data: st.DataObject, key: SigningKey) -> tuple[str, str]:
    private = Ed25519PrivateKey.from_private_bytes(data.draw(st.binary(min_size=32, max_size=32)))
    known = data.draw(st.booleans())
    stranger = SigningKey(
        key.kid if known else data.draw(st.text("abcdef0123456789", min_size=1, max_size=16)), private
    )
    return _mint(stranger), "bad-signature" if known else "unknown-key"


def out_of_scope(data: st.DataObject, key: SigningKey) -> tuple[str, str]:
    others = st.text("abcdefhijklmnopqrstuvwxyz-", min_size=1, max_size=12)  # no "g", so never the gateway
    return _mint(key, scope=data.draw(st.lists(others, min_size=1, max_size=4))), "out-of-scope"


def tampered(data: st.DataObject, key: SigningKey) -> tuple[str, str]:
    token = _mint(key)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.").filter(token[at].__ne__)
    )
    return token[:at] + char + token[at + 1 :], ""


def tokenless(_data: st.DataObject, _key: SigningKey) -> tuple[str, str]:
    return "", "no-token"


@pytest.fixture
def shop(firing_range: Callable[..., Any]) -> Iterator[Range]:
    with firing_range() as r:
        yield r


# The shop's own threads make span ids while an example is drawn, which Hypothesis takes for a strategy's doing.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("forge", [forged, expired, wrong_key, out_of_scope, tampered, tokenless])
def test_403_at_the_first_service_no_write_no_call(forge: Mutation, shop: Range) -> None:
    key = load_signing_key(shop.workspace / ".tracer-bullet" / "keys" / "private.pem")
    before = dumps(shop.shop)
    sent = 0

    with httpx.Client(base_url=shop.shop.url, trust_env=False, timeout=120) as client:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def fire(data: st.DataObject) -> None:
            nonlocal sent
            token, reason = forge(data, key)
            sent += 1
            headers = {"traceparent": f"00-{sent:032x}-{sent:016x}-01", **_carriers(data, token)}
            answer = client.post("/checkout", json=BODY, headers=headers)
            assert answer.status_code == 403, answer.text
            assert answer.json()["service"] == "gateway"
            if reason:
                assert answer.json()["type"] == f"urn:tracer-bullet:{reason}"

        fire()
        proof = client.post("/checkout", json=BODY, headers={"traceparent": f"00-{'f' * 32}-{'f' * 16}-01",
                                                            **_all_carriers(_mint(key))})  # fmt: skip
        assert proof.status_code == 201, "the same request with a true token is served"

    assert dumps(shop.shop) == before
    assert shop.shop.third_party_calls == ()
    shop.shop.flush()
    spans = shop.receiver.spans([f"{n:032x}" for n in range(1, sent + 1)])
    assert {s.service for found in spans.values() for s in found} == {"gateway"}
    assert all("tb.refused" in s.attributes for found in spans.values() for s in found)


def _all_carriers(token: str) -> dict[str, str]:
    return {
        "baggage": write_baggage(Context(run_id="run-1", token=token)),
        "tracestate": "tb=t",
        "x-tracer-bullet": token,
    }


def _carriers(data: st.DataObject, token: str) -> dict[str, str]:
    """Any non-empty choice of the carriers that can hold the claim."""
    if not token:
        return {"baggage": "request_type=TRACE" + data.draw(st.sampled_from(["", ",tb-run=x", ",user_id=u"]))}
    everything = _all_carriers(token)
    names = data.draw(st.lists(st.sampled_from(["baggage", "x-tracer-bullet"]), min_size=1, unique=True))
    chosen = {n: everything[n] for n in names}
    return {**chosen, "tracestate": "tb=t"} if data.draw(st.booleans()) else chosen
