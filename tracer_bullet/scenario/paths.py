"""JSONPath: parsing and evaluating, through jsonpath-ng with its filters. Pure."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from jsonpath_ng.ext.parser import parse


def path_mistake(text: str) -> str:
    """Why `text` is no JSONPath; empty when it is one."""
    if not text.startswith("$"):
        return "a JSONPath begins with `$`, as `$.order_id`"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # syntax that jsonpath-ng will drop
            _parsed(text)
    except Exception as error:  # noqa: BLE001 - the library lets out whatever its pieces raise, re.error too
        return f"no valid JSONPath: {error}"
    return ""


def find_values(text: str, document: Any) -> list[Any]:
    """The values that a JSONPath finds in a JSON value, in the document's order.

    Raises ValueError when the path cannot be followed through this document, as a filter that
    compares texts with numbers.
    """
    try:
        return [match.value for match in _parsed(text).find(document)]
    except Exception as error:  # noqa: BLE001 - see above; arithmetic and filters raise TypeError and others
        raise ValueError(f"{text} cannot be followed through this answer: {error}") from None


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    return parse(text)
