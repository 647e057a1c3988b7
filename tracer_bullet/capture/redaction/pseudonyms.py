"""Keyed pseudonyms: what stands in a secret's place, so that joins and correlation survive its removal.

HMAC-SHA256 (RFC 2104, FIPS 180-4) under the capture key: equal values are equal everywhere, and without the key a
value cannot be guessed and tried. The shape is kept where a reader may depend on it. Every shape can be recognised
without the key, by a fixed mark or by check digits, so that an audit does not take ours for a secret, and redacting
twice changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any, Final

from tracer_bullet.capture.redaction.looking.clients import OURS_4, OURS_6, Address
from tracer_bullet.capture.redaction.looking.jwts import JWT, read_jwt

MARK: Final = "tbp_"
EMAIL_DOMAIN: Final = "redacted.invalid"
# {"alg":"HS256","kid":"tracer-bullet","typ":"JWT"}
_JWT_HEAD: Final = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"tracer-bullet","typ":"JWT"}').rstrip(b"=").decode()
_TEXT: Final = re.compile(r"tbp_[a-z2-7]{24}")
_BEGINNING: Final = re.compile(
    rf"t(?:bp?)?\Z|tbp_[a-z2-7]{{0,24}}(?:@[a-z.]*|(?<=[a-z2-7]{{24}})[^A-Za-z0-9].{{0,7}})?\Z|{_JWT_HEAD}"
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"[0-9a-f]{16,256}|[0-9A-F]{16,256}")
_DIGITS: Final = re.compile(r"-?\d{1,64}")
_GROUPED: Final = re.compile(r"\d{1,8}(?:[ \-.+]\d{1,8}){1,9}", re.ASCII)
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_SEPARATORS: Final = re.compile(r"[ \-.+]")
_CHECKED_DIGITS: Final = 6  # shorter numbers have no room for a check: they become nines
_HEX_CHECK: Final = 6
_GROUP_STARTS: Final = frozenset({4, 8, 10, 12, 16})  # of card numbers, as people write them
_TIMES: Final = ("iat", "nbf", "exp")


class Pseudonyms:
    """The pseudonyms under one key. Pure: the same key and text give the same pseudonym on every machine.

    `key` has at least 16 bytes; raises ValueError otherwise.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a capture key has at least 16 bytes")
        self._key = key

    def of(self, text: str) -> str:
        """The pseudonym of a text, in its shape.

        A JWT becomes a JWT, a UUID a UUID, digits (with their separators) as many digits, hex of 16 digits and more
        hex, an e-mail address an address; anything else `tbp_` and 24 characters. Empty texts, and pseudonyms, stay.
        """
        if not text or is_pseudonym(text):
            return text
        if _DIGITS.fullmatch(text) or (_GROUPED.fullmatch(text) and not _UUID.fullmatch(text)):
            return self.digits(text)
        if _UUID.fullmatch(text):
            return self._uuid(text)
        if _HEX.fullmatch(text):
            return self._hex(text)
        if JWT.fullmatch(text) and (parts := read_jwt(text)) is not None:
            return self._jwt(text, parts[1])
        if _EMAIL.fullmatch(text):
            return f"{self.plain(text.lower())}@{EMAIL_DOMAIN}"
        return self.plain(text)

    def plain(self, text: str) -> str:
        """`tbp_` and 24 characters (120 bits), whatever the text's shape."""
        return MARK + base64.b32encode(self._digest("text", text)[:15]).decode().lower()

    def digits(self, text: str) -> str:
        """As many digits, with the text's separators and sign: the same ones for a number written with others.

        From six digits on they begin with 9, which no card does, and end in check digits; shorter ones are nines.
        """
        bare = "".join(c for c in text if c.isdigit())
        count = len(bare)
        if count < _CHECKED_DIGITS:
            fresh = "9" * count
        else:
            checks = _checks(count)
            number = int.from_bytes(self._digest("digits", bare), "big")
            body = _apart("9" + str(number).zfill(80)[-(count - checks - 1) :])
            fresh = body + _check_digits(body, checks)
        kept = iter(fresh)
        return "".join(next(kept) if c.isdigit() else c for c in text)

    def address(self, address: Address) -> str:
        """An address of the same version, in a network in which no client is: the same one however it was written."""
        network = OURS_4 if address.version == 4 else OURS_6
        number = int.from_bytes(self._digest("address", address.compressed), "big") % network.num_addresses
        return str(network[number])

    def share(self, text: str) -> float:
        """A number from 0 to 1 (exclusive) that belongs to the text: for consistent samples."""
        return int.from_bytes(self._digest("share", text)[:6], "big") / (1 << 48)

    def _uuid(self, text: str) -> str:
        digits = self._digest("uuid", text.lower()).hex()
        body = digits[:12] + "8" + digits[13:16] + "8" + digits[17:26]  # version 8, its own variant (RFC 9562, 5.8)
        fresh = body + _hex_check(body)
        shaped = f"{fresh[:8]}-{fresh[8:12]}-{fresh[12:16]}-{fresh[16:20]}-{fresh[20:]}"
        return shaped.upper() if text.upper() == text else shaped

    def _hex(self, text: str) -> str:
        body = ""
        block = 0
        while len(body) < len(text) - _HEX_CHECK:
            body += self._digest(f"hex{block}", text.lower()).hex()
            block += 1
        body = body[: len(text) - _HEX_CHECK]
        if body.isdigit():  # would be read as a number, and not be recognised
            body = "f" + body[1:]
        fresh = body + _hex_check(body)
        return fresh.upper() if text.upper() == text else fresh

    def _jwt(self, text: str, claims: dict[str, Any]) -> str:
        kept: dict[str, Any] = {name: claims[name] for name in _TIMES if isinstance(claims.get(name), int | float)}
        subject = claims.get("sub")
        if isinstance(subject, str | int) and not isinstance(subject, bool):
            kept["sub"] = self.of(str(subject))
        kept["jti"] = self.plain(text)
        payload = _b64url(json.dumps(kept, separators=(",", ":"), sort_keys=True).encode())
        return f"{_JWT_HEAD}.{payload}.{_b64url(self._digest('jwt', text))}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), "sha256")


def is_pseudonym(text: str) -> bool:
    """Whether a text is a pseudonym of ours, under any key. Of other numbers one in a thousand is taken for one."""
    if text.startswith(MARK):
        return _TEXT.fullmatch(text.removesuffix(f"@{EMAIL_DOMAIN}")) is not None
    if text.startswith(_JWT_HEAD):
        return JWT.fullmatch(text) is not None
    if _UUID.fullmatch(text):
        bare = text.replace("-", "").lower()
        return bare[12] == "8" and bare[-_HEX_CHECK:] == _hex_check(bare[:-_HEX_CHECK])
    bare = _SEPARATORS.sub("", text)
    if bare.isascii() and bare.isdigit():
        return _is_ours_in_digits(bare)
    if _HEX.fullmatch(text):
        return text[-_HEX_CHECK:].lower() == _hex_check(text[:-_HEX_CHECK].lower())
    return False


def begins_as_pseudonym(text: str) -> bool:
    """Whether a text is the beginning of a pseudonym, or one with a rest that is too short to hide anything.

    Content that is decoded from the wrong place on has such.
    """
    return _BEGINNING.match(text) is not None


def _is_ours_in_digits(bare: str) -> bool:
    if len(bare) < _CHECKED_DIGITS:
        return bare == "9" * len(bare)
    checks = _checks(len(bare))
    return bare[0] == "9" and bare[-checks:] == _check_digits(bare[:-checks], checks)


def _checks(count: int) -> int:
    return 3 if count < 10 else 5


def _check_digits(body: str, count: int) -> str:
    number = int.from_bytes(hashlib.sha256(f"tracer-bullet {body}".encode()).digest()[:8], "big")
    return _apart(body + str(number).zfill(20)[-count:])[len(body) :]


def _apart(digits: str) -> str:
    """Digits of which no group begins as a card does: so the groups of two neighbours do not make one by chance."""
    return "".join("01789"[int(d) % 5] if at in _GROUP_STARTS else d for at, d in enumerate(digits))


def _hex_check(body: str) -> str:
    return hashlib.sha256(f"tracer-bullet {body}".encode()).hexdigest()[:_HEX_CHECK]


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
