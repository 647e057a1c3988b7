"""What names say: word by word, never by parts of words."""

from __future__ import annotations

import pytest

from tracer_bullet.capture.redaction.looking.names import Telling, what_name_says

SECRET = (
    "token access_token accessToken ACCESS_TOKEN refresh-token idToken password passwd newPassword user[password] "
    "login.password X-Api-Key apikey api_key client_secret clientSecret secret JSESSIONID PHPSESSID session_id "
    "sessionId X-Auth-Token X-CSRF-Token csrfmiddlewaretoken X-Vault-Token x-amz-security-token "
    "Authorization proxyAuthorization privateKey private_key secretAccessKey "
    "otp SAMLResponse code_verifier user%5Bpassword%5D credentials passwort"
)
NUMBER = "card cardNumber card_number creditCard pan cvv CVC cvv2 ssn iban IBAN pin account_number"
NOTHING = (
    "tokenizer passport secretary cardinality panel pinned keyboard key keys author authority spanning ssnake "
    "cards_type token_type max_tokens prompt_tokens token_count password_changed_at hasPassword is_secret cardBrand "
    "card_type password_policy secret_name tokenExpiresAt discard wildcard company pancake sidebar signature id name "
    "x-request-id Sec-WebSocket-Key Idempotency-Key Sec-Token-Binding-Type key_id"
)


@pytest.mark.parametrize("name", SECRET.split())
def test_secret(name: str) -> None:
    assert what_name_says(name) is Telling.SECRET


@pytest.mark.parametrize("name", NUMBER.split())
def test_number(name: str) -> None:
    assert what_name_says(name) is Telling.NUMBER


@pytest.mark.parametrize("name", NOTHING.split())
def test_nothing(name: str) -> None:
    assert what_name_says(name) is Telling.NOTHING


def test_a_name_may_need_the_one_around_it() -> None:
    assert what_name_says("number") is Telling.NOTHING
    assert what_name_says("number", parent="card") is Telling.NUMBER
    assert what_name_says("number", parent="page") is Telling.NOTHING


def test_signatures_count_in_queries_and_headers_alone() -> None:
    assert what_name_says("X-Amz-Signature", signing=True) is Telling.SECRET
    assert what_name_says("signature") is Telling.NOTHING
