"""Shares of bad and good traces, compared within strata. Pure numpy.

Strata (root operations) keep a rare endpoint that fails often from being "the cause" by its mere attributes: a value
counts only against traces that began alike. The weights are Mantel's and Haenszel's, n₁n₀/(n₁+n₀), by which a stratum
without bad or without good traces weighs nothing.

- The difference of the weighted shares has Newcombe's score interval (R. G. Newcombe, "Interval estimation for the
  difference between independent proportions", Stat. Med. 17, 1998, method 10): Wilson's intervals of both shares, with
  the weights' effective sample sizes 1/Σ(w²/n). With one stratum this is Newcombe's interval as it stands.
- The correlation is the Cochran-Mantel-Haenszel statistic as a number between −1 and 1: the root of χ²/n with its
  sign, which for one stratum is the phi coefficient (but for n−1 in place of n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """How many bad and good traces each stratum has; arrays of one length."""

    bad: Array
    good: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """For each value: the difference bad − good of the shares, its lower bound, and the correlation."""

    difference: Array
    low: Array
    correlation: Array


def compare_shares(totals: Strata, bad: Array, good: Array, *, z: float) -> Shares:
    """Compare values (rows) over strata (columns): `bad` and `good` count the traces that have the value.

    `z` is the normal quantile of the one-sided bound. At least one stratum must have both bad and good traces.
    """
    both = (totals.bad > 0) & (totals.good > 0)
    n1, n0 = totals.bad[both].astype(float), totals.good[both].astype(float)
    held1, held0 = bad[:, both].astype(float), good[:, both].astype(float)
    weight = n1 * n0 / (n1 + n0)
    weight /= weight.sum()
    share1, share0 = (held1 / n1) @ weight, (held0 / n0) @ weight
    low1, _ = _wilson(share1, 1 / (weight**2 / n1).sum(), z)
    _, high0 = _wilson(share0, 1 / (weight**2 / n0).sum(), z)
    low = share1 - share0 - np.sqrt((share1 - low1) ** 2 + (high0 - share0) ** 2)
    return Shares(difference=share1 - share0, low=low, correlation=_correlation(n1, n0, held1, held0))


def _wilson(share: Array, n: float, z: float) -> tuple[Array, Array]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _correlation(n1: Array, n0: Array, held1: Array, held0: Array) -> Array:
    n, held = n1 + n0, held1 + held0
    beyond = (held1 - n1 * held / n).sum(axis=1)
    variance = (n1 * n0 * held * (n - held) / (n * n * np.maximum(n - 1, 1))).sum(axis=1)
    safe = np.where(variance > 0, variance, 1)
    found = np.where(variance > 0, beyond / np.sqrt(safe * n.sum()), 0.0)
    return np.clip(found, -1, 1)
