"""What the name of a header, field or parameter says of its value, word by word: `cardType` and `passport` say nothing.

Names come as `access_token`, `accessToken`, `X-Access-Token`, `user[password]`, `login.password`: all are cut into
words first, so that no rule looks for parts of words.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_plus


class Telling(Enum):
    """How a name speaks of its value."""

    SECRET = "secret"  # noqa: S105  # whatever stands there, and everything below it
    NUMBER = "number"  # a number of a card or account, a code: only where digits stand
    NOTHING = "nothing"


_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MAX_NAME: Final = 256


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases_of(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(phrase.split()) for phrase in text.split("|"))


_SECRET_WORDS: Final = _words_of(
    "token tokens password passwords passwd pwd passphrase passcode passwort kennwort "
    "secret secrets credential credentials apikey "
    "apikeys apitoken accesstoken refreshtoken idtoken authtoken sessiontoken bearertoken clientsecret userpassword "
    "accesskey secretkey privatekey authorization bearer jwt otp totp csrf xsrf csrftoken xsrftoken "
    "csrfmiddlewaretoken sessionid sessid jsessionid phpsessid aspsessionid sid assertion samlresponse "
    "samlrequest oldpassword newpassword passwordconfirmation"
)
_SECRET_PHRASES: Final = _phrases_of(
    "api key|api keys|access key|secret key|private key|session key|session id|sess id|auth key|signing key|"
    "encryption key|master key|account key|shared key|license key|auth code|device code|code verifier|"
    "client assertion|saml response|security code|secret id|recovery code|recovery codes|backup codes|"
    "verification code|connection string|subscription key|deploy key|ssh key|webhook url"
)
_NUMBER_WORDS: Final = _words_of(
    "card cards pan cvv cvv2 cvc cvc2 csc ssn iban pin cardnumber creditcard debitcard ccnumber cardno cardnum "
    "accountnumber routingnumber sortcode taxid tin bban"
)
_NUMBER_PHRASES: Final = _phrases_of(
    "card number|card num|card no|card code|credit card|debit card|cc number|cc num|"
    "account number|social security|routing number|"
    "sort code|tax id|national id|passport number"
)
# Only in a query or a header: elsewhere people sign letters.
_SIGNING: Final = frozenset({"signature", "sig"})
# `token_type`, `password_changed_at`, `card_brand` speak about the thing; the word at the end says what it is.
_ABOUT_TAIL: Final = _words_of(
    "type types count counts limit limits length len size name names id ids url uri endpoint at on expiry expires "
    "expiration exp expired ttl age lifetime in hint policy strength required valid enabled disabled status state "
    "brand brands holder month year version algorithm alg format label title description placeholder message error "
    "errors rules requirements usage used remaining budget field class style color icon layout per rate price "
    "cost issuer scope scopes scheme network funding country bin last4 prefix index position kind method methods "
    "created updated changed reset attempts support supported present provider deck view list grid body header footer "
    "image text ratio sum total"
)
_ABOUT_HEAD: Final = _words_of(
    "has is needs need requires require requests forgot "
    "show hide max min num number total prompt completion input output "
    "cached no can should allow allows reasoning expected remaining used"
)


@lru_cache(maxsize=8192)
def what_name_says(name: str, *, parent: str = "", signing: bool = False) -> Telling:
    """What a name says of its value. `parent`: the name around it, as `card` of `card.number`.

    `signing`: whether signatures count, as they do in queries and headers.
    """
    if "%" in name:
        name = unquote_plus(name)
    if len(name) > _MAX_NAME:
        return Telling.NOTHING
    words = _words(name)
    if not words:
        return Telling.NOTHING
    if signing and (words[-1] in _SIGNING or _SIGNING & set(words)):
        return Telling.SECRET
    found = _judge(words)
    if found is Telling.NOTHING and parent and len(words) == 1 and words[0] in ("number", "num", "no", "nr"):
        found = _judge([*_words(parent)[-1:], *words])
    return found


def _judge(words: list[str]) -> Telling:
    pairs = set(pairwise(words))
    for told, single, phrases in (
        (Telling.SECRET, _SECRET_WORDS, _SECRET_PHRASES),
        (Telling.NUMBER, _NUMBER_WORDS, _NUMBER_PHRASES),
    ):
        if not (pairs & phrases or single.intersection(words)):
            continue
        if len(words) > 1 and _is_about(words, phrases):
            continue
        return told
    return Telling.NOTHING


def _is_about(words: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    if tuple(words[-2:]) in phrases:
        return False
    tail = words[-1]
    if tail in _ABOUT_TAIL:
        return True
    return words[0] in _ABOUT_HEAD and tuple(words[:2]) not in phrases


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


_MASK: Final = re.compile(
    r"[*x•X.\-#_ ]*|\W*(?:redacted|removed|filtered|masked|hidden|omitted|secret)\W*", re.IGNORECASE
)
_PLAIN_WORDS: Final = _words_of(
    "null none nil undefined true false yes no on off bearer basic required optional invalid expired missing valid "
    "string text password token default unknown empty nan"
)


@lru_cache(maxsize=4096)
def is_empty_talk(value: str) -> bool:
    """Whether a value under a telling name holds nothing: empty, a mask, `null`, `required`."""
    return not value or value.strip().lower() in _PLAIN_WORDS or _MASK.fullmatch(value) is not None


def holds_digits(value: str) -> bool:
    """Whether a value is a number that `Telling.NUMBER` means: three digits and more, most of the text, or an IBAN."""
    count = sum(c.isdigit() for c in value)
    return count >= 3 and (count * 2 >= len(value) or count >= 8)
