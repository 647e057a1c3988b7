"""`${NAME}` and `${NAME:-default}` in the values of a document, replaced from an environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer_bullet.workspace.mistakes import Mistake, suggest
from tracer_bullet.workspace.tree import scalar_of

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand(value: Any, environ: Mapping[str, str]) -> tuple[Any, list[Mistake]]:
    """`value` with its references replaced, and a mistake for each that is unset and has no default.

    A value that is one whole reference gets the type that the text would have in YAML, so that
    `production: ${PRODUCTION}` works; an empty variable counts as unset when a default is given,
    as in a POSIX shell.
    """
    mistakes: list[Mistake] = []
    return _expand(value, environ, "", mistakes), mistakes


def _expand(value: Any, environ: Mapping[str, str], path: str, mistakes: list[Mistake]) -> Any:
    prefix = f"{path}." if path else ""
    if isinstance(value, dict):
        return {k: _expand(v, environ, f"{prefix}{k}", mistakes) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, f"{prefix}{i}", mistakes) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = environ.get(name)
        if found or (found is not None and default is None):
            return found
        if default is not None:
            return str(default)
        cure = suggest(name, environ) or f"set {name}, or write ${{{name}:-a default}}"
        mistakes.append(Mistake(path=path, message=f"the environment variable {name} is not set", cure=cure))
        return match[0]

    text = _REFERENCE.sub(replace, value)
    return scalar_of(text) if _REFERENCE.fullmatch(value) else text
