"""Secrets that give themselves away by their shape, wherever they stand in a text. Pure functions over text.

Shapes are those that the issuers document: card numbers ISO/IEC 7812 with the issuers' prefixes and the Luhn digit;
JWTs RFC 7519; PEM RFC 7468; AWS's unique id prefixes; GitHub's, GitLab's, Slack's, Stripe's, Google's and others'
token formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.redaction.looking.jwts import JWT, read_jwt
from tracer_bullet.capture.redaction.looking.names import is_empty_talk


@dataclass(frozen=True, slots=True)
class Hit:
    """A secret in a text: what it is, and where it begins and ends."""

    kind: str
    start: int
    end: int


_SEP: Final = "[ \\-+.\u00a0\u2009\u2011\u2013]"
_CARD: Final = re.compile(
    rf"(?<![A-Za-z0-9%])(?<![0-9]\.)(?:[2-6]\d{{13,18}}|[3-6]\d{{3}}({_SEP})\d{{4}}\1\d{{4}}\1\d{{1,7}}"
    rf"|2\d{{3}}({_SEP})\d{{4}}\2\d{{4}}\2\d{{4}}|3\d{{3}}({_SEP})\d{{6}}\3\d{{4,5}})(?![A-Za-z0-9])",
    re.ASCII,
)
_ISSUERS: Final = re.compile(
    r"4(?:\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]\d|65\d{2})\d{12,15}"  # Discover
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}",  # Maestro
    re.ASCII,
)
_PEM: Final = re.compile(
    r"-----BEGIN[ +](?:[A-Z0-9]+[ +]){0,3}PRIVATE[ +]KEY(?:[ +]BLOCK)?-----"
    r"(?:.*?-----END[ +](?:[A-Z0-9]+[ +]){0,3}PRIVATE[ +]KEY(?:[ +]BLOCK)?-----|.*)",
    re.DOTALL,
)
_KEYS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})", re.ASCII))
    for kind, pattern in (
        ("aws-key", r"A[KS]IA[A-Z2-7]{16}(?![A-Z0-9])"),
        ("github-token", r"gh[pousr]_[A-Za-z0-9]{36,}"),
        ("github-token", r"github_pat_[A-Za-z0-9_]{22,}"),
        ("gitlab-token", r"glpat-[A-Za-z0-9_-]{20,}"),
        ("slack-token", r"xox[abeposr]-[A-Za-z0-9-]{11,}"),
        ("slack-webhook", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}"),
        ("stripe-key", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("webhook-secret", r"whsec_[A-Za-z0-9+/=]{24,}"),
        ("google-key", r"AIza[A-Za-z0-9_-]{35}"),
        ("google-token", r"ya29\.[A-Za-z0-9_-]{20,}"),
        ("google-secret", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
        ("npm-token", r"npm_[A-Za-z0-9]{36}"),
        ("pypi-token", r"pypi-[A-Za-z0-9_-]{50,}"),
        ("sendgrid-key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        ("openai-key", r"sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}"),
        ("vault-token", r"hvs\.[A-Za-z0-9_-]{24,}"),
    )
)
HINTS: Final = (
    r"(?=[PAghxswrGynS])(?:PRIVATE|A[KS]IA|gh[pousr]_|github_pat|glpat-|xox[abeposr]-|hooks\.slack|[sr]k_(?:live|test)_|whsec_|AIza|ya29\.|GOCSPX"
    r"|npm_|pypi-|SG\.|sk-|hvs\.|rk_)"
)
"""A pattern (source) that fits every key of a known issuer."""
_HINTS: Final = re.compile(HINTS)
_USER_INFO: Final = re.compile(r"://([^\s/?#@:\"'<>]*:[^\s/?#@\"'<>]+)@")
_BEARER: Final = re.compile(r"(?<![A-Za-z0-9])(?:[Bb]earer|BEARER|[Bb]asic)[ +]+([A-Za-z0-9._~+/-]{16,}=*)")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")


def is_card(digits: str) -> bool:
    """Whether digits (bare) are a card number: an issuer's prefix and length, and the Luhn digit (ISO/IEC 7812-1)."""
    if _ISSUERS.fullmatch(digits) is None or len(set(digits)) < 2:
        return False
    total = sum(int(d) for d in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])) % 10 == 0


def find(text: str, *, emails: bool = False) -> Iterator[Hit]:
    """The secrets in a text, as they stand there: nothing is decoded. Hits may overlap."""
    if _HINTS.search(text):
        yield from _all("private-key", _PEM, text)
        for kind, pattern in _KEYS:
            yield from _all(kind, pattern, text)
    if "." in text:
        yield from _all("jwt", JWT, text, lambda found: read_jwt(found) is not None)
    if "://" in text and "@" in text:
        yield from _groups("url-password", _USER_INFO, text)
    if "earer" in text or "BEARER" in text or "asic" in text:
        yield from _groups("credentials", _BEARER, text)
    yield from find_cards(text)
    if emails and "@" in text:
        yield from _all("email", _EMAIL, text)


def find_cards(text: str) -> Iterator[Hit]:
    """The card numbers in a text, with the usual separators or none."""
    yield from _all("card", _CARD, text, lambda found: is_card(re.sub(_SEP, "", found)))


def _all(
    kind: str, pattern: re.Pattern[str], text: str, check: Callable[[str], bool] = lambda _: True
) -> Iterator[Hit]:
    for match in pattern.finditer(text):
        if check(match[0]):
            yield Hit(kind, match.start(), match.end())


def _groups(kind: str, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    for match in pattern.finditer(text):
        if not is_empty_talk(match[1]):
            yield Hit(kind, match.start(1), match.end(1))
