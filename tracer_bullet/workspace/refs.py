"""Backstage's entity references, `[kind:][namespace/]name`. Pure.

The rules are those of `parseEntityRef` and `stringifyEntityRef` in @backstage/catalog-model.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONGEST_NAME: Final = 63
_HASH_DIGITS: Final = 8


def parse_ref(text: str, kind: str, namespace: str) -> tuple[str, str, str]:
    """Kind, namespace and name, as written; `kind` and `namespace` where the text has none.

    Raises ValueError when it is no reference.
    """
    colon, slash = text.find(":"), text.find("/")
    if -1 < slash < colon:
        colon = -1
    parts = (
        kind if colon == -1 else text[:colon],
        namespace if slash == -1 else text[colon + 1 : slash],
        text[max(colon + 1, slash + 1) :],
    )
    if not all(parts) or any(c.isspace() for c in text):
        raise ValueError(f"{text!r} is no reference to an entity")
    return parts


def ref_of(text: str, kind: str, namespace: str) -> str:
    """The canonical form, `kind:namespace/name` in lower case."""
    parsed = parse_ref(text, kind, namespace)
    return f"{parsed[0]}:{parsed[1]}/{parsed[2]}".lower()


def short_ref(ref: str) -> str:
    """A canonical ref as people write it: without the namespace where that is `default`."""
    return ref.replace(":default/", ":", 1)


def entity_name(original: str) -> str:
    """A name that Backstage takes (63 letters, digits, `-_.`), the same for the same text; long ones end in a hash."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", original)
    name = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", name)
    if name and len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    head = name[: LONGEST_NAME - _HASH_DIGITS - 1].rstrip("-_.")
    return f"{head}-{digest}" if head else f"unnamed-{digest}"
