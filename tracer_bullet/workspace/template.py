"""`${name}` in the texts of a scenario: finding references and replacing them. Pure.

`$${` is a literal `${`. A text that is one whole reference takes the variable's own type, so that
`quantity: ${quantity}` stays a number in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Scalar = str | int | float | bool

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|(\$\{)")


def references(value: Any, path: str = "") -> Iterator[tuple[str, str | None]]:
    """(dotted path, variable name) of each reference in the texts below `value`.

    The name is None for a `${` that begins no reference. Map keys are not looked at.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from references(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, f"{path}.{index}" if path else str(index))
    elif isinstance(value, str):
        for match in _TOKEN.finditer(value):
            if match[1] or match[2]:
                yield path, match[1]


def text_of(value: object) -> str:
    """A variable's value inside a text: `true`/`false` for booleans, as JSON and YAML write them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fill(value: Any, variables: Mapping[str, Scalar], quote: Callable[[str], str] = str) -> Any:
    """`value` with the references in its texts replaced; `quote` is applied to what is put into a text.

    Raises KeyError with the name of a variable that is not there.
    """
    if isinstance(value, dict):
        return {k: fill(v, variables, quote) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill(v, variables, quote) for v in value]
    if not isinstance(value, str):
        return value
    whole = _TOKEN.fullmatch(value)
    if whole and whole[1] and quote is str:
        return variables[whole[1]]
    return _TOKEN.sub(lambda m: quote(text_of(variables[m[1]])) if m[1] else "${", value)
