"""Checks of the texts in a replay file: places, JSONPaths, rules, `${…}`. Pure; each raises ValueError for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tracer_bullet.workspace.fields import METHODS, RESERVED_HEADERS
from tracer_bullet.workspace.json_path import parse_json_path
from tracer_bullet.workspace.mistakes import Mistake, suggest
from tracer_bullet.workspace.template import references

BUILT_IN_FIELDS: Final = ("n", "session", "clone", "run")
"""What `${…}` may name besides an account's fields."""
_KINDS: Final = ("header", "cookie", "query", "form", "json")
_TAKES: Final = ("json", "header", "cookie")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2; also a cookie's name
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_json_path(text: str) -> str:
    """A JSONPath of those that are known here."""
    parse_json_path(text)
    return text


def check_place(text: str) -> str:
    """A place in a request, as `header:authorization` or `json:$.user`; not one that the harness fills itself."""
    kind, _, name = text.partition(":")
    if kind == "header" and name.lower() in (*RESERVED_HEADERS, "host"):
        raise ValueError(f"the harness sets the header {name!r} itself (a host: `rewrite.set_headers`)")
    return _checked(text, _KINDS)


def check_take(text: str) -> str:
    """A place in an answer, as `json:$.token`."""
    return _checked(text, _TAKES)


def check_use(text: str) -> str:
    """A place where a minted value is used: a place in a request, or `path`."""
    return text if text == "path" else _checked(text, ("path", *_KINDS))


def check_minted_by(text: str) -> str:
    """`METHOD path-glob`."""
    method, _, path = text.partition(" ")
    if method not in METHODS or not path.strip().startswith(("/", "*")):
        raise ValueError("must be a method and a path, as POST /login or PUT /carts/*")
    return text


def template_mistakes(tree: Any) -> Iterator[Mistake]:
    """A mistake for each `${…}` that is neither built in nor a field of an account, in a replay file as plain values.

    Fields that come from `identities.file` are not known here; the plan checks them.
    """
    identities = _map(_map(tree).get("identities"))
    accounts = identities.get("accounts")
    accounts = [a for a in accounts if isinstance(a, dict)] if isinstance(accounts, list) else []
    yield from _account_mistakes(accounts)
    known = set(BUILT_IN_FIELDS)
    for account in accounts:
        known |= set(account)
    rewrite = _map(_map(tree).get("rewrite"))
    texts = (
        ("identities.places", identities.get("places")),
        ("rewrite.set_headers", rewrite.get("set_headers")),
        ("rewrite.json", rewrite.get("json")),
    )
    for path, value in texts:
        for where, name in references(value, path):
            if name is None or (name not in known and not identities.get("file")):
                yield _unknown(where, name, sorted(known))


def _account_mistakes(accounts: list[dict[Any, Any]]) -> Iterator[Mistake]:
    for index, account in enumerate(accounts):
        for where, name in references(account, f"identities.accounts.{index}"):
            if name not in BUILT_IN_FIELDS:
                yield _unknown(where, name, list(BUILT_IN_FIELDS))
        for field in sorted(set(accounts[0]) - set(account), key=str):
            message = f"has no {field!r}, which the first account has"
            yield Mistake(
                path=f"identities.accounts.{index}", message=message, cure="give all accounts the same fields"
            )
        for field, text in account.items():
            if isinstance(text, str) and _CONTROL.search(text):
                message = "must not hold control characters"
                yield Mistake(path=f"identities.accounts.{index}.{field}", message=message)


def _unknown(where: str, name: str | None, known: list[str]) -> Mistake:
    if name is None:
        return Mistake(path=where, message="`${` begins no `${name}`", cure="write $${ for a literal ${")
    cure = suggest(name, known) or f"known are {', '.join(known)}"
    return Mistake(path=where, message=f"no account has a field {name!r}", cure=cure)


def _checked(text: str, kinds: tuple[str, ...]) -> str:
    kind, colon, name = text.partition(":")
    if kind not in kinds or (not colon and kind != "path"):
        forms = ", ".join(f"{k}:…" for k in kinds if k != "path")
        raise ValueError(f"must be one of {forms}{' or path' if 'path' in kinds else ''}, not {text!r}")
    if kind == "json":
        parse_json_path(name)
    elif kind in ("header", "cookie") and not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a {kind}")
    elif not name and kind != "path":
        raise ValueError(f"{text!r} needs a name behind the colon")
    return text


def _map(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
