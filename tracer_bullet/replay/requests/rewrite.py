"""`rewrite:` of the replay file on one request: paths, headers, JSON fields, times, fresh idempotency keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from tracer_bullet.replay.reading.select import globs
from tracer_bullet.replay.requests.draft import Draft, HeaderFilter
from tracer_bullet.replay.requests.places import change, change_json, header_text, load_json, parse_place
from tracer_bullet.replay.requests.times import moved
from tracer_bullet.workspace.json_path import dump_json, find_places, parse_json_path
from tracer_bullet.workspace.replay import RewriteSpec
from tracer_bullet.workspace.template import fill

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"[0-9a-f]{8,128}")
_DIGITS: Final = re.compile(r"[0-9]{6,64}")


class Rewriter:
    """`rewrite:`, compiled. `run_id` makes the keys of a run its own."""

    def __init__(self, spec: RewriteSpec, run_id: str) -> None:
        self._run = run_id
        self._paths = [(re.compile(p.match), p.to) for p in spec.paths]
        self._json = [(parse_json_path(j.path), j, globs(j.paths)) for j in spec.json_fields]
        self._times = [parse_place(t) for t in spec.times]
        keys = [parse_place(i) for i in spec.idempotency]
        self._keys = [place for place in keys if place.kind != "header"]
        self._key_headers = frozenset(place.name for place in keys if place.kind == "header")
        self._set = [(name, value) for name, value in spec.set_headers.items() if name.lower() != "host"]
        self.host = next((value for name, value in spec.set_headers.items() if name.lower() == "host"), "")
        self.headers = HeaderFilter(
            globs(n.lower() for n in spec.remove_headers), frozenset(n.lower() for n in spec.set_headers)
        )

    def apply(self, draft: Draft, variables: Mapping[str, str], session: int, *, delta_ns: int) -> None:
        """Change the draft. `session` numbers the replay's sessions; `delta_ns` is due − recorded start."""
        for pattern, to in self._paths:
            draft.target = pattern.sub(to, draft.target)
        for name, value in self._set:
            draft.headers.append((name, header_text(str(fill(value, variables)))))
        if self._json and draft.body:
            self._fields(draft, variables)
        start = draft.exchange.started_ns
        for place in self._times:
            change(draft, place, lambda old: moved(old, start, delta_ns))
        for index, (name, value) in enumerate(draft.headers if self._key_headers else ()):
            if name.lower() in self._key_headers:
                draft.headers[index] = (name, fresh_key(value, self._run, session))
        for place in self._keys:
            change(draft, place, lambda old: fresh_key(old, self._run, session))

    def _fields(self, draft: Draft, variables: Mapping[str, str]) -> None:
        path = draft.exchange.request.target.partition("?")[0]
        for steps, rule, paths in self._json:
            if paths is not None and not paths.match(path):
                continue
            if rule.remove:
                _remove(draft, steps)
            else:
                value = fill(rule.set, variables)
                change_json(draft, steps, partial(_copy_of, value))


def _copy_of(value: Any, _old: Any) -> Any:
    return deepcopy(value)


def _remove(draft: Draft, steps: Any) -> None:
    document = load_json(draft)
    places = find_places(document, steps) if document is not None else []
    for container, key in reversed(places):  # the last items of a list first
        del container[key]
    if places:
        draft.body = dump_json(document)


def fresh_key(recorded: str, run_id: str, session: int) -> str:
    """A key in the form of the recorded one: UUID, hex or digits of its length, else 32 hex digits.

    The same for the same recorded key of a session of a run, so that a recorded retry is one again.
    """
    digest = blake2b(f"{run_id}\0{session}\0{recorded}".encode("utf-8", "surrogatepass"), digest_size=64).hexdigest()
    if _UUID.fullmatch(recorded):  # version 4, variant 1 (RFC 9562)
        parts = (digest[:8], digest[8:12], f"4{digest[13:16]}", f"a{digest[17:20]}", digest[20:32])
        return "-".join(parts)
    if _DIGITS.fullmatch(recorded):
        return str(int(digest, 16))[: len(recorded)]
    if _HEX.fullmatch(recorded):
        return digest[: len(recorded)]
    return digest[:32]
