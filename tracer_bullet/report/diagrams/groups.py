"""Which services stand together: the systems that a catalog names, or else the first words of their names. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from tracer_bullet.model import Catalog
from tracer_bullet.report.diagrams.diagram import DiagramGroup
from tracer_bullet.report.text import line

_FEW = 12
_WORD = re.compile(r"^(.{2,}?)[-_./: ]")


def group_services(names: Iterable[str], catalog: Catalog | None) -> tuple[dict[str, str], list[DiagramGroup]]:
    """Service → id of its group, and the groups.

    A catalog that names a system for any of them decides alone. Else, from 13 services on, those whose names begin
    with the same word (up to `-`, `_`, `.`, `/`, `:` or a space) stand together, where they are two or more but not
    nearly all (nine of ten).
    """
    known = sorted(set(names))
    declared = {}
    for name in known:
        entity = catalog.of_service(name) if catalog is not None else None
        if entity is not None and entity.system:
            declared[name] = entity.system
    placed = declared or _by_word(known)
    found = {name: f"group:{group}" for name, group in placed.items()}
    # A catalog may refer to a system as `system:default/shop`.
    groups = [
        DiagramGroup(id=f"group:{group}", name=line(group.rpartition("/")[2] if declared else group))
        for group in sorted(set(placed.values()))
    ]
    return found, groups


def _by_word(names: list[str]) -> dict[str, str]:
    if len(names) <= _FEW:
        return {}
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        match = _WORD.match(name)
        groups[match[1] if match else name].append(name)
    return {
        name: word
        for word, some in groups.items()
        if len(some) >= 2 and 10 * len(some) < 9 * len(names)
        for name in some
    }
