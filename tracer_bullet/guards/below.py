"""The mark that a guard sets around what it has judged already.

Guards sit on top of each other: SQLAlchemy's or Django's guard judges a statement, then the
driver below, which has a guard of its own, runs it. `with below():` says "judged; what the
driver does in here is that guard's business"; a driver's guard asks `is_below()` and passes
the call untouched. The mark is for connects as well: a connection that was opened below is
left alone for good, since its owner sees all that is run on it.

The mark is a context variable: it does not reach threads that are started inside (aiosqlite's
guard carries it there), and it ends with the `with` block. Never hold it around application
code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_below: ContextVar[bool] = ContextVar("tracer_bullet_below", default=False)


@contextmanager
def below() -> Iterator[None]:
    """Mark the calls inside as judged by a guard above."""
    token = _below.set(True)
    try:
        yield
    finally:
        _below.reset(token)


def is_below() -> bool:
    """Whether a guard above has judged what is being called now."""
    return _below.get()
