"""The universal scalability law, fitted to throughput over concurrency.

X(N) = λN / (1 + σ(N − 1) + κN(N − 1)): λ is what one at a time would do, σ contention (what must queue), κ coherence
(what each has to tell each other, which makes throughput fall in the end). N. J. Gunther, "Guerrilla Capacity Planning"
(2007), chapters 4 to 6; N. J. Gunther, "A General Theory of Computational Scalability Based on Rational Functions",
arXiv:0808.1431 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.model.load import Usl

Floats = NDArray[np.float64]

_FEWEST: Final = 3
# Two concurrencies closer than this are one point.
_DISTINCT: Final = 0.02


def fit_usl(points: Sequence[tuple[float, float]]) -> Usl | None:
    """The law through points (concurrency, throughput); None with fewer than 3 distinct ones, or where none fits.

    By Little's law, N/X is the mean time that one takes, which the law makes a quadratic in N: linear least squares
    of N/X over 1, N − 1 and N(N − 1), each point weighed by its own size, since throughput's error is relative.
    Negative σ or κ mean nothing: where they come out, the best fit without one or both is taken. `r2` is that of X.
    """
    chosen = [(n, x) for n, x in points if 0 < n < math.inf and 0 < x < math.inf]
    if _distinct([n for n, _ in chosen]) < _FEWEST:
        return None
    n, x = (np.asarray(column, np.float64) for column in zip(*chosen, strict=True))
    best: tuple[float, Floats] | None = None
    for kept in ((0, 1, 2), (0, 1), (0, 2), (0,)):
        fitted = _fit(n, x, kept)
        if fitted is None:
            continue
        error = float(np.sum(np.square(np.log(x) - np.log(_throughput(n, fitted)))))
        if best is None or error < best[0] - 1e-12:
            best = error, fitted
    return None if best is None else _usl(n, x, best[1])


def _distinct(values: Sequence[float]) -> int:
    number, last = 0, 0.0
    for value in sorted(values):
        if not number or value > last * (1 + _DISTINCT):
            number, last = number + 1, value
    return number


def _terms(n: Floats) -> Floats:
    return np.stack((np.ones_like(n), n - 1, n * (n - 1)), axis=1)


def _throughput(n: Floats, coefficients: Floats) -> Floats:
    return np.asarray(n / (_terms(n) @ coefficients))


def _fit(n: Floats, x: Floats, kept: tuple[int, ...]) -> Floats | None:
    """1/λ, σ/λ and κ/λ with those that are not `kept` as 0; None where one of them comes out below 0."""
    terms, time = _terms(n)[:, kept], n / x
    found: Floats = np.asarray(np.linalg.lstsq(terms / time[:, None], np.ones_like(time), rcond=None)[0], np.float64)
    coefficients = np.zeros(3)
    coefficients[list(kept)] = found
    if coefficients[0] <= 0 or (coefficients < 0).any() or not np.isfinite(coefficients).all():
        return None
    # With fewer than one under way at the lowest rates, the law may leave its range.
    return coefficients if (_terms(n) @ coefficients > 0).all() else None


def _usl(n: Floats, x: Floats, coefficients: Floats) -> Usl:
    lambda_, sigma, kappa = 1 / coefficients[0], coefficients[1] / coefficients[0], coefficients[2] / coefficients[0]
    residual = float(np.sum(np.square(x - _throughput(n, coefficients))))
    whole = float(np.sum(np.square(x - x.mean())))
    r2 = 1 - residual / whole if whole > 0 else 0.0
    peak_n = peak_rate = None
    if kappa > 0 and sigma < 1:
        peak_n = math.sqrt((1 - sigma) / kappa)
        peak_rate = float(_throughput(np.asarray([peak_n]), coefficients)[0])
    return Usl(
        lambda_=float(lambda_), sigma=float(sigma), kappa=float(kappa), r2=r2, peak_n=peak_n, peak_rate=peak_rate
    )
