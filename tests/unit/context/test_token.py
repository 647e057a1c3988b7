"""Claim: exactly the token that was minted is accepted, here and now; no mutation of it is."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.context.keys import KeySet, SigningKey, create_keys, load_key_set, load_signing_key, public_jwk
from tracer_bullet.context.token import Refusal, TokenClaims, Verifier, check_claims, mint, open_token
from tracer_bullet.errors import KeyFileError

KEY = SigningKey("k1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = KeySet({"k1": KEY.private.public_key()})
TOKEN = mint(KEY, issuer="tests", run_id="r1", scope=["shop-*", "cart"], now_s=1_000_000, lifetime_s=600)


def test_a_minted_token_opens() -> None:
    claims = open_token(TOKEN, KEYS)
    assert isinstance(claims, TokenClaims)
    assert (claims.run_id, claims.scope, claims.expires_s) == ("r1", ("shop-*", "cart"), 1_000_600)


@settings(max_examples=2000)
@given(st.data())
def test_no_mutation_is_accepted(data: st.DataObject) -> None:
    """Every edit: replaced, inserted, deleted or swapped characters, at any place, several times."""
    text = list(TOKEN)
    alphabet = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/! \n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        edit = data.draw(st.sampled_from(["replace", "insert", "delete", "swap"]))
        if edit == "replace":
            text[place] = data.draw(alphabet)
        elif edit == "insert":
            text.insert(place, data.draw(alphabet))
        elif edit == "delete":
            del text[place]
        else:
            other = data.draw(st.integers(0, len(text) - 1))
            text[place], text[other] = text[other], text[place]
    mutated = "".join(text)
    found = open_token(mutated, KEYS)
    assert isinstance(found, Refusal) == (mutated != TOKEN)


def test_the_last_character_of_the_signature_has_one_spelling() -> None:
    """64 bytes leave four unused bits in base64: other spellings of the same signature are refused."""
    accepted = [
        c
        for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if isinstance(open_token(TOKEN[:-1] + c, KEYS), TokenClaims)
    ]
    assert accepted == [TOKEN[-1]]


@given(st.text(max_size=300))
def test_any_text_is_refused_without_an_exception(text: str) -> None:
    assert isinstance(open_token(text, KEYS), Refusal)


def test_unsigned_and_symmetric_tokens_are_refused() -> None:
    import jwt

    claims = {"iss": "x", "iat": 1, "nbf": 1, "exp": 9_999_999_999, "run": "r", "scope": ["*"], "ops": ["trace"]}
    none = jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"})
    public = KEY.private.public_key().public_bytes_raw()
    symmetric = jwt.encode(claims, public, algorithm="HS256", headers={"kid": "k1"})
    assert [open_token(t, KEYS).reason for t in (none, symmetric)] == ["malformed", "malformed"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"run": ""},
        {"run": 7},
        {"exp": "soon"},
        {"exp": True},
        {"scope": "*"},
        {"scope": [1]},
        {"ops": None},
        {"iss": None},
    ],
)
def test_a_signed_token_with_wrong_claims_is_refused(change: dict[str, object]) -> None:
    import jwt

    claims = {"iss": "x", "iat": 1, "nbf": 1, "exp": 9_999_999_999, "run": "r", "scope": ["*"], "ops": ["trace"]}
    payload = json.dumps({**claims, **change}).encode()
    token = jwt.PyJWS(algorithms=["EdDSA"]).encode(payload, KEY.private, "EdDSA", {"kid": "k1"})
    assert open_token(token, KEYS) == Refusal("malformed", "the token's claims are not those of a bullet")


@pytest.mark.parametrize(
    ("now_s", "service", "reason"),
    [
        (1_000_000, "cart", None),
        (999_940, "cart", None),
        (999_939, "cart", "not-yet-valid"),
        (1_000_660, "shop-1", None),
        (1_000_661, "shop-1", "expired"),
        (1_000_000, "shop", "out-of-scope"),
        (1_000_000, "Cart", "out-of-scope"),
    ],
)
def test_times_and_scope(now_s: int, service: str, reason: str | None) -> None:
    claims = open_token(TOKEN, KEYS)
    assert isinstance(claims, TokenClaims)
    found = check_claims(claims, service, now_s)
    assert (found.reason if found else None) == reason


def test_a_token_for_faults_only_does_not_trace() -> None:
    token = mint(KEY, issuer="t", run_id="r", scope=["*"], now_s=0, lifetime_s=10, ops=["fault"])
    claims = open_token(token, KEYS)
    assert isinstance(claims, TokenClaims)
    assert check_claims(claims, "x", 0) is not None


def test_the_wrong_key_under_a_known_id_is_refused() -> None:
    forger = SigningKey("k1", Ed25519PrivateKey.generate())
    token = mint(forger, issuer="tests", run_id="r1", scope=["*"], now_s=1_000_000, lifetime_s=600)
    assert open_token(token, KEYS) == Refusal("bad-signature", "the token's signature does not hold")


def test_the_verifier_expires_a_token_that_it_knows(jwks: str, make_token: Callable[..., str]) -> None:
    now = [time.time()]
    verifier = Verifier(jwks, "cart", clock_s=lambda: now[0])
    token = make_token(scope=("cart",))
    assert isinstance(verifier.verify(token), TokenClaims)
    now[0] += 3600
    assert verifier.verify(token) == Refusal("expired", "the token has expired")


def test_a_rotated_key_is_picked_up_without_a_restart(tmp_path: Path) -> None:
    old = create_keys(tmp_path)
    now = [1_000_000.0]
    verifier = Verifier(str(tmp_path / "jwks.json"), "cart", clock_s=lambda: now[0])
    new = create_keys(tmp_path)
    assert new.kid != old.kid
    tokens = [mint(k, issuer="t", run_id="r", scope=["*"], now_s=1_000_000, lifetime_s=600) for k in (old, new)]
    assert isinstance(verifier.verify(tokens[0]), TokenClaims)
    assert isinstance(verifier.verify(tokens[1]), Refusal), "the set is not read again at every forgery"
    now[0] += 61
    assert [type(verifier.verify(t)) for t in tokens] == [TokenClaims, TokenClaims]


def test_keys_on_disk(tmp_path: Path) -> None:
    key = create_keys(tmp_path / "keys")
    path = tmp_path / "keys" / "private.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(path).kid == key.kid
    assert set(load_key_set(str(tmp_path / "keys" / "jwks.json")).keys) == {key.kid}
    assert "d" not in json.loads((tmp_path / "keys" / "jwks.json").read_text())["keys"][0]
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="can be read by others") as caught:
        load_signing_key(path)
    assert caught.value.code == "TB202"


def test_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    """The example key of RFC 8037, appendix A.3."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert (
        public_jwk(Ed25519PublicKey.from_public_bytes(raw))["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"[:16]
    )


@pytest.mark.parametrize(
    "source",
    [
        "{",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "RSA", "kid": "a"}]}',
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "a"}]}',
        "/no/such/file",
    ],
)
def test_unusable_key_sets_are_told(source: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        load_key_set(source)
    assert caught.value.cure
