"""JSON Web Tokens in text (RFC 7519; compact serialisation, RFC 7515 section 7.1 and RFC 7516 section 7.1)."""

from __future__ import annotations

import binascii
import json
import re
from typing import Any, Final

# The header is JSON, so it begins with `{"`, `{ "` or `{` and a line break.
# Signed ones have three parts, encrypted five.
JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])e[wy][A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){1,3}")
_MAX_DEPTH_ERRORS: Final = (ValueError, RecursionError, binascii.Error)


def read_jwt(text: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The header and the claims of a token; claims are empty where they cannot be read. None when it is no token.

    The header must be a JSON object that names an algorithm: `go1.23.2` and host names are no tokens.
    """
    parts = text.split(".")
    header = _object(parts[0])
    if header is None or not ("alg" in header or "enc" in header):
        return None
    return header, (_object(parts[1]) or {}) if len(parts) > 1 else {}


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(binascii.a2b_base64(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4)))
    except _MAX_DEPTH_ERRORS:
        return None
    return value if isinstance(value, dict) else None
