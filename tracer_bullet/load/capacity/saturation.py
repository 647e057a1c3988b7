"""Which service saturates first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_FEWEST_CALLS: Final = 20
_LEAST_MS: Final = 0.01
_WORTH_TELLING: Final = 0.1


def saturated(
    rates: Sequence[float], services: Sequence[Mapping[str, tuple[float, int]]]
) -> tuple[tuple[str, float], ...]:
    """Services by how much their own time grew from the lowest to the highest rate, the most first, with the factor.

    `services`: for each rate, service → (mean self time in ms, calls). Self time holds the waiting for a worker or a
    connection inside the service, so that it grows where requests queue. Only services that made up at least a tenth
    of all growth are told: a factor of a cheap service means nothing.
    """
    order = sorted(range(len(rates)), key=lambda n: rates[n])
    seen: dict[str, list[float]] = {}
    growth: dict[str, float] = {}
    for n in order:
        for service, (self_ms, calls) in services[n].items():
            if calls >= _FEWEST_CALLS:
                seen.setdefault(service, []).append(self_ms)
    for service, times in seen.items():
        growth[service] = times[-1] - times[0]
    whole = sum(g for g in growth.values() if g > 0)
    grown = [
        (service, seen[service][-1] / max(seen[service][0], _LEAST_MS))
        for service, g in growth.items()
        if len(seen[service]) > 1 and g > 0 and g >= _WORTH_TELLING * whole
    ]
    return tuple(sorted(grown, key=lambda pair: (-pair[1], pair[0])))
