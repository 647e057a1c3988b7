"""Which endpoints are armed, and who waits for which. Pure: it is told, and says whom to answer what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeVar

W = TypeVar("W")
# A first request that was answered with an error proves less: so often another one goes alone, then it counts.
_MOST_TRIES: Final = 3


@dataclass
class _Endpoint:
    armed: bool = False
    owner: object = None  # whose request is under way, alone
    since_s: float = 0.0
    trace_id: str = ""
    fine: bool = False  # it was answered, and not with an error
    answered: bool = False
    tries: int = 0
    clean: bool = False  # it was answered, if with an error, and its trace was clean
    waiting: deque[tuple[object, int]] = field(default_factory=deque)


# (who asked, the number of what it asked, `arm` or `armed`)
Answer = tuple[object, int, str]


class Arming:
    """The state of all endpoints of a run."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._traces: dict[str, list[str]] = {}

    @property
    def armed(self) -> list[str]:
        """The endpoints that had a clean bullet."""
        return sorted(name for name, e in self._endpoints.items() if e.armed)

    @property
    def unarmed(self) -> list[str]:
        """Those that were asked for and had none, not even one that was answered with an error."""
        return sorted(name for name, e in self._endpoints.items() if not (e.armed or e.clean))

    def ask(self, endpoint: str, owner: object, number: int, now_s: float) -> list[Answer]:
        """Somebody wants to send a request to an endpoint."""
        state = self._endpoints.setdefault(endpoint, _Endpoint())
        if state.armed:
            return [(owner, number, "armed")]
        state.waiting.append((owner, number))
        return self._next(state, now_s)

    def sent(self, endpoint: str, trace_id: str, *, statuses: list[int]) -> None:
        """The request that went alone has ended. `statuses`: of its exchanges that left, 0 for those without an
        answer."""
        state = self._endpoints.setdefault(endpoint, _Endpoint())
        state.trace_id = trace_id
        state.answered = bool(statuses) and statuses[-1] > 0
        state.fine = state.answered and statuses[-1] < 400
        self._traces.setdefault(trace_id, []).append(endpoint)

    def of_trace(self, trace_id: str) -> tuple[str, ...]:
        """The endpoints that wait for this trace."""
        return tuple(self._traces.get(trace_id, ()))

    def is_armed(self, endpoint: str) -> bool:
        """Whether it had a clean bullet."""
        return endpoint in self._endpoints and self._endpoints[endpoint].armed

    def judged(self, trace_id: str, now_s: float) -> list[Answer]:
        """A trace that was awaited is clean."""
        answers: list[Answer] = []
        for endpoint in self._traces.pop(trace_id, ()):
            state = self._endpoints[endpoint]
            state.tries += 1
            state.clean |= state.answered
            if state.fine or (state.answered and state.tries >= _MOST_TRIES):
                state.armed, state.owner = True, None
                answers += [(owner, number, "armed") for owner, number in state.waiting]
                state.waiting.clear()
            else:
                answers += self.missed(endpoint, now_s)
        return answers

    def missed(self, endpoint: str, now_s: float) -> list[Answer]:
        """The request that went alone proved nothing: the next one goes alone."""
        state = self._endpoints.setdefault(endpoint, _Endpoint())
        state.owner = None
        return self._next(state, now_s)

    def gone(self, owner: object, now_s: float) -> list[Answer]:
        """A process has ended: what it waited for, and what it had under way."""
        answers: list[Answer] = []
        for state in self._endpoints.values():
            state.waiting = deque((o, n) for o, n in state.waiting if o is not owner)
            if state.owner is owner and not state.trace_id:
                state.owner = None
                answers += self._next(state, now_s)
        return answers

    def overdue(self, now_s: float, most_s: float) -> list[str]:
        """Endpoints whose first request is under way for longer than `most_s`."""
        return [n for n, e in self._endpoints.items() if e.owner is not None and now_s - e.since_s > most_s]

    def _next(self, state: _Endpoint, now_s: float) -> list[Answer]:
        if state.owner is not None or not state.waiting:
            return []
        owner, number = state.waiting.popleft()
        state.owner, state.since_s, state.trace_id = owner, now_s, ""
        return [(owner, number, "arm")]
