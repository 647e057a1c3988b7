"""What an endpoint is: method and Locust's request name, or a template of the path. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

_ID: Final = re.compile(
    r"\d+|[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[^/]*\d)[0-9A-Za-z_\-]{20,}",
    re.IGNORECASE,
)
_LONGEST: Final = 200


def endpoint_of(method: str, url: str, name: str | None) -> str:
    """As `GET /orders/{id}`, or `GET` and the name that the locustfile gives."""
    return f"{method.upper()} {name[:_LONGEST] if name else path_template(url)}"


@lru_cache(maxsize=4096)
def path_template(url: str) -> str:
    """The path of a URL, or a path, with `{id}` for segments that are numbers, hex, UUIDs or long and with a digit."""
    path = urlsplit(url).path if "://" in url else url.partition("?")[0].partition("#")[0]
    segments = ["{id}" if _ID.fullmatch(segment) else segment for segment in path.split("/")]
    return ("/".join(segments) or "/")[:_LONGEST]
