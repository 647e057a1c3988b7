"""Names out of traces made fit for a topology: services, operations with their routes, tables. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ROUTE = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*)")
# `{id}`, `{id:int}`, `:id`, `<id>` and `<int:id>`, `*`: what frameworks write for a parameter.
_PARAMETER = re.compile(r"\{([^}]*)\}|:(\w+)|<(?:\w+:)?(\w+)>|(\*)")
_LONGEST = 63


def plain_names(names: Iterable[str], *, joint: str = "-", first: str = "s") -> dict[str, str]:
    """Name → a legal one of a topology; names that are legal keep themselves, others that clash get a hash."""
    wanted = sorted(set(names))
    made = {name: _plain(name, joint, first) for name in wanted}
    taken = {name for name in wanted if made[name] == name}
    result = {name: name for name in taken}
    for name in wanted:
        if name in result:
            continue
        found = made[name]
        if found in taken:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
            found = next(
                one for n in range(4, 65) if (one := f"{found[: _LONGEST - n - 1]}{joint}{digest[:n]}") not in taken
            )
        taken.add(found)
        result[name] = found
    return result


def _plain(name: str, joint: str, first: str) -> str:
    kept = r"[^a-z0-9_]+" if joint == "_" else r"[^a-z0-9_-]+"
    plain = re.sub(kept, joint, name.lower()).strip(joint)
    return (plain if plain[:1].isascii() and plain[:1].isalpha() else f"{first}{joint}{plain}".rstrip(joint))[:_LONGEST]


def read_route(name: str) -> str | None:
    """`GET /orders/{id}` for a span name that says a method and a path, in whatever way it writes parameters."""
    match = _ROUTE.fullmatch(name)
    if match is None:
        return None
    taken: list[str] = []
    segments = [_segment(one, taken) for one in match[2].split("/")[1:]]
    return f"{match[1]} /{'/'.join(segments)}"


def made_up_route(name: str) -> str:
    """A route for a span name that is none: `POST /name`."""
    return f"POST /{re.sub(r'[^A-Za-z0-9_.~-]+', '-', name).strip('-')[:100] or 'unnamed'}"


def route_shape(http: str) -> str:
    """Routes of one shape cannot be told apart."""
    return re.sub(r"\{\w+\}", "{}", http)


def operation_id(http: str) -> str:
    """`get_orders_id`."""
    return re.sub(r"[^a-z0-9]+", "_", http.lower()).strip("_")[:_LONGEST]


def _segment(text: str, taken: list[str]) -> str:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return re.sub(r"[^\w.~-]+", "-", text, flags=re.ASCII)
    wanted = next((g for g in match.groups()[:3] if g), "rest").partition(":")[0]
    plain = re.sub(r"[^a-z0-9_]+", "_", wanted.lower()).strip("_") or "id"
    plain = plain if plain[0].isalpha() else f"p_{plain}"
    n, found = 1, plain
    while found in taken:
        n += 1
        found = f"{plain}_{n}"
    taken.append(found)
    return f"{{{found}}}"
