"""Error texts without what differs from one occurrence to the next, so that equal errors have equal texts. Pure."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

MOST_CHARACTERS: Final = 200

# RE2's dialect, applied in this order. No replacement holds a digit or a quote, so a second pass changes nothing.
_RULES: Final = (
    (r"\s+", " "),
    (r"[A-Za-z][A-Za-z0-9+.-]*://[^\s,;)\]}>'\"`]+", "<address>"),
    (r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", "<id>"),
    (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<address>"),
    (r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d+)?", "<address>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
    (r"\b(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):\d{1,5}\b", "<address>"),
    # An apostrophe inside a word quotes nothing.
    (r"(^|[^A-Za-z0-9_])'(?:[^']|'')*'", r"\1<value>"),
    (r'"[^"]*"', "<value>"),
    (r"`[^`]*`", "<value>"),
    (r"\b0[xX][0-9A-Fa-f]+\b", "<id>"),
    (r"\b[0-9A-Fa-f]{16,}\b", "<id>"),
    (r"\b\d+(?:[.,:]\d+)*\b", "<n>"),
    (r"\b\w*\d\w*\b", "<id>"),
)


def plain_texts(texts: pa.Array) -> pa.Array:
    """Each text with ids, numbers, quoted values and addresses taken out, cut to 200 characters."""
    for pattern, replacement in _RULES:
        texts = pc.replace_substring_regex(texts, pattern=pattern, replacement=replacement)
    return pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(texts, 0, MOST_CHARACTERS))


def error_texts(types: pa.Array, messages: pa.Array) -> pa.Array:
    """`type: message`, either alone where the other is missing, and the type once where the message begins with it."""
    plain = plain_texts(messages)
    short = pc.replace_substring_regex(types, pattern=r"^.*[.:]", replacement="")
    begins = pc.and_(pc.not_equal(short, ""), _starts_with(plain, short))
    both = pc.binary_join_element_wise(types, plain, ": ")
    alone = pc.if_else(pc.equal(types, ""), plain, types)
    return pc.if_else(begins, plain, pc.if_else(pc.or_(pc.equal(types, ""), pc.equal(plain, "")), alone, both))


def _starts_with(texts: pa.Array, beginnings: pa.Array) -> pa.Array:
    """Whether each text is its beginning, alone or with a colon behind it."""
    return pc.or_(pc.equal(texts, beginnings), _has_head(texts, beginnings))


def _has_head(texts: pa.Array, heads: pa.Array) -> pa.Array:
    first = pc.replace_substring_regex(texts, pattern=r"^([^:]*):.*$", replacement=r"\1")
    return pc.and_(pc.match_substring(texts, ":"), pc.equal(first, heads))
