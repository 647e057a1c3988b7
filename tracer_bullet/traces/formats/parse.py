"""JSON text to values: orjson, and Python's parser for what orjson refuses but others write."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from tracer_bullet.model.losses import Losses

NOT_QUITE_JSON: Final = (
    "values that are not quite JSON (NaN, lone surrogates, bytes that are no UTF-8): read all the same"
)

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def parse(text: bytes, losses: Losses) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, or is nested too deep (about 1,000 levels).

    Lone surrogates become `?`, bytes that are no UTF-8 the replacement character.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        value = _leniently(text, error)
    losses.repair(NOT_QUITE_JSON)
    return value


def _leniently(text: bytes, first: orjson.JSONDecodeError) -> Any:
    try:
        value = json.loads(text.decode("utf-8", "replace"))
        spelled = json.dumps(value, ensure_ascii=False)
        if _SURROGATE.search(spelled):
            value = json.loads(spelled.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ValueError(str(first)) from None
    return value
