"""One step compiled for rows that have certain variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tracer_bullet.load.script.pieces import ENCODERS, Marks, Pieces, Place
from tracer_bullet.model.arrival import Slot
from tracer_bullet.scenario.exchange import wire_head
from tracer_bullet.scenario.plan import PlannedStep
from tracer_bullet.scenario.render import render_request
from tracer_bullet.workspace.template import Scalar

Made = tuple[bytes, bytes, tuple[Slot, ...]]

# What scenario/render.py refuses in a path or a header, or h11 in a header's value: then they are asked.
_DOUBTFUL_SEGMENTS: Final = (b"", b".", b"..")
_DOUBTFUL_HEADER: Final = re.compile(rb"^[ \t]|[\x00-\x08\x0a-\x1f\x7f]|[ \t]$|^$", re.DOTALL)


class StepTemplate:
    """What a step sends, as bytes with places.

    `known` are the variables whose values are the same in all iterations, `varying` the names of the others, of which
    the engine puts in those of `taken`. Raises ValueError, as render_request does, for what cannot be sent at all.
    """

    def __init__(
        self, step: PlannedStep, known: Mapping[str, Scalar], varying: frozenset[str], taken: frozenset[str]
    ) -> None:
        self._step = step
        self._known = known
        self._taken = taken
        spec = step.spec.request
        open_ = tuple(sorted(varying | taken))
        marks = Marks(open_, f"{spec!r}{step.base_url}{known!r}")
        prepared = render_request(step, {**known, **marks.values})
        target, lines = wire_head(prepared)
        kind = "json" if spec.has_json else "form" if spec.form is not None else "raw"
        path, _, _ = target.partition(b"?")
        self._in_path = [i for i in marks.find(path, "percent") if isinstance(i, Place) and i.variable not in taken]
        head: list[bytes | Place] = [f"{spec.method} ".encode(), *marks.find(target, "percent"), b" HTTP/1.1\r\n"]
        self._in_headers: list[Place] = []
        length: list[bytes | Place] = []
        for name, value in lines:
            _check_ends(name.decode(), value)
            if name.lower() == b"content-length":
                length = [*head, name + b": "]
                head = [b"\r\n"]
                continue
            found = marks.find(value, "raw")
            self._in_headers += [i for i in found if isinstance(i, Place) and i.variable not in taken]
            head += [name + b": ", *found, b"\r\n"]
        self._before = Pieces(length, taken, "head")
        self._after = Pieces(head, taken, "head")
        self._has_length = bool(length)
        self._body = Pieces(marks.find(prepared.body, kind), taken, "body")
        pieces = (self._before, self._after, self._body)
        self.places = tuple(dict.fromkeys(place for p in pieces for _, place in p.places))
        self._encode = [(place, place.variable, ENCODERS[place.encoding]) for place in self.places]

    @property
    def variables(self) -> frozenset[str]:
        """Those whose values are put in for each iteration."""
        return frozenset(place.variable for place in self.places)

    def make(self, values: Mapping[str, Scalar]) -> Made:
        """(head, body, slots) with the values of one iteration. Raises ValueError for a value that cannot stand."""
        encoded = {place: encode(values[name]) for place, name, encode in self._encode}
        for place in self._in_path:
            if encoded[place] in _DOUBTFUL_SEGMENTS:
                self._ask(values)
        for place in self._in_headers:
            if _DOUBTFUL_HEADER.search(encoded[place]):
                self._ask(values)
        body, body_slots = self._body.join(encoded)
        if not body and self._body.places:  # without a body the head has other lines
            return StepTemplate(self._step, {**self._known, **values}, frozenset(), self._taken).make({})
        head, slots = self._after.join(encoded)
        if self._has_length:
            before, before_slots = self._before.join(encoded)
            before += b"%d" % len(body)
            if slots:
                at = len(before)
                slots = tuple(Slot(s.part, s.start + at, s.length, s.variable, s.encoding) for s in slots)
            head = before + head
            slots = before_slots + slots
        return head, body, slots + body_slots

    def _ask(self, values: Mapping[str, Scalar]) -> None:
        """Whether `fire` would send it. What is taken is not known yet; the engine looks at that."""
        taken = dict.fromkeys(self._taken, "0")
        for name, text in render_request(self._step, {**self._known, **values, **taken}).headers:
            _check_ends(name, text.encode())


def _check_ends(name: str, value: bytes) -> None:
    if value.strip(b" \t") != value:  # h11 refuses it, RFC 9112, section 5
        raise ValueError(f"the header {name!r} would begin or end with a space")
