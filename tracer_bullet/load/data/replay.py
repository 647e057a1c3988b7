"""A value that was drawn once, drawn again and shrunk by Hypothesis. Only imported where Hypothesis is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import Phase, given
from hypothesis import seed as seeded
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy

from tracer_bullet.load.data.draw import quiet_settings

Question = Callable[[Mapping[str, Any]], bool]


class _FoundError(Exception):
    """What Hypothesis looks for."""


def shrink_drawn(strategy: SearchStrategy[Any], count: int, *, seed: int, is_it: Question, fails: Question) -> None:
    """Draw as `draw` did until a value `is_it`, then let Hypothesis shrink it as long as the value `fails`.

    `fails` hears of each value that is tried; what is smallest it must remember itself, and it may end the search by a
    BaseException. Nothing is asked when no value `is_it`.

    Two runs over one database: had the first asked `fails` about other values, or called them passes, the shrinker
    would never come back to them.
    """
    question = [is_it]

    def look(value: Mapping[str, Any]) -> None:
        if isinstance(value, Mapping) and question[0](value):
            raise _FoundError

    database = InMemoryExampleDatabase()
    for asked, phases in ((is_it, [Phase.generate]), (fails, [Phase.reuse, Phase.shrink])):
        question[0] = asked
        chosen = quiet_settings(max_examples=count, phases=phases, database=database)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seeded(seed)(chosen(given(strategy)(look)))()
        except (_FoundError, HypothesisException):
            continue
        return
