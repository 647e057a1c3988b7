"""Values out of a Hypothesis strategy, the same for the same seed. Only imported where Hypothesis is installed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy

from tracer_bullet.errors import UsageError


def quiet_settings(**parts: Any) -> settings:
    """Hypothesis for drawing, not for testing: no database, no deadline, no health checks, nothing printed."""
    chosen: dict[str, Any] = {
        "database": None,
        "deadline": None,
        "derandomize": False,
        "print_blob": False,
        "report_multiple_bugs": False,
        "suppress_health_check": list(HealthCheck),
        "verbosity": Verbosity.quiet,
        **parts,
    }
    return settings(**chosen)


def draw(strategy: SearchStrategy[Any], count: int, *, seed: int, where: str) -> list[Mapping[str, Any]]:
    """At most `count` different values of the strategy, the simplest first.

    Fewer when there are no more, or hardly. Raises UsageError TB1015 when drawing fails or a value is no map, TB1019
    when nothing can be drawn.
    """
    found: list[Mapping[str, Any]] = []

    @seeded(seed)
    @quiet_settings(max_examples=count, phases=[Phase.generate])
    @given(strategy)
    def collect(value: Any) -> None:
        if not isinstance(value, Mapping):
            raise UsageError(
                "TB1015",
                f"the strategy gives {type(value).__name__}, not a map of variables",
                where=where,
                cure="as st.fixed_dictionaries({'sku': st.text()})",
            )
        found.append(value)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how one should test, which this is not
            collect()
    except UsageError:
        raise
    except HypothesisException as error:
        raise UsageError("TB1019", f"nothing can be drawn: {str(error) or type(error).__name__}", where=where) from None
    except Exception as error:
        raise UsageError("TB1015", f"drawing a row failed: {type(error).__name__}: {error}", where=where) from error
    return found[:count]
