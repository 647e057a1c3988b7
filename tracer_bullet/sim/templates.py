"""Templates of topology files: values with `${references}` in their texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer_bullet.workspace.topology_checks import REFERENCE


class MissingValueError(LookupError):
    """A reference leads nowhere; `reference` is its text, as `input.items`."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} has no value")
        self.reference = reference


def render(template: Any, values: Mapping[str, Any], *, lenient: bool = False) -> Any:
    """The template with its references replaced from `values`.

    A text that is one reference becomes the value itself, of whatever type; elsewhere the value
    is written into the text. Raises MissingValueError, or with `lenient` puts None in its place.
    """
    if isinstance(template, dict):
        return {key: render(value, values, lenient=lenient) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [render(value, values, lenient=lenient) for value in template]
    if not isinstance(template, str):
        return template
    whole = REFERENCE.fullmatch(template)
    if whole is not None:
        return _look_up(whole[1], values, lenient)

    def written(match: re.Match[str]) -> str:
        return str(_look_up(match[1], values, lenient))

    return REFERENCE.sub(written, template)


def _look_up(reference: str, values: Mapping[str, Any], lenient: bool) -> Any:
    found: Any = values
    for part in reference.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif lenient:
            return None
        else:
            raise MissingValueError(reference)
    return found
