"""Any value → what a variable can hold. Pure."""

from __future__ import annotations

import json
from typing import Any

from tracer_bullet.workspace.template import Scalar


def as_scalar(value: Any) -> Scalar:
    """Texts, numbers and booleans as they are; an object, a list or null as its JSON text, for a step's `body`.

    Raises TypeError for what is no JSON value.
    """
    if isinstance(value, bool | int | float | str):
        return value
    return json_text(value)


def json_text(value: Any) -> str:
    """A value as compact JSON. Raises TypeError or ValueError for what JSON cannot say."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
