"""A value that was drawn once, drawn again and shrunk by Hypothesis. Only imported where Hypothesis is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import Phase, given
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy

from tracer_bullet.load.data.draw import quiet_settings

Question = Callable[[Mapping[str, Any]], bool]


class _FoundError(Exception):
    """What Hypothesis looks for."""


def shrink_drawn(strategy: SearchStrategy[Any], count: int, *, seed: int, is_it: Question, fails: Question) -> None:
    """Draw as `draw` did until a value `is_it`, then let Hypothesis shrink it as long as the value `fails`.

    `fails` hears of each value that is tried; what is smallest it must remember itself, and it may end the search by a
    BaseException.
    """
    seen = found = False

    def look(value: Any) -> None:
        nonlocal seen, found
        if not isinstance(value, Mapping):
            return
        # Before the one that failed no question is asked, as each is a request, but about the simplest of all values,
        # which comes first: what passed once is not looked at again while shrinking.
        asked = fails if found or not seen else is_it
        seen = True
        if asked(value):
            found = True
            raise _FoundError

    chosen = quiet_settings(max_examples=count, phases=[Phase.generate, Phase.shrink])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seeded(seed)(chosen(given(strategy)(look)))()
    except (_FoundError, HypothesisException):
        return
