"""Whose request it is. What proves a client (a cookie, a token) comes before what only hints at it (a connection, an
address). Keys are secrets: they are turned into keyed pseudonyms before anything else sees them.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from tracer_bullet.capture.redaction.looking.codings import OpenError, codings_of, open_content
from tracer_bullet.capture.redaction.looking.jwts import read_jwt
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

# Names that frameworks give to the cookie of a session; globs, whatever the case.
SESSION_COOKIES: Final = (
    "session", "sessionid", "session_id", "session-id", "sid", "*.sid", "*sessid*", "*sessionid*", "*_session",
    "*-session", "*session_token*", "*session-token*", "access_token", "auth_token", "token", "jwt",
)  # fmt: skip
# Names under which an answer's JSON gives a token that later requests show in Authorization.
TOKEN_MEMBERS: Final = frozenset(
    {"token", "access_token", "accesstoken", "id_token", "idtoken", "jwt", "auth_token", "authtoken", "session_token"}
)
_OPENED_BODY: Final = 1 << 20
_DEPTH: Final = 4
_MAX_ALIASES: Final = 200_000
_DELETED: Final = frozenset({"", '""', "deleted", "null"})
_FORWARDED_FOR: Final = re.compile(r"(?i)(?:^|[;,\s])for=\"?([^\";,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """Where a client's key is, in this order: `headers` (names), `cookies` (globs on names), `queries` (names of
    parameters), then, if wanted, Authorization: the subject of a JWT (its `claims`), the user of Basic, else the
    credentials themselves."""

    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = SESSION_COOKIES
    queries: tuple[str, ...] = ()
    authorization: bool = True
    claims: tuple[str, ...] = ("sub",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who asked. `key` in clear text, empty when nothing tells; `proven` by what the request shows; `guessed` from an
    address. `minted`: the keys that the answer gave to the client for what follows."""

    key: str = ""
    proven: bool = False
    guessed: bool = False
    minted: tuple[str, ...] = ()


def owner_of(exchange: Exchange, rules: SessionRules, cookies: re.Pattern[str] | None = None) -> Owner:
    """Who asked, from one exchange alone. `cookies`: `cookie_pattern(rules)`, made ready."""
    cookies = cookie_pattern(rules) if cookies is None else cookies
    minted = tuple(dict.fromkeys(_minted(exchange.answer, rules, cookies))) if exchange.answer is not None else ()
    if key := _shown(exchange.request, rules, cookies):
        return Owner(key=key, proven=True, minted=minted)
    if exchange.session and Lack.SESSION not in exchange.lacks:
        return Owner(key=f"connection:{exchange.source}:{exchange.session}", minted=minted)
    client = exchange.session or _client(exchange.request)
    if not client:
        return Owner(guessed=True, minted=minted)
    agent = next(iter(exchange.request.values("user-agent")), "")
    return Owner(key=f"client:{client.removeprefix('client:')} {agent}", guessed=True, minted=minted)


def cookie_pattern(rules: SessionRules) -> re.Pattern[str]:
    """The rules' globs on cookies as one pattern, for names in lower case."""
    return re.compile("|".join(f"(?:{translate(glob.lower())})" for glob in rules.cookies) or r"(?!)")


class Sessions:
    """Gives exchanges their sessions. `pseudonym` is keyed, as `Pseudonyms.plain`.

    Keys that an answer gives are followed: who logs in, or gets a fresh token, stays in the session. For that the last
    200,000 keys are kept, as pseudonyms. The same exchanges in the same order get the same sessions.
    """

    def __init__(self, pseudonym: Callable[[str], str], rules: SessionRules | None = None) -> None:
        self._pseudonym = pseudonym
        self._rules = rules or SessionRules()
        self._cookies = cookie_pattern(self._rules)
        self._aliases: OrderedDict[str, str] = OrderedDict()

    def place(self, exchange: Exchange) -> Exchange:
        """The exchange with its session, marked `Lack.SESSION` when that is guessed or unknown."""
        owner = owner_of(exchange, self._rules, self._cookies)
        minted = [self._pseudonym(key) for key in owner.minted]
        known = next((self._aliases[name] for name in minted if name in self._aliases), "")
        if owner.proven:
            session = self._resolve(self._pseudonym(owner.key))
        elif minted:
            # What was just given is the client's for sure; its connection may be many clients'.
            session = known or minted[0]
        else:
            session = self._pseudonym(owner.key) if owner.key else ""
        for name in minted:
            self._follow(name, session)
        guessed = owner.guessed and not minted
        lacks = exchange.lacks | {Lack.SESSION} if guessed else exchange.lacks - {Lack.SESSION}
        return replace(exchange, session=session, lacks=lacks)

    def _resolve(self, name: str) -> str:
        session = self._aliases.get(name)
        if session is None:
            return name
        self._aliases.move_to_end(name)
        return session

    def _follow(self, name: str, session: str) -> None:
        if name == session or name in self._aliases:
            return
        self._aliases[name] = session
        if len(self._aliases) > _MAX_ALIASES:
            self._aliases.popitem(last=False)


def _shown(request: Request, rules: SessionRules, cookies: re.Pattern[str]) -> str:
    return next((key for key in _keys(request, rules, cookies) if key), "")


def _keys(request: Request, rules: SessionRules, cookies: re.Pattern[str]) -> Iterator[str]:
    for name in rules.headers:
        yield from (f"header:{name.lower()}={value.strip()}" for value in request.values(name) if value.strip())
    for line in request.values("cookie"):
        yield from (_cookie_key(part, cookies) for part in line.split(";"))
    if rules.queries:
        asked = parse_qsl(request.target.partition("?")[2])
        yield from (f"query:{name}={value}" for name, value in asked if name in rules.queries)
    if rules.authorization:
        yield from (_credentials_key(value, rules) for value in request.values("authorization"))


def _cookie_key(text: str, cookies: re.Pattern[str]) -> str:
    name, equals, value = text.strip().partition("=")
    value = value.strip()
    if not equals or value.lower() in _DELETED or not cookies.match(name.strip().lower()):
        return ""
    return f"cookie:{name.strip()}={value}"


def _credentials_key(value: str, rules: SessionRules) -> str:
    scheme, _, credentials = value.strip().partition(" ")
    credentials = credentials.strip()
    if not credentials:
        scheme, credentials = "", scheme
    if scheme.lower() == "basic":
        try:
            user = b64decode(credentials).partition(b":")[0].decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            user = ""
        return f"user:{user or credentials}"
    return _token_key(credentials, rules) if credentials else ""


def _token_key(token: str, rules: SessionRules) -> str:
    """The subject of a JWT; any other token itself."""
    if token.startswith("ey") and token.count(".") >= 2 and (read := read_jwt(token)) is not None:
        for name in rules.claims:
            subject = read[1].get(name)
            if isinstance(subject, str | int) and not isinstance(subject, bool):
                return f"subject:{read[1].get('iss', '')}|{subject}"
    return f"token:{token}"


def _minted(answer: Answer, rules: SessionRules, cookies: re.Pattern[str]) -> Iterator[str]:
    for line in answer.values("set-cookie"):
        first, _, attributes = line.partition(";")
        if "max-age=0" not in attributes.lower().replace(" ", "") and (key := _cookie_key(first, cookies)):
            yield key
    if rules.authorization and answer.status < 300 and answer.body and _is_json(answer.headers):
        for token in _tokens(_opened(answer), _DEPTH):
            yield _token_key(token, rules)


def _is_json(headers: Headers) -> bool:
    return any(name.lower() == "content-type" and "json" in value.lower() for name, value in headers)


def _opened(answer: Answer) -> Any:
    body = answer.body or b""
    try:
        if codings := codings_of(answer.values("content-encoding")):
            body = open_content(body, codings, _OPENED_BODY)
        lowered = body.lower() if len(body) <= _OPENED_BODY else b""
        if b"token" not in lowered and b"jwt" not in lowered:
            return None
        return orjson.loads(body)
    except (OpenError, orjson.JSONDecodeError):
        return None


def _tokens(value: Any, depth: int) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        if isinstance(member, str):
            if member and name.lower() in TOKEN_MEMBERS:
                yield member
        elif depth > 0:
            yield from _tokens(member, depth - 1)


def _client(request: Request) -> str:
    for value in request.values("x-forwarded-for"):
        if first := value.split(",")[0].strip():
            return first
    for value in request.values("forwarded"):
        if found := _FORWARDED_FOR.search(value):
            return found[1]
    return next((value.strip() for value in request.values("x-real-ip")), "")
