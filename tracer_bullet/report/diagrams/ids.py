"""Ids for formats that take only plain ones. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_SHORT = 6
_UNFIT = re.compile(r"[^a-z0-9]+")


def slug(text: str, *, joint: str = "_", limit: int = 60) -> str:
    """Lower-case ASCII letters and digits of a text, joined; may be empty."""
    return _UNFIT.sub(joint, text.lower()).strip(joint)[:limit].rstrip(joint)


def plain_ids(
    named: Iterable[tuple[str, str, str]], *, joint: str = "_", limit: int = 60, fallback: str = "x"
) -> dict[str, str]:
    """Key → an id of `[a-z0-9]` and `joint`, for (key, prefix, name) each.

    Equal ids get a hash of their key, but for the one whose name is the id already. So an id does not depend on the
    others, as a running number would: a new node renames none, but one of the same letters.
    """
    rows = [(key, joint.join(p for p in (prefix, slug(name, joint=joint)) if p), name) for key, prefix, name in named]
    taken: dict[str, list[tuple[str, bool]]] = {}
    for key, made, name in rows:
        taken.setdefault(made[:limit].rstrip(joint) or fallback, []).append((key, slug(name, joint=joint) == name))
    result: dict[str, str] = {}
    used = set(taken)
    for made in sorted(taken):
        exact = [key for key, same in taken[made] if same]
        for key, _ in sorted(taken[made]):
            if len(taken[made]) == 1 or [key] == exact:
                result[key] = made
            else:
                result[key] = _hashed(made, key, joint, limit, used)
                used.add(result[key])
    return result


def _hashed(made: str, key: str, joint: str, limit: int, used: set[str]) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    for length in range(_SHORT, len(digest) + 1):
        cut = made[: limit - length - 1].rstrip(joint)
        found = f"{cut}{joint}{digest[:length]}"
        if found not in used:
            return found
    raise AssertionError("two keys with one hash")  # pragma: no cover
