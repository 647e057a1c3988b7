"""Tester accounts: whoever is on the list may write as a bullet only, which is never.

The last line of defence against a lost flag: a request of a tester's account that comes
without the flag is a customer's by the protocol, and would write. A service that lists its
testers refuses those writes. Costs customers a look at their baggage, in such services alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from tracer_bullet.context.carriers import ACCOUNT_KEY, USER_KEY, parse_baggage
from tracer_bullet.context.scope import Scope, entered, inherited_scope
from tracer_bullet.guards.registry import Armed, default
from tracer_bullet.model import Context, RequestType


def tester_scope(armed: Armed, baggage: Iterable[str]) -> Scope | None:
    """The scope of a STANDARD request whose baggage names a tester's user or account; None for everybody else.

    `baggage`: the header's lines.
    """
    found = {member.key: member.value for member in parse_baggage(baggage) if member.key in (USER_KEY, ACCOUNT_KEY)}
    return _scope(armed, found.get(USER_KEY), found.get(ACCOUNT_KEY))


@contextmanager
def account(account_id: str, armed: Armed | None = None) -> Iterator[None]:
    """Run the block as `account_id`'s: for services that know whose request it is only after they asked.

    Refuses the block's writes when the account is a tester's and the request is no bullet.
    """
    armed = armed or default()
    known = inherited_scope()
    scope = None if armed is None or (known is not None and known.live) else _scope(armed, None, account_id)
    if scope is None:
        yield
        return
    with entered(scope):
        yield


def is_tester(scope: Scope) -> bool:
    """Whether a scope is that of a tester's request without the flag."""
    return scope.context.request_type is RequestType.STANDARD


def _scope(armed: Armed, user_id: str | None, account_id: str | None) -> Scope | None:
    names = [name for name in (user_id, account_id) if name]
    if not any(fnmatchcase(name, glob) for name in names for glob in armed.config.testers):
        return None
    context = Context(run_id="", token="", request_type=RequestType.STANDARD, user_id=user_id, account_id=account_id)
    return Scope(context, armed, linger_s=armed.config.linger_s)
