"""The quick way to say that an answer is as expected: no words, no search. Pure; never raises.

It only ever says that all is well. Where it does not, `scenario.answer` decides, and finds the words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from tracer_bullet.load.script.takes import plain_keys
from tracer_bullet.model.exchange import Headers
from tracer_bullet.scenario.matching import MISSING, Text, satisfies
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.scenario import StepSpec

_Keys = tuple[str | int, ...]


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


class Quick:
    """A step's expectations but its time, which must have no variables, and that it can take what it takes.

    `is_usable`: whether all JSONPaths are names and indexes.
    """

    def __init__(self, step: StepSpec) -> None:
        self._statuses = frozenset(s for s in range(100, 600) if _admits(step.expect.status, s))
        self._headers = [(name.lower(), _test(matcher)) for name, matcher in step.expect.headers.items()]
        paths = [(plain_keys(path), _test(matcher)) for path, matcher in step.expect.json_.items()]
        for source in step.take.values():
            if source.startswith("header:"):
                self._headers.append((source.removeprefix("header:").lower(), _is_there))
            elif source != "status":
                paths.append((plain_keys(source), _is_scalar))
        self._paths = [(keys, test) for keys, test in paths if keys is not None]
        self.is_usable = len(self._paths) == len(paths)

    def is_fine(self, status: int, headers: Headers, body: bytes) -> bool:
        """Whether an answer is as expected; `body` is whole, without content coding."""
        if status not in self._statuses:
            return False
        for name, test in self._headers:
            values = [value for key, value in headers if key.lower() == name]
            if not all(map(str.isascii, values)) or not test(Text(", ".join(values)) if values else MISSING):
                return False
        if not self._paths:
            return True
        try:
            document = _DECODER.decode(body.decode())
        except (ValueError, RecursionError):
            return False
        return all(test(_at(document, keys)) for keys, test in self._paths)


def _at(value: Any, keys: _Keys) -> Any:
    for key in keys:
        if isinstance(key, str):
            if not isinstance(value, dict) or key not in value:
                return MISSING
        elif not isinstance(value, list) or key >= len(value):
            return MISSING
        value = value[key]
    return value


def _test(matcher: Matcher) -> Callable[[Any], bool]:
    match matcher.operators:
        case (("eq", str(wanted)),):
            return lambda value: (type(value) is str and value == wanted) or satisfies(matcher, value)
        case (("exists", True),):
            return _is_there
    return lambda value: satisfies(matcher, value)


def _is_there(value: Any) -> bool:
    return value is not MISSING


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _admits(wanted: tuple[str, ...], status: int) -> bool:
    return str(status) in wanted or f"{status // 100}xx" in wanted
